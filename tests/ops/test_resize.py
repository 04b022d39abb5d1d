from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis
from edgewright.ops import Resize
from tests.tflite_builder import TensorSpec, build_operator, constant, run_tflm, schema

KINDS = {
    "nearest": (schema.BuiltinOperator.RESIZE_NEAREST_NEIGHBOR, schema.ResizeNearestNeighborOptionsT),
    "bilinear": (schema.BuiltinOperator.RESIZE_BILINEAR, schema.ResizeBilinearOptionsT),
}
CENTRES = [
    ("nearest", False, False),
    ("nearest", True, False),
    ("nearest", False, True),
    ("nearest", True, True),
    ("bilinear", False, False),
    ("bilinear", True, False),
    ("bilinear", False, True),
]


def build(op: Resize, shape: tuple[int, ...], dtype: DType, quant: Quant | None) -> bytes:
    code, kind = KINDS[op.mode]
    options = kind()
    options.alignCorners, options.halfPixelCenters = op.align_corners, op.half_pixel_centers
    return build_operator(
        code,
        options,
        [TensorSpec(shape, dtype, quant), constant(np.array(op.size))],
        [TensorSpec((shape[0], *op.size, shape[3]), dtype, quant)],
    )


@pytest.mark.parametrize(("mode", "align_corners", "half_pixel_centers"), CENTRES)
def test_integers_and_floats_are_tflm_s(mode, align_corners, half_pixel_centers, needs_tflite_micro):
    rng = np.random.default_rng(0)
    quant = Quant.per_tensor(0.1, 5)
    for _ in range(40):
        shape = (1, *(int(size) for size in rng.integers(1, 14, 2)), int(rng.integers(1, 4)))
        op = Resize(tuple(int(size) for size in rng.integers(1, 40, 2)), mode, align_corners, half_pixel_centers)
        source = Value("x", (None, *shape[1:]), DType.INT8, quant)
        target = Value("y", op.infer((source,))[0], DType.INT8, quant)
        x = rng.integers(-128, 128, shape, dtype=np.int8)
        mine = op.evaluate_integer([torch.from_numpy(x.astype(np.int32))], (source,), (target,))[0]
        np.testing.assert_array_equal(mine.numpy(), run_tflm(build(op, shape, DType.INT8, quant), [x])[0])
        reals = rng.normal(size=shape).astype(np.float32)
        wanted = run_tflm(build(op, shape, DType.FLOAT32, None), [reals])[0]
        np.testing.assert_allclose(op.evaluate([torch.from_numpy(reals)])[0].numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("op", "arguments"),
    [
        (Resize((10, 9)), {"mode": "nearest"}),
        (Resize((10, 9), "nearest", half_pixel_centers=True), {"mode": "nearest-exact"}),
        (Resize((10, 9), "bilinear", half_pixel_centers=True), {"mode": "bilinear"}),
        (Resize((10, 9), "bilinear", align_corners=True), {"mode": "bilinear", "align_corners": True}),
    ],
    ids=repr,
)
def test_floats_are_torch_s(op, arguments):
    x = torch.randn(2, 5, 7, 3)
    wanted = torch.nn.functional.interpolate(x.permute(0, 3, 1, 2), op.size, **arguments).permute(0, 2, 3, 1)
    torch.testing.assert_close(op.evaluate([x])[0], wanted, rtol=1e-5, atol=1e-5)


def test_positions_stay_inside_at_any_size():
    for mode, align_corners, half_pixel_centers in CENTRES:
        op = Resize((1, 1), mode, align_corners, half_pixel_centers)
        for before, after in ((1, 1), (1, 5000), (100, 4097), (5000, 1), (333, 3000)):
            for indices in (op.nearest(before, after), *op.between(before, after)[:2], *op.between_integer(before, after)[:2]):
                assert len(indices) == after and indices.min() >= 0 and indices.max() < before


def test_facts_and_refusals():
    x = Value("x", (None, 4, 5, 3))
    op = Resize((8, 10), "bilinear")
    assert op.infer((x,)) == ((None, 8, 10, 3),)
    assert op.same_quant and op.window((x,)) is None
    assert [(c.first, c.second) for c in op.couplings((x,), ())] == [(Axis("in", 0, 3), Axis("out", 0, 3))]
    for bad, message in (
        (Resize((8, 0)), "size must be"),
        (Resize((8, 8), "cubic"), "unknown mode"),
        (Resize((8, 8), "bilinear", True, True), "excludes"),
    ):
        with pytest.raises(ModelError, match=message):
            bad.infer((x,))
    with pytest.raises(ModelError, match="NHWC"):
        op.infer((Value("x", (None, 4)),))
