"""Networks from torch: a module, an ExportedProgram, or a .pt2 file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from edgewright.errors import ModelError
from edgewright.frontends.torch_convert import convert_program
from edgewright.frontends.torch_program import from_exported
from edgewright.frontends.torch_pt2 import read_pt2
from edgewright.ir.graph import Graph

Example = torch.Tensor | NDArray[np.generic]


def load_torch(source: torch.nn.Module | ExportedProgram | str | Path, example_inputs: Example | Sequence[Example] | None = None) -> Graph:
    """The float Graph of a torch network, in evaluation mode.

    ``source``: a module (traced here by torch.export with ``example_inputs``, in the axes that torch uses), an ExportedProgram, or the path
    of a .pt2 file of torch.export.save. A .pt2 file is read without unpickling, not by
    torch.export.load, so a hostile one runs no code.

    The graph is channels-last: an input (N, C, H, W) becomes (N, H, W, C), (N, C, L) becomes (N, L, C), and so do outputs; see
    :mod:`edgewright.frontends.layout` for the exceptions. The batch is symbolic unless the network mixes it into other axes.
    Parameters keep their names. UnsupportedError lists everything that has no conversion.
    """
    if isinstance(source, (str, Path)):
        return convert_program(read_pt2(Path(source)))
    if isinstance(source, ExportedProgram):
        return convert_program(from_exported(source))
    if isinstance(source, torch.jit.ScriptModule) or not isinstance(source, torch.nn.Module):
        raise ModelError(
            f"a torch network must be a torch.nn.Module, an ExportedProgram or a .pt2 file, got {type(source).__name__}",
            hint="export it with torch.export.export",
        )
    if example_inputs is None:
        raise ModelError(
            "a module must be traced with example inputs",
            hint="give example_inputs, a tensor for each argument of forward, with a batch axis",
        )
    items = [example_inputs] if isinstance(example_inputs, (torch.Tensor, np.ndarray)) else list(example_inputs)
    examples = tuple(item if isinstance(item, torch.Tensor) else torch.from_numpy(np.asarray(item)) for item in items)
    return convert_program(from_exported(_export(source, examples), type(source).__name__))


def _export(module: torch.nn.Module, examples: tuple[torch.Tensor, ...]) -> ExportedProgram:
    """Trace ``module`` in evaluation mode; its modes are as before afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        return torch.export.export(module, examples, strict=False)
    except Exception as error:  # torch.export raises whatever the network's own code raises
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"torch.export cannot trace {type(module).__name__}: {reason}",
            hint="the network must run on the example inputs, without control flow that depends on the data",
        ) from error
    finally:
        for part, training in modes:
            part.training = training
