"""Sentence encoders in torch: the shape of BERT (Devlin et al. 2018, arXiv:1810.04805) with mean pooling, as all-MiniLM-L6-v2 has it.

Inputs: ids (N, T) of tokens, and a mask (N, T), 1 where a token stands and 0 behind the end. Output: (N, 384).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.sentences import minilm_weights

FAR = -10000.0
"""Added to the scores of places where no token stands."""
EPSILON = 1e-12


@dataclass(frozen=True)
class Shape:
    """``inner``: channels between the two layers that feed forward."""

    vocabulary: int
    width: int
    heads: int
    inner: int
    layers: int


class Block(nn.Module):
    """One layer of the encoder, normalized behind each sum."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, width = shape.heads, shape.width
        self.query, self.key, self.value, self.mixed = (nn.Linear(width, width) for _ in range(4))
        self.wide, self.narrow = nn.Linear(width, shape.inner), nn.Linear(shape.inner, width)
        self.attended, self.fed = nn.LayerNorm(width, eps=EPSILON), nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor, far: Tensor) -> Tensor:
        length, width = x.shape[1], x.shape[2]
        query, key, value = (
            layer(x).reshape(-1, length, self.heads, width // self.heads).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(2, 3) / math.sqrt(width // self.heads) + far
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(-1, length, width)
        x = self.attended(x + self.mixed(mixed))
        fed: Tensor = self.fed(x + self.narrow(F.gelu(self.wide(x))))
        return fed


class Encoder(nn.Module):
    """Look-up, places, blocks, and the mean over the tokens that are there."""

    def __init__(self, shape: Shape, length: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Parameter(torch.zeros(length, shape.width))
        self.normal = nn.LayerNorm(shape.width, eps=EPSILON)
        self.blocks = nn.ModuleList([Block(shape) for _ in range(shape.layers)])

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        far = (1.0 - mask).reshape(-1, 1, 1, mask.shape[1]) * FAR
        x = self.normal(self.tokens(ids) + self.places)
        for block in self.blocks:
            x = block(x, far)
        there = mask.reshape(-1, mask.shape[1], 1)
        mean = (x * there).sum(1) / there.sum(1).clamp(min=1.0)
        return F.normalize(mean, dim=1)


class Student(nn.Module):
    """One layer of attention and one that feeds forward, normalized before and added behind, over a look-up that knows no places.

    It begins as the mean of its table, through a linear layer.
    """

    def __init__(self, table: Tensor, attention: int, heads: int, inner: int) -> None:
        super().__init__()
        width = table.shape[1]
        self.heads = heads
        self.tokens = nn.Embedding.from_pretrained(table.clone(), freeze=False)
        self.query, self.key, self.value = (nn.Linear(width, attention) for _ in range(3))
        self.mixed, self.wide, self.narrow = nn.Linear(attention, width), nn.Linear(width, inner), nn.Linear(inner, width)
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.outputs = nn.Linear(width, width)
        for layer in (self.mixed, self.narrow):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        length, attention = mask.shape[1], self.query.out_features
        far = (1.0 - mask).reshape(-1, 1, 1, length) * FAR
        x = self.tokens(ids)
        normal = self.before(x)
        shape = (-1, length, self.heads, attention // self.heads)
        query, key, value = (layer(normal).reshape(shape).transpose(1, 2) for layer in (self.query, self.key, self.value))
        scores = query @ key.transpose(2, 3) / math.sqrt(shape[3]) + far
        x = x + self.mixed((scores.softmax(-1) @ value).transpose(1, 2).reshape(-1, length, attention))
        x = x + self.narrow(F.gelu(self.wide(self.between(x))))
        there = mask.reshape(-1, length, 1)
        mean: Tensor = self.outputs((x * there).sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0))
        return mean


def minilm(length: int) -> Encoder:
    """all-MiniLM-L6-v2 with its weights, for sentences of ``length`` tokens; positions and the one token type are added up beforehand."""
    state, sizes = minilm_weights()
    names = ("vocab_size", "hidden_size", "num_attention_heads", "intermediate_size", "num_hidden_layers")
    shape = Shape(*(sizes[name] for name in names))
    encoder = Encoder(shape, length)
    encoder.load_state_dict(_renamed(state, shape.layers, length))
    return encoder.eval()


def _renamed(state: Mapping[str, Tensor], layers: int, length: int) -> dict[str, Tensor]:
    names = {
        "attention.self.query": "query",
        "attention.self.key": "key",
        "attention.self.value": "value",
        "attention.output.dense": "mixed",
        "attention.output.LayerNorm": "attended",
        "intermediate.dense": "wide",
        "output.dense": "narrow",
        "output.LayerNorm": "fed",
    }
    places = state["embeddings.position_embeddings.weight"][:length] + state["embeddings.token_type_embeddings.weight"][0]
    found = {"tokens.weight": state["embeddings.word_embeddings.weight"], "places": places}
    for part in ("weight", "bias"):
        found[f"normal.{part}"] = state[f"embeddings.LayerNorm.{part}"]
        for layer in range(layers):
            found.update({f"blocks.{layer}.{new}.{part}": state[f"encoder.layer.{layer}.{old}.{part}"] for old, new in names.items()})
    return found
