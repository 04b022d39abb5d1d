"""Concat, Slice, Reshape, Transpose and Pad against TFLM's kernels on random shapes, and how removed indices travel through them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgewright.errors import ModelError
from edgewright.ir.dtype import DType, Quant
from edgewright.ir.graph import Value
from edgewright.ir.operator import Axis, Window
from edgewright.ops import Concat, Pad, Reshape, Slice, Transpose
from tests.tflite_builder import TensorSpec, build_operator, constant, run_tflm, schema

B = schema.BuiltinOperator
TRIALS = 25


def random_quant(rng: np.random.Generator) -> Quant:
    return Quant.per_tensor(np.float32(10 ** rng.uniform(-3, 0)), int(rng.integers(-128, 128)))


def random_tensor(rng: np.random.Generator, rank: int = 4, smallest: int = 1) -> np.ndarray:
    return rng.integers(-128, 128, (1, *rng.integers(smallest, 7, rank - 1)), dtype=np.int8)


def value(name: str, shape: tuple[int, ...], quant: Quant | None = None) -> Value:
    return Value(name, (None, *shape[1:]), DType.INT8 if quant else DType.FLOAT32, quant)


def evaluate(op, arrays, quant):
    """Integer outputs, checked against the inferred shape."""
    ins = tuple(value(f"x{index}", array.shape, quant) for index, array in enumerate(arrays))
    shape = op.infer(ins)[0]
    out = Value("y", shape, DType.INT8, quant)
    result = op.evaluate_integer([torch.from_numpy(array.astype(np.int32)) for array in arrays], ins, (out,))[0].numpy()
    assert result.shape == (1, *shape[1:])
    return result


def options(kind, **attributes):
    made = kind()
    for name, content in attributes.items():
        setattr(made, name, content)
    return made


def test_concat_is_tflm_s(needs_tflite_micro):
    rng = np.random.default_rng(0)
    for _ in range(TRIALS):
        quant, axis, rank = random_quant(rng), int(rng.integers(1, 4)), 4
        shape = rng.integers(1, 6, rank)
        shape[0] = 1
        arrays = []
        for _ in range(int(rng.integers(1, 5))):
            shape[axis] = rng.integers(1, 6)
            arrays.append(rng.integers(-128, 128, shape, dtype=np.int8))
        mine = evaluate(Concat(axis), arrays, quant)
        model = build_operator(
            B.CONCATENATION,
            options(schema.ConcatenationOptionsT, axis=axis),
            [TensorSpec(array.shape, quant=quant) for array in arrays],
            [TensorSpec(mine.shape, quant=quant)],
        )
        np.testing.assert_array_equal(mine, run_tflm(model, arrays)[0])


def test_slice_is_tflm_s(needs_tflite_micro):
    rng = np.random.default_rng(1)
    for trial in range(TRIALS):
        x, quant = random_tensor(rng), random_quant(rng)
        begin = [int(rng.integers(0, size)) for size in x.shape]
        stride = [1 if trial % 2 else int(rng.integers(1, 4)) for _ in x.shape]
        size = [int(rng.integers(1, (whole - first - 1) // step + 2)) for whole, first, step in zip(x.shape, begin, stride, strict=True)]
        mine = evaluate(Slice((0, *begin[1:]), (None, *size[1:]), (1, *stride[1:])), [x], quant)
        ends = [first + (count - 1) * step + 1 for first, count, step in zip(begin, size, stride, strict=True)]
        if trial % 2:
            kind, parts, attributes = B.SLICE, (begin, size), schema.SliceOptionsT()
        else:
            kind, parts, attributes = B.STRIDED_SLICE, (begin, ends, stride), schema.StridedSliceOptionsT()
        model = build_operator(
            kind,
            attributes,
            [TensorSpec(x.shape, quant=quant), *(constant(np.array(part)) for part in parts)],
            [TensorSpec(mine.shape, quant=quant)],
        )
        np.testing.assert_array_equal(mine, run_tflm(model, [x])[0])


def test_transpose_is_tflm_s(needs_tflite_micro):
    rng = np.random.default_rng(2)
    for _ in range(TRIALS):
        x, quant = random_tensor(rng, int(rng.integers(2, 6))), random_quant(rng)
        permutation = (0, *(int(axis) for axis in rng.permutation(range(1, x.ndim))))
        mine = evaluate(Transpose(permutation), [x], quant)
        model = build_operator(
            B.TRANSPOSE,
            schema.TransposeOptionsT(),
            [TensorSpec(x.shape, quant=quant), constant(np.array(permutation))],
            [TensorSpec(mine.shape, quant=quant)],
        )
        np.testing.assert_array_equal(mine, run_tflm(model, [x])[0])


def test_pad_is_tflm_s(needs_tflite_micro):
    rng = np.random.default_rng(3)
    for trial in range(3 * TRIALS):
        x, quant = random_tensor(rng, smallest=3), random_quant(rng)
        mode = "reflect" if trial % 3 == 2 else "constant"
        padding = ((0, 0), *(tuple(int(v) for v in rng.integers(0, 3, 2)) for _ in x.shape[1:]))
        fill = np.int8(rng.integers(-128, 128))
        real = float(quant.scale[0] * (int(fill) - quant.zero_point[0])) if trial % 3 == 1 else 0.0
        mine = evaluate(Pad(padding, real, mode), [x], quant)
        inputs = [TensorSpec(x.shape, quant=quant), constant(np.array(padding))]
        kind, attributes = [(B.PAD, schema.PadOptionsT()), (B.PADV2, schema.PadV2OptionsT()), (B.MIRROR_PAD, schema.MirrorPadOptionsT())][
            trial % 3
        ]
        inputs += [constant(np.array([fill]), DType.INT8, quant)] if trial % 3 == 1 else []
        model = build_operator(kind, attributes, inputs, [TensorSpec(mine.shape, quant=quant)])
        np.testing.assert_array_equal(mine, run_tflm(model, [x])[0])


def test_pad_fills_with_the_nearest_integer_it_has():
    out = Value("y", (None, 4), DType.INT8, Quant.per_tensor(0.5, 10))
    assert [Pad(((0, 0), (1, 1)), real).fill_integer((out,)) for real in (0.0, 1.2, -1e9, float("inf"))] == [10, 12, -128, 127]


def test_floats_move_as_numpy_says():
    x = torch.randn(2, 5, 6, 4)
    torch.testing.assert_close(Transpose((0, 3, 1, 2)).evaluate([x])[0], x.permute(0, 3, 1, 2))
    torch.testing.assert_close(Reshape((None, 30, 4)).evaluate([x])[0], x.reshape(2, 30, 4))
    torch.testing.assert_close(Slice((0, 1, 0, 0), (None, 2, 6, 4), (1, 2, 1, 1)).evaluate([x])[0], x[:, 1:4:2])
    padding = ((0, 0), (1, 2), (3, 0), (0, 0))
    assert (Pad(padding, 7.0).evaluate([x])[0].numpy() == np.pad(x.numpy(), padding, constant_values=7.0)).all()
    assert (Pad(padding, mode="reflect").evaluate([x])[0].numpy() == np.pad(x.numpy(), padding, mode="reflect")).all()


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (Concat(3), [(None, 4), (None, 4)], "axis 3 does not exist"),
        (Concat(0), [(None, 4), (None, 4)], "symbolic batch"),
        (Concat(1), [(None, 4, 2), (None, 4, 3)], "differ beside axis 1"),
        (Concat(1), [(None, 4, 2), (None, 4)], "differ beside axis 1"),
        (Slice((0, 1), (None, 4), (1, 1)), [(None, 4)], "do not fit into 4"),
        (Slice((0, 1), (2, 3), (1, 1)), [(None, 4)], "only be taken whole"),
        (Slice((0,), (None,), (1,)), [(None, 4)], "all axes"),
        (Slice((0, 0), (None, 2), (1, -1)), [(None, 4)], "do not fit into 4"),
        (Reshape((None, 5)), [(None, 4)], "as many elements"),
        (Reshape((1, 4)), [(None, 4)], "must stay the first axis"),
        (Reshape((None, 4)), [(1, 4)], "must stay the first axis"),
        (Reshape((None, None, 4)), [(None, 4)], "must be known but for the batch"),
        (Transpose((0, 1)), [(None, 4, 2)], "does not fit shape"),
        (Transpose((1, 0)), [(None, 4)], "must stay the first axis"),
        (Pad(((0, 0),)), [(None, 4)], "does not fit shape"),
        (Pad(((0, 0), (-1, 0))), [(None, 4)], "does not fit shape"),
        (Pad(((1, 0), (0, 0))), [(None, 4)], "batch cannot be padded"),
        (Pad(((0, 0), (4, 0)), mode="reflect"), [(None, 4)], "a mirror of 4 elements"),
        (Pad(((0, 0), (1, 0)), mode="edge"), [(None, 4)], "unknown mode"),
        (Pad(((0, 0), (1, 0)), float("nan")), [(None, 4)], "not a number"),
    ],
)
def test_what_does_not_fit_is_refused(op, shapes, message):
    with pytest.raises(ModelError, match=message) as caught:
        op.infer([Value(f"x{index}", shape) for index, shape in enumerate(shapes)])
    assert caught.value.hint


def pairs_of(op, *shapes):
    """Coupled axes → their index pairs as a list (None: all, one to one)."""
    ins = tuple(Value(f"x{index}", shape) for index, shape in enumerate(shapes))
    outs = tuple(Value("y", shape) for shape in op.infer(ins))
    return {(c.first, c.second): None if c.pairs is None else c.pairs.tolist() for c in op.couplings(ins, outs)}


def test_flattening_couples_channels_alone():
    pairs = pairs_of(Reshape((None, 12)), (None, 2, 2, 3))
    assert pairs == {(Axis("in", 0, 3), Axis("out", 0, 1)): [[index % 3, index] for index in range(12)]}


def test_channel_shuffle_couples_the_channels_within_a_group():
    split = pairs_of(Reshape((None, 5, 5, 2, 3)), (None, 5, 5, 6))
    assert split[Axis("in", 0, 3), Axis("out", 0, 4)] == [[index, index % 3] for index in range(6)]
    merge = pairs_of(Reshape((None, 5, 5, 6)), (None, 5, 5, 3, 2))
    assert merge[Axis("in", 0, 3), Axis("out", 0, 3)] == [[index // 2, index] for index in range(6)]
    assert {first.axis for first, _ in split} == {1, 2, 3}


def test_reshape_without_a_clear_channel_axis_couples_nothing():
    assert pairs_of(Reshape((None, 4, 6)), (None, 3, 8)) == {}
    assert Reshape((2, 4)).couplings((Value("x", (4, 2)),), (Value("y", (2, 4)),)) is None


def test_operators_shrink_with_their_axes():
    gone = np.array([0, 1, 5])
    whole = Value("x", (None, 4, 4, 8))
    part = Slice((0, 0, 0, 2), (None, 4, 4, 5), (1, 1, 1, 1))
    removed = {Axis("in", 0, 3): gone, Axis("out", 0, 3): np.array([3])}
    assert part.resized((whole,), removed) == Slice((0, 0, 0, 0), (None, 4, 4, 4), (1, 1, 1, 1))
    flat = Reshape((None, 128)).resized((whole,), {Axis("in", 0, 3): gone, Axis("out", 0, 1): np.arange(48)})
    assert flat == Reshape((None, 80))
    wider = Pad(((0, 0), (1, 1), (1, 1), (4, 4)))
    shrunk = wider.resized((whole,), {Axis("in", 0, 3): gone, Axis("out", 0, 3): np.array([0, 1, 4, 5, 9, 15])})
    assert shrunk == Pad(((0, 0), (1, 1), (1, 1), (2, 3)))


def test_batch_is_named_where_attributes_name_it():
    assert Reshape((None, 4)).with_batch(3) == Reshape((3, 4))
    assert Slice((0, 1), (None, 2), (1, 1)).with_batch(1) == Slice((0, 1), (1, 2), (1, 1))
    assert Transpose((0, 2, 1)).with_batch(1) == Transpose((0, 2, 1))


def test_windows():
    image = Value("x", (None, 8, 8, 3))
    assert Pad(((0, 0), (1, 2), (3, 4), (0, 0))).window((image,)) == Window(padding=((1, 2), (3, 4)))
    assert Pad(((0, 0), (1, 2), (3, 4), (0, 0)), mode="reflect").window((image,)) is None
    assert Slice((0, 0, 0, 1), (None, 8, 8, 1), (1, 1, 1, 1)).window((image,)) == Window()
    assert Slice((0, 1, 0, 0), (None, 7, 8, 3), (1, 1, 1, 1)).window((image,)) is None
    assert Concat(3).window((image, image)) == Window() and Concat(1).window((image, image)) is None
    assert Reshape((None, 192)).window((image,)) is None
    assert Transpose((0, 2, 1, 3)).window((image,)) is None
