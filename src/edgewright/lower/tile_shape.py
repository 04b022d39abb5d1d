"""Which runs of layers can be computed strip by strip, and which part of every value each iteration then needs and computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from edgewright.errors import ModelError
from edgewright.ir.graph import Graph, Node, Value
from edgewright.ir.operator import Window
from edgewright.ops.tile import Span


@dataclass(frozen=True)
class Region:
    """The nodes ``first`` … ``last`` - 1 of a graph: they read ``entry`` and constants alone, and nothing but ``exit`` is read after."""

    first: int
    last: int
    entry: str
    exit: str


@dataclass(frozen=True)
class Tiling:
    """How a region is walked: ``rows`` of the exit in each iteration, in ``bands`` of columns one after the other.

    Values in ``cached`` keep the rows that the next strip needs again; of the others these are computed again. Those in ``staying`` keep
    their whole tile in its place, to which new rows are appended: less RAM where few values are cached, more where many are.
    """

    region: Region
    rows: int
    bands: int = 1
    cached: frozenset[str] = frozenset()
    staying: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Extent:
    """The part of a value that lies in the arena, and how many of its last rows are computed in each iteration."""

    rows: Span
    columns: Span
    fresh: int

    @property
    def fresh_rows(self) -> Span:
        return Span(self.rows.step, self.rows.start + self.rows.size - self.fresh, self.fresh)


def cuts(graph: Graph) -> dict[int, str]:
    """Position → the one value that passes from the nodes before it to those from it on, where it is one alone (the input at 0)."""
    last: dict[str, int] = {name: len(graph.nodes) for name in graph.kept}
    for step, node in enumerate(graph.nodes):
        for name in node.inputs:
            last[name] = max(last.get(name, -1), step)
    if len(graph.inputs) != 1 or graph.states:
        return {}
    live = set(graph.inputs)
    found = {0: graph.inputs[0]}
    for step, node in enumerate(graph.nodes):
        live |= set(node.outputs)
        live = {name for name in live if last.get(name, -1) > step}
        if len(live) == 1:
            found[step + 1] = next(iter(live))
    return found


def data_inputs(graph: Graph, node: Node) -> list[str]:
    """Inputs of ``node`` that are no constants, each once."""
    return [name for name in dict.fromkeys(node.inputs) if not graph.is_constant(name)]


def tile_window(graph: Graph, node: Node) -> Window | None:
    """The window of ``node`` where it can be computed tile by tile; else None.

    The operator is asked: what it gives for a part of its input must be that part of its output.
    """
    ins, outs = graph.ins(node), graph.outs(node)
    window = node.op.window(ins)
    names = data_inputs(graph, node)
    if window is None or len(outs) != 1 or not names:
        return None
    pictures = [graph.value(name) for name in names]
    if any(value.rank != 4 or value.shape[0] != 1 or value.dtype.bits != 8 for value in (*pictures, *outs)):
        return None
    if len({value.shape[1:3] for value in pictures}) > 1 or (len(pictures) > 1 and window != Window()):
        return None
    padded = any(sum(pair) for pair in window.padding)
    if padded and node.op.padding_value(ins) is None:
        return None
    return window if _keeps_to_parts(graph, node, window) else None


def _keeps_to_parts(graph: Graph, node: Node, window: Window) -> bool:
    """Whether the operator takes a part of its input, and gives as much of its output as the window says."""
    names = set(data_inputs(graph, node))
    out = graph.outs(node)[0]
    for outputs in (1, 3):
        size = [
            (outputs - 1) * stride + (kernel - 1) * dilation + 1
            for kernel, stride, dilation in zip(window.kernel, window.stride, window.dilation, strict=True)
        ]
        ins = [
            dataclasses.replace(value, shape=(1, size[0], size[1], value.shape[3])) if value.name in names else value
            for value in graph.ins(node)
        ]
        try:
            shapes = node.op.without_padding(True, True).infer(ins)
        except ModelError:
            return False
        if shapes != ((1, outputs, outputs, out.shape[3]),):
            return False
    return True


def widths(value: Value) -> tuple[int, int]:
    """Height and width of a picture."""
    return int(value.shape[1] or 1), int(value.shape[2] or 1)


def extents(graph: Graph, tiling: Tiling, windows: Mapping[str, Window]) -> dict[str, Extent] | None:
    """The part of every value of the region that an iteration needs; None where two readers walk at different paces.

    ``windows``: node name → its window, of every node of the region.
    """
    region = tiling.region
    nodes = graph.nodes[region.first : region.last]
    width = widths(graph.value(region.exit))[1]
    band = -(-width // tiling.bands)
    rows = {region.exit: Span(tiling.rows, 0, tiling.rows)}
    columns = {region.exit: Span(band, 0, band)}
    found: dict[str, Extent] = {}
    for node in reversed(nodes):
        name = node.outputs[0]
        if name not in rows:
            return None
        found[name] = _extent(rows[name], columns[name], name in tiling.cached)
        window = windows[node.name]
        for read in data_inputs(graph, node):
            above = _before(found[name].fresh_rows, window, 0)
            aside = _before(columns[name], window, 1)
            if tiling.bands == 1:
                aside = Span(widths(graph.value(read))[1], 0, widths(graph.value(read))[1])
            whole_rows, whole_columns = _union(rows.get(read), above), _union(columns.get(read), aside)
            if whole_rows is None or whole_columns is None:
                return None
            rows[read], columns[read] = whole_rows, whole_columns
    found[region.entry] = _extent(rows[region.entry], columns[region.entry], False)
    return found


def _extent(rows: Span, columns: Span, cached: bool) -> Extent:
    return Extent(rows, columns, rows.step if cached and rows.size > rows.step else rows.size)


def _before(span: Span, window: Window, axis: int) -> Span:
    """What a window reads along ``axis`` (0: rows) to make ``span``."""
    stride, reach = window.stride[axis], (window.kernel[axis] - 1) * window.dilation[axis]
    return Span(span.step * stride, span.start * stride - window.padding[axis][0], (span.size - 1) * stride + reach + 1)


def _union(first: Span | None, second: Span) -> Span | None:
    """Both parts and what lies between; None where they move at different paces."""
    if first is None:
        return second
    if first.step != second.step:
        return None
    start = min(first.start, second.start)
    return Span(first.step, start, max(first.start + first.size, second.start + second.size) - start)


def read_by(graph: Graph, node: Node, extent: Extent, window: Window, read: str, bands: int) -> tuple[Span, Span]:
    """Rows and columns of value ``read`` that ``node`` reads to make the fresh part of its output."""
    if bands == 1:
        width = widths(graph.value(read))[1]
        return _before(extent.fresh_rows, window, 0), Span(width, 0, width)
    return _before(extent.fresh_rows, window, 0), _before(extent.columns, window, 1)
