"""What the parts of the C kernels cost on a core: fitted to counted instructions, in ``costs/`` one TOML file for each core and what its
kernels prefer, with their source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgewright.errors import TargetError
from edgewright.targets.target import Target

FOLDER = "costs"
NonNegative = Annotated[float, Field(ge=0)]


class KernelCost(BaseModel):
    """Instructions, modelled cycles where the core has a model, and bytes moved, of each part of one kernel.

    Bytes: read of constants, read and written of values and the stack; parts without any are left out.

    ``text``: a digest of the kernel's C, with what it includes, when it was fitted. ``error``: within this share lie 95 % of other layers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    layers: int
    error: NonNegative
    instructions: dict[str, NonNegative]
    cycles: dict[str, NonNegative] | None = None
    flash_read: dict[str, NonNegative] = {}
    ram_read: dict[str, NonNegative] = {}
    ram_written: dict[str, NonNegative] = {}


class CostTable(BaseModel):
    """All that is known of a core. ``kernels``: the folders that were compiled; ``cores``: those whose code is the same.

    ``cycle_model``: a digest of the model that the cycles come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cores: tuple[str, ...]
    kernels: tuple[str, ...]
    source: str
    cycle_model: str = ""
    costs: Mapping[str, KernelCost]


def load_costs(target: Target) -> CostTable | None:
    """The costs of the core of ``target``; None where nobody has fitted any, or with other folders of kernels."""
    return _tables().get((target.core, target.kernels))


@cache
def _tables() -> dict[tuple[str, tuple[str, ...]], CostTable]:
    tables: dict[tuple[str, tuple[str, ...]], CostTable] = {}
    for entry in resources.files(__package__).joinpath(FOLDER).iterdir():
        if not entry.name.endswith(".toml"):
            continue
        try:
            table = CostTable.model_validate(tomllib.loads(entry.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, ValidationError) as error:
            hint = "fit it again: python -m benchmarks.fit_costs CORE"
            raise TargetError(f"{entry.name} is not a table of costs: {error}", hint=hint) from error
        tables |= {(core, table.kernels): table for core in table.cores}
    return tables
