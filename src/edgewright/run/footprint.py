"""What a network will take of a device, known before there is a firmware: its C compiled, and laid out alone as the linker will."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.errors import ToolError
from edgewright.run.build import lay_out_network, write_sources
from edgewright.run.elf import Elf
from edgewright.run.size import section_sizes, symbol_sizes
from edgewright.run.stack import Frame, deepest_stack, depth, read_stack_usage
from edgewright.run.toolchain import ToolchainName, find_toolchain
from edgewright.targets.target import Target


@dataclass(frozen=True)
class Footprint:
    """Bytes of a network alone on a device, predicted.

    ``sections`` and ``symbols``: as the linked program is to have them (:class:`edgewright.run.run.Run`). ``stack_path``: the deepest path
    of calls from the network's run function, or None with the reason in ``stack_unknown``.
    """

    where: str
    sections: Mapping[str, int]
    symbols: Mapping[str, int]
    stack_path: tuple[Frame, ...] | None
    stack_unknown: str = ""

    @property
    def stack_bytes(self) -> int | None:
        """The deepest stack from the run function on."""
        return None if self.stack_path is None else depth(self.stack_path)


def predict_footprint(
    files: Mapping[str, bytes], target: Target, *, toolchain: ToolchainName | None = None, flags: Sequence[str] | None = None
) -> Footprint:
    """Compile ``files`` (what emit_c returned) for ``target`` and add up what they come to; memories are not checked against their limits.

    ``toolchain`` and ``flags``: as the build will have them (default: the target's level of optimization). ToolError where there is no
    compiler for the target.
    """
    chain = find_toolchain(target, toolchain)
    flags = (target.optimization,) if flags is None else flags
    with tempfile.TemporaryDirectory(prefix="edgewright-") as name:
        folder = Path(name)
        sources = write_sources(files, folder)
        elf = Elf.read(lay_out_network(chain, target, sources, folder, flags=flags))
        path, unknown = None, ""
        try:
            path = deepest_stack(elf, read_stack_usage(folder), sources.run)
        except ToolError as error:
            unknown = error.message
        return Footprint(target.name, section_sizes(elf), symbol_sizes(elf), path, unknown)
