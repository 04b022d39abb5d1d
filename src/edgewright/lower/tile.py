"""Tiling across layers: a run of layers computed strip by strip, so that no value between them is ever whole in RAM.

The loop's body is written out once, as ordinary nodes on values of fixed shape: kernels, planner and checker take it as any other network.
Patches with halos that are computed again: MCUNetV2 (Lin et al. 2021, arXiv:2110.15352). Rows kept between strips, also in part: fused
layers (Alwani et al. 2016) and msf-CNN (Huang and Baccelli 2025, arXiv:2505.11483).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgewright.errors import ModelError
from edgewright.ir.edit import fresh_name
from edgewright.ir.graph import Constant, Graph, Node, Value
from edgewright.ir.operator import Operator, Window
from edgewright.lower.split_channels import Split, SplitPiece, split_axes, split_region
from edgewright.lower.tile_shape import Extent, Region, Tiling, data_inputs, extents, read_by, tile_window, widths
from edgewright.ops.concat import Concat
from edgewright.ops.slice import Slice
from edgewright.ops.tile import AppendRows, CloseLoop, FillBorder, KeepRows, OpenLoop, PutTile, Span, TakeTile


@dataclass(frozen=True)
class Loop:
    """Nodes ``first`` … ``last`` (both included) of an executed graph run for every band, and in it for strips ``start`` … ``stop`` - 1.

    Strips below 0 lie above the picture and fill the rows that are kept. ``active``: node name → first and last strip in which its rows
    lie in the picture; in others it need not run.
    """

    name: str
    first: int
    last: int
    start: int
    stop: int
    bands: int
    active: Mapping[str, tuple[int, int]]
    tiling: Tiling
    covers: tuple[str, ...]
    """Nodes of the network that it computes."""

    def runs(self, node: str) -> int:
        """How often ``node`` runs in one inference."""
        low, high = self.active.get(node, (self.start, self.stop - 1))
        return self.bands * max(0, min(high, self.stop - 1) - max(low, self.start) + 1)


    def summary(self) -> str:
        """How the loop walks, in words."""
        rows = "a row" if self.tiling.rows == 1 else f"{self.tiling.rows} rows"
        bands = f" in {self.bands} bands of columns" if self.bands > 1 else ""
        kept = len(self.tiling.cached)
        return f"{len(self.covers)} layers, {rows} at a time{bands}, {kept} of the values between them kept from strip to strip"


@dataclass(frozen=True)
class Piece:
    """What a region becomes: its nodes, the values that are new, the loop (positions counted from the piece's first node)."""

    nodes: tuple[Node, ...]
    values: tuple[Value, ...]
    loop: Loop


@dataclass
class _Body:
    """Collects nodes and values under names that the graph does not have."""

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)

    def value(self, like: Value, wanted: str, shape: tuple[int, ...]) -> str:
        taken = wanted in self.graph.values or wanted in self.values
        name = fresh_name({*self.graph.values, *self.values}, wanted) if taken else wanted
        self.values[name] = dataclasses.replace(like, name=name, shape=shape)
        return name


def region_windows(graph: Graph, region: Region) -> dict[str, Window] | None:
    """Node name → window for the nodes of ``region``; None where one of them cannot be tiled."""
    found: dict[str, Window] = {}
    for node in graph.nodes[region.first : region.last]:
        window = tile_window(graph, node)
        if window is None:
            return None
        found[node.name] = window
    return found


def tile_region(graph: Graph, tiling: Tiling, windows: Mapping[str, Window], streamed: bool = False) -> Piece | None:
    """The loop that computes the region of ``tiling``; None where its values do not move at one pace, or padding differs among readers.

    ``streamed``: its entry lies outside of the arena.
    """
    found = extents(graph, tiling, windows)
    fills = None if found is None else _fills(graph, tiling, windows)
    if found is None or fills is None:
        return None
    return _Tiler(graph, tiling, windows, found, fills, streamed).piece()


def _fills(graph: Graph, tiling: Tiling, windows: Mapping[str, Window]) -> dict[str, int] | None:
    """Value → the integer that its readers see outside of the picture, for those that look there."""
    fills: dict[str, int] = {}
    for node in graph.nodes[tiling.region.first : tiling.region.last]:
        padding = windows[node.name].padding
        if not sum(padding[0]) and (tiling.bands == 1 or not sum(padding[1])):
            continue
        fill = node.op.padding_value(graph.ins(node))
        read = data_inputs(graph, node)[0]
        if fill is None or fills.setdefault(read, fill) != fill:
            return None
    return fills


