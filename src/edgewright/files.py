"""Files are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgewright.errors import ModelError, ToolError


def write_files(files: Mapping[str, bytes], folder: str | Path) -> list[Path]:
    """Write ``files`` (relative name → contents) below ``folder``.

    All of it is staged there under a hidden name first, so that a full disk or an interruption leaves no half-written file behind.
    """
    folder = Path(folder)
    for name in files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ModelError(f"file name {name!r} leads out of its folder", hint="rename the network")
    existed = folder.exists()
    stage: Path | None = None
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=".edgewright-", dir=folder))
        for name, contents in files.items():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).write_bytes(contents)
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(stage / name, folder / name)
            written.append(folder / name)
    except OSError as error:
        raise ToolError(
            f"cannot write to {folder}: {error.strerror or error}", hint="is the disk full, or the folder not yours?"
        ) from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
        if not existed and not written and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return written
