"""What MiniLM says of every token of the training sentences, and how a student learns from it.

The mean of a sentence's states is its embedding, so that each token's state tells what that token should add to it: seventeen answers a
sentence, and a table of every token's mean state to begin with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.fetch import cache_folder, writing
from benchmarks.sentence_networks import Encoder, minilm
from benchmarks.sentence_student import Student, summed
from benchmarks.sentences import LENGTH, Sentences, edition
from edgewright.train.distillation import Directions, Similarities

Halves = npt.NDArray[np.float16]
PIECE, TOGETHER = 4_096, 64
"""Sentences of one file, and of one batch of the teacher."""
SORTED = 8
"""Batches whose sentences are sorted by length together, so that little is padded."""
RIDGE = 1e-3
"""Of the mean square of a channel, added in least squares."""
PRIOR = 1.0
"""Occurrences that what the teacher says of a token alone counts for."""


def lessons() -> Path:
    """Where what the teacher says of this choice of sentences is kept, and who learned from it."""
    return cache_folder() / "sentence_teacher" / edition()


def states(part: Sentences, count: int) -> list[Halves]:
    """The teacher's states of the first ``count`` sentences, in bfloat16: an array (tokens, 384) for every PIECE of them."""
    pieces, network = [], None
    for start in range(0, count, PIECE):
        path = lessons() / f"states-{start}.npy"
        if not path.is_file():
            network = network or minilm(LENGTH).to(torch.bfloat16)
            masks = part.masks[start : start + PIECE]
            with writing(path) as folder:
                np.save(folder / path.name, _ask(network, part.ids[start : start + PIECE], masks.sum(1).astype(int)))
                (folder / path.name).replace(path)
        pieces.append(np.load(path, mmap_mode="r", allow_pickle=False))
    return pieces


def alone() -> Halves:
    """The state of every token of the vocabulary in a sentence of its own, (tokens, 384)."""
    path = cache_folder() / "sentence_teacher" / "alone.npy"
    if not path.is_file():
        network = minilm(LENGTH).to(torch.bfloat16)
        count = network.tokens.num_embeddings
        ids = np.stack([np.full(count, 101, np.int32), np.arange(count, dtype=np.int32), np.full(count, 102, np.int32)], 1)
        found = _ask(network, ids, np.full(count, 3)).reshape(count, 3, -1)[:, 1]
        with writing(path) as folder:
            np.save(folder / path.name, found)
            (folder / path.name).replace(path)
    return np.asarray(np.load(path, allow_pickle=False))


