from __future__ import annotations

import struct
from pathlib import Path

import pytest

from edgewright.errors import BudgetError, DataError, ToolError
from edgewright.run import exchange
from edgewright.run.exchange import read_record, write_inputs
from tests.run import tiny


def record(folder: Path, *fields: int) -> None:
    (folder / exchange.RECORD).write_bytes(struct.pack("<7I", 0x43525745, *fields))


def test_the_file_of_inputs_is_what_the_driver_reads(tmp_path: Path) -> None:
    assert write_inputs(tmp_path, tiny.inputs(3), True, most=2) == 2
    data = (tmp_path / exchange.INPUTS).read_bytes()
    assert struct.unpack("<6I", data[:24]) == (0x4E495745, 2, 1, 2, 16, 8)
    assert len(data) == 24 + 2 * 24


def test_no_record_says_what_else_is_known(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="stopped on a board: Lockup"):
        read_record(tmp_path, [], "a board", "Lockup")
    (tmp_path / exchange.RECORD).write_bytes(b"short")
    with pytest.raises(ToolError, match="stopped on a board"):
        read_record(tmp_path, [], "a board", "?")
    (tmp_path / exchange.RECORD).write_bytes(bytes(28))
    with pytest.raises(ToolError, match="wrote over the driver's record"):
        read_record(tmp_path, [], "a board", "?")


def test_every_status_is_an_error_of_its_kind(tmp_path: Path) -> None:
    arrays = tiny.inputs(1)
    cases = {
        (exchange.BAD_INPUTS, 0, 0, 1, 12, 0): (DataError, "input 1 has 8 bytes a sample, the network takes 12"),
        (exchange.BAD_INPUTS, 0, 0, 5, 0xFFFFFFFF, 0): (DataError, "2 inputs were given, the network takes 5"),
        (exchange.CANNOT_READ, 0, 0, 0, 0, 0): (ToolError, "could not read its inputs"),
        (exchange.CANNOT_WRITE, 0, 0, 0, 0, 0): (ToolError, "could not write its outputs"),
        (exchange.STACK_OVERFLOW, 7, 0, 0, 0, 0): (BudgetError, "overflowed on a board in inference 8"),
        (exchange.FAULT, 0, 0, 0x1234, 0x82, 0): (ToolError, r"faulted at 0x1234 \(status 0x82\)"),
    }
    for fields, (kind, message) in cases.items():
        record(tmp_path, *fields)
        with pytest.raises(kind, match=message) as caught:
            read_record(tmp_path, arrays, "a board", "?")
        assert caught.value.hint
    record(tmp_path, exchange.DONE, 4, 96, 0, 0, 12)
    assert read_record(tmp_path, arrays, "a board", "?")[1:3] == (4, 96)
