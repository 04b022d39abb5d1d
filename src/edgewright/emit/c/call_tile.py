"""The operators of tiled loops as calls of kernels; those that move with the loop take its counters."""

from __future__ import annotations

from edgewright.emit.c.layer import Call, Counter, Layer, Outside, Parameter, known
from edgewright.ops.tile import FillBorder, PutTile, Span, TakeTile

COUNTERS = (Counter("strip"), Counter("band"))


def call_loop_end(layer: Layer) -> list[Call]:
    """Where a loop begins or ends, nothing is computed."""
    return []


def call_take_tile(layer: Layer) -> list[Call]:
    """From the arena, or from where the user's picture lies."""
    op = layer.node.op
    assert isinstance(op, TakeTile)
    source = layer.input() if layer.ins else Outside()
    parameters: dict[str, Parameter] = {"tile": _tile(op.shape, op.rows, op.columns), "fill": op.fill}
    return [Call("take_tile", parameters, [source, layer.output(), *COUNTERS])]


def call_fill_border(layer: Layer) -> list[Call]:
    """In place."""
    op = layer.node.op
    assert isinstance(op, FillBorder)
    shape = (op.height, op.width, known(layer.outs[0].shape)[3])
    parameters: dict[str, Parameter] = {"tile": _tile(shape, op.rows, op.columns), "fill": op.fill}
    return [Call("fill_border", parameters, [layer.output(), *COUNTERS])]


def call_put_tile(layer: Layer) -> list[Call]:
    """Into the picture that the loop makes."""
    op = layer.node.op
    assert isinstance(op, PutTile)
    parameters: dict[str, Parameter] = {"tile": _tile(known(layer.outs[0].shape)[1:], op.rows, op.columns)}
    return [Call("put_tile", parameters, [layer.input(1), layer.output(), *COUNTERS])]


def call_keep_rows(layer: Layer) -> list[Call]:
    """The last rows of a tile lie at its end."""
    size = layer.outs[0].bytes
    fields: dict[str, Parameter] = {"sizes": [1, 1, 1, 1], "from_step": [0] * 4, "to_step": [0] * 4, "run": size}
    return [Call("copy", fields, [layer.input(1, layer.ins[1].bytes - size), layer.output()])]


def call_append_rows(layer: Layer) -> list[Call]:
    """The rows that stay move to the front, one by one, and the new ones follow."""
    height, width, pixel = known(layer.outs[0].shape)[1:]
    fresh, row = known(layer.ins[1].shape)[1], width * pixel
    steps = [0, 0, 0, row]
    moved: dict[str, Parameter] = {"sizes": [1, 1, 1, height - fresh], "from_step": steps, "to_step": steps, "run": row}
    added: dict[str, Parameter] = {"sizes": [1, 1, 1, 1], "from_step": [0] * 4, "to_step": [0] * 4, "run": fresh * row}
    return [
        Call("copy", moved, [layer.output(fresh * row), layer.output()]),
        Call("copy", added, [layer.input(1), layer.output((height - fresh) * row)]),
    ]


def _tile(shape: tuple[int, ...], rows: Span, columns: Span) -> dict[str, int]:
    """The fields of ``struct ew_part``; elements are bytes."""
    return {
        "height": shape[0],
        "width": shape[1],
        "pixel": shape[2],
        "rows": rows.size,
        "columns": columns.size,
        "row_step": rows.step,
        "row_start": rows.start,
        "column_step": columns.step,
        "column_start": columns.start,
    }
