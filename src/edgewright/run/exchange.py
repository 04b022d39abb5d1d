"""The files between a runner and the driver in firmware/driver.c: inputs there, outputs and a record back."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import NamedTuple

from edgewright.errors import BudgetError, DataError, ToolError
from edgewright.run.elf import Elf
from edgewright.run.run import Arrays, batch_bytes

INPUTS, OUTPUTS, RECORD = "inputs", "outputs", "record"
_INPUTS_MAGIC = 0x4E495745
_RECORD_MAGIC = 0x43525745
_RECORD_FORMAT = "<7I"
_NOT_AN_INDEX = 0xFFFFFFFF
DONE, BAD_INPUTS, CANNOT_READ, CANNOT_WRITE, STACK_OVERFLOW, FAULT = range(6)


class Record(NamedTuple):
    """struct ew_record of firmware/driver.h, less its magic."""

    status: int
    inferences: int
    peak_stack_bytes: int
    detail: int
    detail2: int
    microseconds: int


def write_inputs(folder: Path, inputs: Arrays, reset_state: bool, most: int | None = None) -> int:
    """Write the driver's file of inputs and say how many inferences it holds: all, or the first ``most``."""
    if most is not None:
        inputs = [array[:most] for array in inputs]
    count, sizes, data = batch_bytes(inputs)
    header = struct.pack(f"<{4 + len(sizes)}I", _INPUTS_MAGIC, count, int(reset_state), len(sizes), *sizes)
    (folder / INPUTS).write_bytes(header + data)
    return count


def read_record(folder: Path, inputs: Arrays, where: str, otherwise: str, elf: Elf | None = None) -> Record:
    """What the driver wrote last. An error of the kind it reports, or ToolError with ``otherwise`` where it wrote nothing.

    ``elf``: the program, to name the function that a fault stands in.
    """
    place = folder / RECORD
    data = place.read_bytes() if place.is_file() else b""
    if len(data) != struct.calcsize(_RECORD_FORMAT):
        raise ToolError(f"the network stopped on {where}: {otherwise}", hint="if it happens again, please report the network")
    magic, *fields = struct.unpack(_RECORD_FORMAT, data)
    record = Record(*fields)
    if magic != _RECORD_MAGIC:
        raise ToolError(f"the network wrote over the driver's record on {where}", hint="please report the network")
    if record.status == BAD_INPUTS:
        raise _wrong_inputs(record, inputs)
    if record.status in (CANNOT_READ, CANNOT_WRITE):
        verb = "read its inputs" if record.status == CANNOT_READ else "write its outputs"
        raise ToolError(f"the driver on {where} could not {verb}", hint="is the disk of temporary files full?")
    if record.status == STACK_OVERFLOW:
        raise BudgetError(f"the stack overflowed on {where} in inference {record.inferences + 1}", hint="give more stack_bytes")
    if record.status != DONE:
        inside = "".join(f" in {name}" for start, end, name in (elf.functions() if elf else ()) if start <= record.detail < end)
        raise ToolError(
            f"the processor of {where} faulted at {record.detail:#x}{inside} (status {record.detail2:#x})", hint="please report the network"
        )
    return record


def _wrong_inputs(record: Record, inputs: Arrays) -> DataError:
    if record.detail2 == _NOT_AN_INDEX:
        return DataError(
            f"{len(inputs)} inputs were given, the network takes {record.detail}", hint="give one array for each input of the network"
        )
    given = inputs[record.detail]
    return DataError(
        f"input {record.detail} has {given[0].nbytes} bytes a sample, the network takes {record.detail2}",
        hint="give its dtype and shape as the network's header states them",
    )
