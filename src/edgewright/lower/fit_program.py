"""A Program within a RAM budget: as it is where it fits, else with layers tiled at the fewest extra multiply-accumulates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgewright.errors import BudgetError, UnsupportedError
from edgewright.ir.graph import Graph
from edgewright.lower.program import Program, make_program, scheduled
from edgewright.lower.regions import ram_limits
from edgewright.lower.search_tiles import tile_front
from edgewright.lower.split_channels import Split
from edgewright.lower.tile_shape import Tiling
from edgewright.targets.stored import layer_can_be_frugal
from edgewright.targets.target import Target


def fit_program(graph: Graph, target: Target, ram_bytes: int | None = None, *, stream_input: bool = False) -> Program:
    """The program of integer ``graph`` whose arena takes at most ``ram_bytes`` (None: what ``target`` has), untiled where that is enough;
    before anything is tiled, kernels are tried that need less working memory.

    ``stream_input``: the input lies outside of the arena. BudgetError where no tiling that is tried fits.
    """
    rooms = ram_limits(target).values()
    room = None if None in rooms else sum(size or 0 for size in rooms)
    limit = min((size for size in (ram_bytes, room) if size is not None), default=None)
    refused: BudgetError | None = None
    for chosen in () if stream_input else dict.fromkeys((target, target if limit is None else target.sparing)):
        try:
            program = make_program(graph, chosen)
        except BudgetError as error:
            refused = error
        else:
            if limit is None or program.plan.arena_bytes <= limit:
                return program
    target = target if limit is None else target.sparing
    ordered = scheduled(graph)
    flash = sum(ordered.value(name).bytes for name in ordered.constants) + target.reserved_bytes("flash")
    if refused is not None and target.all_flash_bytes is not None and flash > target.all_flash_bytes:
        raise refused
    saves = any(layer_can_be_frugal(ordered, node, target.kernels, target.sparse_share) for node in ordered.nodes)
    for frugal in (False, True) if saves else (False,):
        for choice in tile_front(ordered, target, streamed=stream_input, most_bytes=limit, frugal=frugal):
            tiled = _tried(graph, target, choice.tilings, stream_input, _every if frugal else None)
            if tiled is not None and (limit is None or tiled.plan.arena_bytes <= limit):
                return _faster(tiled, graph, choice.tilings, limit)
    if limit is None:
        raise UnsupportedError(f"the first layers of {graph.name!r} cannot be tiled: its input has to be whole", hint="keep it in RAM")
    if refused is not None:
        raise refused
    hint = "give more, read the input from outside, or take a smaller network"
    raise BudgetError(f"no tiling of {graph.name!r} fits in {limit:,} bytes of RAM", hint=hint)


def _faster(program: Program, graph: Graph, tilings: Sequence[Tiling | Split], limit: int | None) -> Program:
    """``program`` with as few kernels without working memory as ``limit`` allows: those that compute most have it back first."""
    executed = program.executed
    macs = {node.name: node.op.macs(executed.ins(node), executed.outs(node)) * program.runs(node.name) for node in executed.nodes}
    for name in sorted(program.frugal, key=lambda name: (-macs[name], name)):
        kept = program.frugal - {name}
        other = _tried(graph, program.target, tilings, program.streamed, kept.__contains__)
        if other is not None and (limit is None or other.plan.arena_bytes <= limit):
            program = other
    return program


def _every(_: str) -> bool:
    return True


def _tried(
    graph: Graph, target: Target, tilings: Sequence[Tiling | Split], stream_input: bool, frugal: Callable[[str], bool] | None
) -> Program | None:
    try:
        return make_program(graph, target, tilings=tilings, stream_input=stream_input, frugal=frugal)
    except BudgetError:
        return None
