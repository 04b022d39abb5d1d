"""Kernels of tiled loops: what they do in one iteration depends on the strip and the band, which their calls are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np

from edgewright.emit.c.structure.window import Counts, Fields, add, add_copies, number


def take_tile(fields: Fields) -> Counts:
    """Row by row: filled before and after the picture, copied within."""
    counts: Counts = {"call": 1}

    def row(at: int, columns: tuple[int, int, int, int], width: int, source: int) -> None:
        before, inside, after, first = columns
        add(counts, "row within", 1)
        _fill(counts, at, before)
        add_copies(counts, "copy", np.array([source + first]), np.array([at + before]), inside)
        _fill(counts, at + before + inside, after)

    _walk(counts, fields, row, fills=True)
    return counts


def put_tile(fields: Fields) -> Counts:
    """Row by row, what lies in the picture."""
    counts: Counts = {"call": 1}

    def row(at: int, columns: tuple[int, int, int, int], width: int, target: int) -> None:
        before, inside, _, first = columns
        add(counts, "row within", 1)
        add_copies(counts, "copy", np.array([at + before]), np.array([target + first]), inside)

    _walk(counts, fields, row, fills=False)
    return counts


def fill_border(fields: Fields) -> Counts:
    """Nothing where the tile lies within the picture, else row by row."""
    counts: Counts = {"call": 1}
    tile, (before, _, after, _) = _tile(fields), _columns(fields)
    first = tile["row_step"] * number(fields, "strip") + tile["row_start"]
    if first >= 0 and first + tile["rows"] <= tile["height"] and before + after == 0:
        return counts
    add(counts, "border", 1)

    def row(at: int, columns: tuple[int, int, int, int], width: int, _: int) -> None:
        add(counts, "row within", 1)
        _fill(counts, at, columns[0])
        _fill(counts, at + columns[0] + columns[1], columns[2])

    _walk(counts, fields, row, fills=True)
    return counts


def _walk(counts: Counts, fields: Fields, row: Callable[[int, tuple[int, int, int, int], int, int], None], *, fills: bool) -> None:
    """``row(place in the tile, columns, bytes of a row, place in the picture)`` for each row in the picture.

    The others are filled or dropped.
    """
    tile, columns = _tile(fields), _columns(fields)
    width = tile["columns"] * tile["pixel"]
    first = tile["row_step"] * number(fields, "strip") + tile["row_start"]
    for index in range(tile["rows"]):
        if 0 <= first + index < tile["height"]:
            row(index * width, columns, width, (first + index) * tile["width"] * tile["pixel"])
        else:
            add(counts, "row without", 1)
            if fills:
                _fill(counts, index * width, width)


def _fill(counts: Counts, at: int, size: int) -> None:
    """The library's memset: bytes up to a whole word, words, bytes. It is called for nothing as well."""
    if size:
        add_copies(counts, "fill", np.array([at]), np.array([at]), size)
    else:
        add(counts, "fill of nothing", 1)


def _tile(fields: Fields) -> dict[str, int]:
    return cast(dict[str, int], fields["tile"])


def _columns(fields: Fields) -> tuple[int, int, int, int]:
    """Bytes of a row before the picture, in it and after it, and where those in it begin in a row of the picture: ``ew_part_row``."""
    tile = _tile(fields)
    first = tile["column_step"] * number(fields, "band") + tile["column_start"]
    low, end = max(first, 0), min(first + tile["columns"], tile["width"])
    inside, before = max(end - low, 0), min(low - first, tile["columns"])
    return before * tile["pixel"], inside * tile["pixel"], (tile["columns"] - before - inside) * tile["pixel"], low * tile["pixel"]