@dataclass
class _Tiler:
    """One region on its way to a loop."""

    graph: Graph
    tiling: Tiling
    windows: Mapping[str, Window]
    extents: Mapping[str, Extent]
    fills: Mapping[str, int]
    streamed: bool = False

    def __post_init__(self) -> None:
        region = self.tiling.region
        self.body = _Body(self.graph)
        self.source = self.graph.nodes[region.first : region.last]
        self.taken = {node.name for node in self.graph.nodes}
        self.covers = tuple(node.name for node in self.source)
        self.whole: dict[str, str] = {}
        """Value → its tile in the arena."""
        self.kept: dict[str, str] = {}
        """Value → its kept rows, as they are now."""
        self.opened: list[str] = []
        """Kept rows as the loop's beginning has them."""
        self.active: dict[str, tuple[int, int]] = {}

    def piece(self) -> Piece:
        entry, exit = self.tiling.region.entry, self.tiling.region.exit
        out = self.graph.value(exit)
        picture = self.body.value(out, f"{exit}/picture", out.sample_shape)
        self._take(entry)
        for node in self.source:
            self._compute(node)
        extent = self.extents[exit]
        written = self.body.value(out, f"{exit}/written", out.sample_shape)
        self._add(PutTile(extent.rows, extent.columns), (picture, self.whole[exit]), written, f"{exit}/put", extent.rows, exit)
        opened = (picture, *self.opened)
        shapes = tuple(self.body.values[name].sample_shape for name in opened)
        name = f"{self.source[0].name}/loop"
        head = Node(self._fresh(f"{name}/open"), OpenLoop(shapes), (), opened)
        read = () if self.streamed else (entry,)
        tail = Node(self._fresh(f"{name}/close"), CloseLoop(), (written, *read, *self.kept.values()), (exit,))
        height, _ = widths(out)
        count = len(self.body.nodes)
        stop = -(-height // self.tiling.rows)
        loop = Loop(name, 1, count, self._start(), stop, self.tiling.bands, self.active, self.tiling, self.covers)
        return Piece((head, *self.body.nodes, tail), tuple(self.body.values.values()), loop)

    def _start(self) -> int:
        """The first strip: that in which the first row of a picture comes into kept rows."""
        starts = [0]
        for name in self.kept:
            rows = self.extents[name].fresh_rows
            starts.append(rows.touches(widths(self.graph.value(name))[0])[0])
        return min(starts)

    def _add(self, op: Operator, inputs: Sequence[str], output: str, name: str, rows: Span | None = None, of: str = "") -> None:
        """``rows`` of value ``of``: the node need run only where some of them lie in the picture."""
        name = name if name in self.covers else self._fresh(name)
        self.body.nodes.append(Node(name, op, tuple(inputs), (output,)))
        if rows is not None:
            self.active[name] = rows.touches(widths(self.graph.value(of))[0])

    def _fresh(self, name: str) -> str:
        """A name for a node that the graph does not have."""
        return fresh_name(self.taken, name) if name in self.taken else name

    def _shape(self, name: str, rows: int) -> tuple[int, ...]:
        return (1, rows, self.extents[name].columns.size, int(self.graph.value(name).shape[3] or 1))

    def _take(self, entry: str) -> None:
        extent, value = self.extents[entry], self.graph.value(entry)
        tile = self.body.value(value, f"{self.source[0].name}/taken", self._shape(entry, extent.rows.size))
        shape = (*widths(value), int(value.shape[3] or 1))
        take = TakeTile(extent.rows, extent.columns, shape, self.fills.get(entry, 0))
        self._add(take, () if self.streamed else (entry,), tile, f"{self.source[0].name}/take")
        self.whole[entry] = tile

    def _compute(self, node: Node) -> None:
        name = node.outputs[0]
        extent, value = self.extents[name], self.graph.value(name)
        window = self.windows[node.name]
        inputs = [read if self.graph.is_constant(read) else self._part(node, extent, window, read) for read in node.inputs]
        op = node.op.without_padding(True, self.tiling.bands > 1)
        tile = self.body.value(value, f"{name}/new" if extent.fresh < extent.rows.size else f"{name}/tile", self._shape(name, extent.fresh))
        self._add(op, inputs, tile, node.name, extent.fresh_rows, name)
        if extent.fresh < extent.rows.size:
            tile = self._join(name, tile, extent)
        if name in self.fills:
            tile = self._fill_border(name, tile, extent)
        self.whole[name] = tile
        if name in self.kept and name in self.tiling.staying:
            self.kept[name] = tile
        elif name in self.kept:
            last = self.body.value(value, f"{name}/last", self.body.values[self.kept[name]].sample_shape)
            self._add(KeepRows(), (self.kept[name], tile), last, f"{name}/keep")
            self.kept[name] = last

    def _part(self, node: Node, extent: Extent, window: Window, read: str) -> str:
        """The part of the tile of ``read`` that ``node`` needs: all of it, or a copy."""
        held = self.extents[read]
        rows, columns = read_by(self.graph, node, extent, window, read, self.tiling.bands)
        if rows == held.rows and columns == held.columns:
            return self.whole[read]
        channels = int(self.graph.value(read).shape[3] or 1)
        begin = (0, rows.start - held.rows.start, columns.start - held.columns.start, 0)
        part = self.body.value(self.graph.value(read), f"{node.name}/part", (1, rows.size, columns.size, channels))
        size = (1, rows.size, columns.size, channels)
        self._add(Slice(begin, size, (1, 1, 1, 1)), (self.whole[read],), part, part, extent.fresh_rows, node.outputs[0])
        return part

    def _join(self, name: str, fresh: str, extent: Extent) -> str:
        """Kept rows and fresh ones, one after the other."""
        value = self.graph.value(name)
        stays = name in self.tiling.staying
        rows = extent.rows.size if stays else extent.rows.size - extent.fresh
        self.kept[name] = self.body.value(value, f"{name}/kept", self._shape(name, rows))
        self.opened.append(self.kept[name])
        joined = self.body.value(value, f"{name}/joined", self._shape(name, extent.rows.size))
        self._add(AppendRows() if stays else Concat(1), (self.kept[name], fresh), joined, f"{name}/join")
        return joined

    def _fill_border(self, name: str, tile: str, extent: Extent) -> str:
        value = self.graph.value(name)
        edged = self.body.value(value, f"{name}/edged", self._shape(name, extent.rows.size))
        height, width = widths(value)
        self._add(FillBorder(extent.rows, extent.columns, height, width, self.fills[name]), (tile,), edged, f"{name}/border")
        return edged


def tile_graph(graph: Graph, tilings: Sequence[Tiling | Split], streamed: bool = False) -> tuple[Graph, tuple[Loop, ...]]:
    """The graph that is executed in place of ``graph`` (one sample), and its loops. ModelError where a region cannot be tiled so.

    ``streamed``: the input lies outside of the arena, and the first layers, which alone read it, are tiled. The graph has no input then.
    """
    nodes: list[Node] = []
    values: dict[str, Value] = {}
    constants: dict[str, Constant] = {}
    loops: list[Loop] = []
    position = 0
    for tiling in sorted(tilings, key=lambda item: item.region.first):
        piece = _piece(graph, tiling, streamed and tiling.region.first == 0)
        if piece is None or tiling.region.first < position:
            where = f"{graph.nodes[tiling.region.first].name!r} … {graph.nodes[tiling.region.last - 1].name!r}"
            raise ModelError(f"the layers {where} of {graph.name!r} cannot be computed in strips", hint="tile other layers")
        nodes += graph.nodes[position : tiling.region.first]
        shift = len(nodes)
        if isinstance(piece, Piece):
            loops.append(dataclasses.replace(piece.loop, first=piece.loop.first + shift, last=piece.loop.last + shift))
        else:
            constants |= piece.constants
        nodes += piece.nodes
        values |= {value.name: value for value in piece.values}
        position = tiling.region.last
    nodes += graph.nodes[position:]
    if streamed:
        if not loops or loops[0].tiling.region.first:
            raise ModelError(f"the first layers of {graph.name!r} are not tiled, so that its input has to be whole", hint="tile them too")
        graph = dataclasses.replace(graph, inputs=())
    return _with_nodes(graph, nodes, values, constants), tuple(loops)


def _piece(graph: Graph, tiling: Tiling | Split, outside: bool) -> Piece | SplitPiece | None:
    if isinstance(tiling, Split):
        axes = split_axes(graph, tiling.region)
        return None if axes is None or outside else split_region(graph, tiling, axes)
    windows = region_windows(graph, tiling.region)
    return None if windows is None else tile_region(graph, tiling, windows, outside)


def _with_nodes(graph: Graph, nodes: Sequence[Node], values: Mapping[str, Value], constants: Mapping[str, Constant]) -> Graph:
    """``graph`` with other nodes; what they do not use is left out."""
    used = {name for node in nodes for name in (*node.inputs, *node.outputs)} | {*graph.inputs, *graph.outputs}
    known = {**graph.values, **values}
    return dataclasses.replace(
        graph,
        nodes=tuple(nodes),
        values={name: value for name, value in known.items() if name in used},
        constants={name: constant for name, constant in {**graph.constants, **constants}.items() if name in used},
    )
