from __future__ import annotations

import numpy as np
import pytest

from edgewright.errors import DataError
from edgewright.run.run import Run, batch_bytes, split_outputs


def test_batches_are_interleaved_sample_by_sample_little_endian() -> None:
    first = np.array([[1, 2], [3, 4]], np.int8)
    second = np.array([[256], [-1]], ">i2")
    assert batch_bytes([first, second]) == (2, [2, 2], b"\x01\x02\x00\x01\x03\x04\xff\xff")


def test_outputs_come_apart_again() -> None:
    first, second = split_outputs(b"\x01\x02\x00\x01\x03\x04\xff\xff", 2, [(np.int8, (1, 2)), (np.int16, ())])
    np.testing.assert_array_equal(first, [[[1, 2]], [[3, 4]]])
    np.testing.assert_array_equal(second, [256, -1])
    assert second.dtype == np.int16


def test_scalars_and_empty_batches_are_data_errors() -> None:
    for array in (np.int8(3), np.zeros((0, 4), np.int8)):
        with pytest.raises(DataError, match="does not start with the batch"):
            batch_bytes([np.asarray(array)])


def test_figures_follow_from_what_was_measured() -> None:
    sections = {"code": 100, "library": 10, "rodata": 1000, "data": 8, "bss": 500}
    run = Run(outputs=[], inferences=3, where="x", seconds=1.0, instructions=(10, 11, 13), peak_stack_bytes=64, sections=sections)
    assert (run.instructions_per_inference, run.flash_bytes, run.ram_bytes) == (11, 1118, 572)
