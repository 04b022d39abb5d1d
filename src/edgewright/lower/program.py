"""The Program: an integer graph in its final order, with every byte of RAM placed. Emitters turn it into files and decide nothing more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgewright.errors import BudgetError, ModelError, UnsupportedError
from edgewright.ir.graph import Graph, Level
from edgewright.lower.check_plan import check_parts, check_plan
from edgewright.lower.check_tiles import check_loops
from edgewright.lower.memory import MemoryPlan
from edgewright.lower.order import plan_in_best_order
from edgewright.lower.overlap import all_slides, reading_orders
from edgewright.lower.plan_memory import ALIGNMENT, peak_step, plan_memory, scratch_buffer
from edgewright.lower.regions import place_tables, ram_limits, split_plan
from edgewright.lower.schedule import order_states, single_sample
from edgewright.lower.scratch import on_stack, scratch_bytes
from edgewright.lower.split_channels import Split
from edgewright.lower.tile import Loop as Loop
from edgewright.lower.tile import tile_graph
from edgewright.lower.tile_shape import Tiling
from edgewright.lower.traffic import STACK, value_traffic
from edgewright.lower.widen import widen_weights
from edgewright.targets.stored import constant_bytes
from edgewright.targets.target import Target


@dataclass(frozen=True)
class Program:
    """``graph``: integer level, scheduled, batch 1. ``scratch``: node name → scratch buffer in the plan, where a node needs one.

    Where layers are tiled, ``executed`` is the graph that runs in place of ``graph``, to the same outputs, and ``loops`` tells which of its
    nodes are repeated; else it is the same. ``plan`` and ``scratch`` are those of ``executed``. ``streamed``: the input is no part of the
    arena, its user gives an address. ``frugal``: nodes whose kernel is a slower one that needs no working memory.
    """

    graph: Graph
    target: Target
    plan: MemoryPlan
    scratch: Mapping[str, str]
    executed: Graph
    loops: tuple[Loop, ...] = ()
    streamed: bool = False
    frugal: frozenset[str] = frozenset()

    def runs(self, node: str) -> int:
        """How often ``node`` of the executed graph runs in one inference."""
        names = [loop for loop in self.loops if node in self._inside(loop)]
        return names[0].runs(node) if names else 1

    def iterations(self, node: str) -> list[tuple[int, int]]:
        """(strip, band) of every run of ``node``; none where it lies in no loop."""
        loop = next((loop for loop in self.loops if node in self._inside(loop)), None)
        if loop is None:
            return []
        low, high = loop.active.get(node, (loop.start, loop.stop - 1))
        strips = range(max(low, loop.start), min(high, loop.stop - 1) + 1)
        return [(strip, band) for band in range(loop.bands) for strip in strips]

    def macs(self) -> int:
        """Multiply-accumulates of one inference, those that tiling computes again among them."""
        graph = self.executed
        return sum(node.op.macs(graph.ins(node), graph.outs(node)) * self.runs(node.name) for node in graph.nodes)

    def place_tables(self, sizes: Mapping[str, int], reads: Mapping[str, float]) -> dict[str, str]:
        """Constant table → memory region beside the main flash: see :func:`edgewright.lower.regions.place_tables`."""
        return place_tables(self.target, self.plan, sizes, reads) if self.target.regions else {}

    def _inside(self, loop: Loop) -> set[str]:
        return {node.name for node in self.executed.nodes[loop.first : loop.last + 1]}


def make_program(
    graph: Graph,
    target: Target,
    *,
    tilings: Sequence[Tiling | Split] = (),
    stream_input: bool = False,
    frugal: Callable[[str], bool] | None = None,
) -> Program:
    """Place integer ``graph`` in the RAM of ``target``; the plan is checked by execution before it is believed.

    ``tilings``: layers that are computed strip by strip, or a few channels at a time. ``stream_input``: the first of them read the input
    from outside of the arena. ``frugal``: which nodes are to do without working memory in the arena, if there is a kernel for it.
    BudgetError where the arena exceeds the target's RAM, naming the step and the buffers that hold the peak, or the weights its flash.
    """
    if graph.level is not Level.INTEGER:
        raise ModelError(
            f"{graph.name!r} is a {graph.level.value} graph; a program needs the integer level", hint="run recipe w8a8 and lower it first"
        )
    for name in graph.outputs:
        if graph.is_constant(name):
            raise UnsupportedError(
                f"output {name!r} of {graph.name!r} is a constant", hint="drop that output: the device has nothing to compute for it"
            )
    graph = scheduled(graph)
    tiled = bool(tilings or stream_input)
    executed, loops = tile_graph(graph, tilings, stream_input) if tiled else (graph, ())
    sizes = {node.name: scratch_bytes(executed, node, target) for node in executed.nodes}
    wanted = [node for node in executed.nodes if sizes[node.name] and frugal is not None and frugal(node.name)]
    changed = frozenset(node.name for node in wanted if scratch_bytes(executed, node, target, frugal=True) == 0)
    sizes |= dict.fromkeys(changed, 0)
    orders = reading_orders(executed, target, changed)
    slides = all_slides(executed, orders, ALIGNMENT)
    if tiled:  # Loops run over nodes that stand together: their order is the tiler's.
        plan = plan_memory(executed, sizes, slides)
    else:
        graph, plan = plan_in_best_order(graph, sizes, slides)
        executed = graph
    scratch = {name: scratch_buffer(name) for name, size in sizes.items() if size > 0}
    workspaces = {node.name: STACK for node in executed.nodes if node.name not in changed and on_stack(executed, node, target)}
    plan = split_plan(plan, target, value_traffic(executed, workspaces | scratch, loops))
    check_plan(executed, plan, {name: (plan.offsets[buffer], sizes[name]) for name, buffer in scratch.items()}, orders)
    check_parts(plan, ram_limits(target))
    check_loops(executed, plan, loops)
    _check_fits(executed, target, plan)
    return Program(graph, target, plan, scratch, executed, loops, stream_input, changed)


def scheduled(graph: Graph) -> Graph:
    """``graph`` in the order in which a program has it; tilings count its nodes so."""
    return widen_weights(order_states(single_sample(graph)))


def _check_fits(graph: Graph, target: Target, plan: MemoryPlan) -> None:
    """BudgetError where the arena leaves no room for the stack, or the weights alone fill the flash."""
    kept = {"ram": target.reserved_bytes("ram"), "flash": target.reserved_bytes("flash")}
    beside = {memory: f" and {size:,} reserved for the firmware" if size else "" for memory, size in kept.items()}
    rooms = ram_limits(target)
    room = None if None in rooms.values() else sum(size or 0 for size in rooms.values())
    if target.ram_bytes is not None and room is not None and (plan.arena_bytes > room or (len(rooms) > 1 and not plan.parts)):
        step, holders = peak_step(plan)
        named = ", ".join(f"{buffer.name!r} ({buffer.size_bytes:,} B)" for buffer in holders[:2])
        where = f"the peak stands at {graph.nodes[step].name!r}, " if graph.nodes else ""
        more = "".join(f" and {size:,} in {name!r}" for name, size in rooms.items() if name != "ram")
        over = f": {plan.arena_bytes - room:,} too many" if plan.arena_bytes > room else ", among which no division of it was found"
        raise BudgetError(
            f"the arena of {graph.name!r} needs {plan.arena_bytes:,} bytes, {target.name} has {rooms['ram']:,} "
            f"({target.ram_bytes:,} of RAM less {target.stack_bytes:,} for the stack{beside['ram']}){more}{over}",
            hint=f"{where}held by {named}; choose a larger target or a smaller network",
        )
    weights = constant_bytes(graph, target.kernels, target.sparse_share)
    if target.all_flash_bytes is not None and weights > (flash := target.all_flash_bytes - kept["flash"]):
        largest = sorted(graph.constants, key=lambda name: -graph.value(name).bytes)[:2]
        named = ", ".join(f"{name!r} ({graph.value(name).bytes:,} B)" for name in largest)
        raise BudgetError(
            f"the weights of {graph.name!r} take {weights:,} bytes, {target.name} has {target.all_flash_bytes:,} of flash"
            f"{beside['flash']}: {weights - flash:,} too many",
            hint=f"the largest are {named}; choose a larger target or a smaller network",
        )
