"""The C kernels: real files, found by name in the folders of a target, in order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import resources

from edgewright.errors import TargetError

INCLUDE = re.compile(r'^#include "([a-z0-9_]+\.h)"$', re.MULTILINE)


def kernel_files(names: Iterable[str], folders: Sequence[str]) -> dict[str, str]:
    """File name → contents of the kernels ``names`` and of what they include; the first folder that has a file gives it."""
    root = resources.files(__package__).joinpath("kernels")
    found: dict[str, str] = {}
    pending = [f"{name}.h" for name in names]
    while pending:
        file = pending.pop()
        if file in found:
            continue
        places = [place for folder in folders if (place := root.joinpath(folder, file)).is_file()]
        if not places:
            raise TargetError(f"there is no C kernel {file} in {', '.join(folders)}", hint="end the target's list of kernels with portable")
        found[file] = places[0].read_text(encoding="utf-8")
        pending += INCLUDE.findall(found[file])
    return dict(sorted(found.items()))


def kernel_folder(name: str, folders: Sequence[str]) -> str:
    """Which of ``folders`` gives kernel ``name``; empty where none does."""
    root = resources.files(__package__).joinpath("kernels")
    return next((folder for folder in folders if root.joinpath(folder, f"{name}.h").is_file()), "")