def _ask(network: Encoder, ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int_]) -> Halves:
    """States of all tokens that are there, sentence behind sentence."""
    starts = np.concatenate([[0], np.cumsum(lengths)])
    found = np.empty((starts[-1], network.tokens.embedding_dim), np.float16)
    with torch.inference_mode():
        for rows in np.array_split(np.argsort(lengths, kind="stable"), -(-len(ids) // TOGETHER)):
            longest = int(lengths[rows].max())
            masks = torch.from_numpy(np.arange(longest) < lengths[rows, None]).to(torch.bfloat16)
            said = network.states(torch.from_numpy(ids[rows, :longest]).long(), masks).half().numpy()
            for row, own in zip(rows, said, strict=True):
                found[starts[row] : starts[row + 1]] = own[: lengths[row]]
    return found


def mean_states(part: Sentences, pieces: list[Halves]) -> Tensor:
    """The mean state of every token over all its places (Bommasani et al. 2020), (tokens, 384); what never occurs stands as it is alone."""
    sums = torch.from_numpy(alone()).float() * PRIOR
    counts = torch.full((len(sums),), PRIOR)
    for number, piece in enumerate(pieces):
        ids = torch.from_numpy(part.ids[number * PIECE : (number + 1) * PIECE])
        tokens = ids[ids != 0].long()
        sums.index_add_(0, tokens, torch.from_numpy(np.array(piece)).float())
        counts += torch.bincount(tokens, minlength=len(sums))
    return sums / counts[:, None]


@dataclass(frozen=True)
class Batches:
    """``steps`` batches of one ``size``, each of sentences about as long, as often through all as it takes: ((ids, masks), states)."""

    part: Sentences
    pieces: list[Halves]
    size: int
    steps: int

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
        return islice(self._all(), self.steps)

    def _all(self) -> Iterator[tuple[tuple[Tensor, Tensor], Tensor]]:
        count, rng = len(self.pieces) * PIECE, np.random.default_rng(0)
        lengths = self.part.masks[:count].sum(1).astype(int)
        starts = np.concatenate([np.cumsum(own) - own for own in lengths.reshape(-1, PIECE)])
        while True:
            batches = []
            for group in np.array_split(rng.permutation(count), -(-count // (self.size * SORTED))):
                ordered = group[np.argsort(lengths[group] + rng.random(len(group)))]
                batches += np.array_split(ordered, max(1, len(group) // self.size))
            for number in rng.permutation(len(batches)):
                yield self._batch(batches[number], lengths, starts)

    def _batch(
        self, rows: npt.NDArray[np.int_], lengths: npt.NDArray[np.int_], starts: npt.NDArray[np.int_]
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        longest = int(lengths[rows].max())
        wanted = np.zeros((len(rows), longest, self.pieces[0].shape[1]), np.float16)
        for own, row in zip(wanted, rows, strict=True):
            own[: lengths[row]] = self.pieces[row // PIECE][starts[row] : starts[row] + lengths[row]]
        ids, masks = (torch.from_numpy(x[rows, :longest]) for x in (self.part.ids, self.part.masks))
        return (ids.long(), masks), torch.from_numpy(wanted).to(torch.bfloat16)


def lesson(sums: Tensor, wanted: Tensor) -> Tensor:
    """Relative error of the states of all pairs, and of the sentences' directions and similarities (twice).

    ``sums``: of every pair of tokens, (N, ceil(T / 2), width); ``wanted``: states of every token (N, T, width), none where none stands.
    """
    pairs = summed(wanted)
    errors = torch.linalg.vector_norm(sums - pairs, dtype=torch.float32) / torch.linalg.vector_norm(pairs, dtype=torch.float32)
    mine, other = (F.normalize(x.sum(1, dtype=torch.float32), dim=1) for x in (sums, pairs))
    with torch.autocast(sums.device.type, enabled=False):
        return errors.square() + Directions().loss(mine, other, other) + 2.0 * Similarities().loss(mine, other, other)


def refit(student: Student, part: Sentences, pieces: list[Halves]) -> None:
    """Give the student the linear map of its sums that comes nearest to the teacher's directions, by least squares over all sentences.

    The states of pairs are learned beside the sentences, and cost these; the map goes into the last layer and the table of answers.
    """
    mine, others = [], []
    for number, piece in enumerate(pieces):
        rows = slice(number * PIECE, (number + 1) * PIECE)
        masks = part.masks[rows]
        lengths = masks.sum(1).astype(int)
        others.append(np.add.reduceat(np.asarray(piece, np.float32), np.cumsum(lengths) - lengths, axis=0))
        with torch.inference_mode():
            for own in torch.split(torch.arange(rows.start, rows.start + len(masks)), PIECE // 16):
                mine.append(student(torch.from_numpy(part.ids[own]).long(), torch.from_numpy(part.masks[own])).sum(1))
    sums, wanted = F.normalize(torch.cat(mine), dim=1), F.normalize(torch.from_numpy(np.concatenate(others)), dim=1)
    ridge = RIDGE * torch.eye(sums.shape[1]) * len(sums) / sums.shape[1]
    better = torch.linalg.solve(sums.T @ sums + ridge, sums.T @ wanted)
    with torch.no_grad():
        student.answers.weight.copy_(student.answers.weight @ better)
        student.out.weight.copy_(better.T @ student.out.weight)
