"""Depth-first search for offsets below a capacity, compiled from depth_first.c: for instances that ask for millions of placements.

Only whoever asks for it gets it (benchmarks, hard instances): plans of programs never depend on a compiler being at hand.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from edgewright.errors import EdgewrightError
from edgewright.lower.beam import Answer, Ints
from edgewright.lower.sections import Sections

SOURCE = Path(__file__).with_name("depth_first.c")
ANSWERS = {1: Answer.FOUND, 0: Answer.NONE, -1: Answer.LIMIT}
NODES = 4_000_000


def depth_first(problem: Sections, capacity: int, nodes: int = NODES) -> tuple[Answer, Ints]:
    """(answer, offsets in units). Three orders take turns with a limit that doubles, until ``nodes`` placements were tried in all.

    The answer depends on the arguments alone. EdgewrightError where no C compiler is at hand.
    """
    function = _compiled()
    area, width, load = problem.size * problem.width, problem.width, np.zeros_like(problem.size)
    orders = (((width, area, load), 2), ((load, area, width), 0), ((load, width, area), 0))
    offsets = np.zeros_like(problem.size)
    first, stop = problem.first.astype(np.int32), problem.stop.astype(np.int32)
    spent, limit = 0, 2 * len(problem.size)
    while spent < nodes:
        for columns, load_key in orders:
            keys = np.ascontiguousarray(np.stack(columns, axis=1))
            found = function(
                len(offsets), len(problem.load), problem.size, first, stop, keys, load_key, capacity, min(limit, nodes - spent), offsets
            )
            if found not in ANSWERS:
                raise EdgewrightError(f"no memory to place {len(offsets)} buffers", hint="place fewer buffers at a time")
            if found >= 0:
                return ANSWERS[found], offsets
            spent += limit
            if spent >= nodes:
                break
        limit *= 2
    return Answer.LIMIT, offsets


@functools.cache
def _compiled() -> ctypes._NamedFuncPointer:
    """The function of depth_first.c, built with the machine's own compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise EdgewrightError("depth-first allocation needs a C compiler, and none is at hand", hint="install gcc or clang")
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        library = Path(folder) / "depth_first.so"
        command = [compiler, "-std=c99", "-O3", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EdgewrightError(f"{compiler} cannot build depth_first.c: {done.stderr.strip()[:400]}", hint="install a C99 compiler")
        function = ctypes.CDLL(str(library)).depth_first
    wide, narrow = np.ctypeslib.ndpointer(np.int64, flags="C"), np.ctypeslib.ndpointer(np.int32, flags="C")
    integer, long = ctypes.c_int32, ctypes.c_int64
    function.argtypes = [integer, integer, wide, narrow, narrow, wide, integer, long, long, wide]
    function.restype = ctypes.c_int
    return function
