"""The student of MiniLM: two of its layers, cut, over look-ups, on pairs of tokens.

What the first layer makes of a token depends on the token alone, so that its query, key and value come out of tables. Its queries are the
means of two neighbours, and everything behind it is computed for such pairs (Funnel-Transformer, Dai et al. 2020, arXiv:2006.03236). To
what the layers give, each token's mean state in the teacher is added, which is a table as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.sentence_networks import FAR, Block, Encoder

PAIR = 2
"""Tokens that are put together."""


class Cut(Block):
    """A layer of the teacher with fewer heads and channels; how far apart two places are is added to their score."""

    def __init__(self, width: int, attention: int, heads: int, inner: int, reach: int) -> None:
        """``reach``: places, the largest distance that has a score of its own."""
        super().__init__(width, attention, heads, inner)
        self.reach = reach
        self.apart = nn.Parameter(torch.zeros(heads, 2 * reach + 1))

    def scores(self, asking: Tensor, asked: Tensor) -> Tensor:
        """What places alone add to the scores, (heads, asking, asked)."""
        return self.apart[:, (asked - asking[:, None]).clamp(-self.reach, self.reach) + self.reach]


class Student(nn.Module):
    """Cut layers over a look-up; before training it gives the sum of its table of ``answers``. Token 0 stands behind the end."""

    def __init__(self, table: Tensor, answers: Tensor, layers: Sequence[tuple[int, int, int]], longest: int) -> None:
        """``table``, ``answers``: (tokens, width). ``layers``: channels of attention, heads, channels that feed forward, for each."""
        super().__init__()
        width = table.shape[1]
        self.tokens = nn.Embedding.from_pretrained(table.clone(), freeze=False, sparse=True)
        self.answers = nn.Embedding.from_pretrained(answers.clone(), freeze=False, sparse=True, padding_idx=0)
        self.layers = nn.ModuleList(Cut(width, *sizes, longest) for sizes in layers)
        self.out = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.answers.weight[0] = 0.0
            self.out.weight.zero_()

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Sums of the states of every pair of tokens, (N, ceil(T / 2), width)."""
        ids, mask = (F.pad(part, (0, ids.shape[1] % PAIR)) for part in (ids, mask))
        x, answers = self.tokens(ids), self.answers(ids)
        if torch.is_autocast_enabled(x.device.type):
            x, answers, mask = (part.to(torch.get_autocast_dtype(x.device.type)) for part in (x, answers, mask))
        return summed(answers) + self.out(self.layered(x, self.layers[0].projected(x), mask))

    def layered(self, x: Tensor, projected: tuple[Tensor, Tensor, Tensor], mask: Tensor) -> Tensor:
        """What the layers give for every pair, (N, T / 2, width), nothing behind the end."""
        query, key, value = projected
        x, query = (summed(part) / PAIR for part in (x, query))
        tokens = torch.arange(mask.shape[1])
        pairs = tokens[: x.shape[1]]
        far = (1.0 - mask)[:, None, None] * FAR
        x = self.layers[0](x, (query, key, value), far + self.layers[0].scores(PAIR * pairs, tokens))
        there = mask[:, ::PAIR]
        far = (1.0 - there)[:, None, None] * FAR
        for layer in self.layers[1:]:
            x = layer(x, layer.projected(x), far + layer.scores(pairs, pairs))
        return x * there[..., None]

    def looked_up(self) -> nn.Module:
        """The same from tables of the first layer's query, key and value, with the sum of all states for its output (N, width)."""
        return _LookedUp(self)


class _LookedUp(nn.Module):
    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student
        with torch.no_grad():
            parts = student.layers[0].projected(student.tokens.weight)
            self.query, self.key, self.value = (nn.Embedding.from_pretrained(part) for part in parts)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.student.layered(self.student.tokens(ids), (self.query(ids), self.key(ids), self.value(ids)), mask)
        sums: Tensor = self.student.answers(ids).sum(1) + self.student.out(x.sum(1))
        return sums


def summed(x: Tensor) -> Tensor:
    """Sums of neighbouring pairs along the second axis: (N, T, C) → (N, ceil(T / 2), C)."""
    length = x.shape[1]
    pairs = torch.arange(-(-length // PAIR))[:, None] == torch.arange(length) // PAIR
    sums: Tensor = pairs.to(x.dtype) @ x
    return sums


def begun(student: Student, teacher: Encoder, numbers: Sequence[int], ids: Tensor, mask: Tensor) -> None:
    """Give the layers of ``student`` those ``numbers`` of the teacher, cut to the heads and channels that add most on sentences ``ids``."""
    far = (1.0 - mask).reshape(-1, 1, 1, mask.shape[1]) * FAR
    with torch.no_grad():
        x = teacher.normal(teacher.tokens(ids) + teacher.places[: ids.shape[1]])
        inputs = []
        for block in teacher.blocks:
            inputs.append(x[mask > 0])
            x = block(x, block.projected(x), far)
        for layer, number in zip(student.layers, numbers, strict=True):
            _cut(layer, teacher.blocks[number], inputs[number])


def _cut(layer: nn.Module, block: nn.Module, x: Tensor) -> None:
    assert isinstance(layer, Cut) and isinstance(block, Block)
    size = block.query.out_features // block.heads
    parts = block.value(x).reshape(len(x), block.heads, size), block.mixed.weight.reshape(-1, block.heads, size)
    added = torch.stack([(parts[0][:, head] @ parts[1][:, head].T).square().sum() for head in range(block.heads)])
    channels = (_largest(added, layer.heads)[:, None] * size + torch.arange(size)).flatten()
    inner = _largest(F.gelu(block.wide(block.attended(x))).std(0) * block.narrow.weight.norm(dim=0), layer.wide.out_features)
    for name in ("query", "key", "value"):
        _copy(getattr(layer, name), getattr(block, name), channels, slice(None))
    _copy(layer.mixed, block.mixed, slice(None), channels)
    _copy(layer.wide, block.wide, inner, slice(None))
    _copy(layer.narrow, block.narrow, slice(None), inner)
    for name in ("attended", "fed"):
        getattr(layer, name).load_state_dict(getattr(block, name).state_dict())


def _largest(scores: Tensor, count: int) -> Tensor:
    return scores.argsort(descending=True)[:count].sort().values


def _copy(layer: nn.Linear, source: nn.Linear, rows: Tensor | slice, columns: Tensor | slice) -> None:
    layer.weight.copy_(source.weight[rows][:, columns])
    layer.bias.copy_(source.bias[rows])
