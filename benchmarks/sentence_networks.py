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

    def __init__(self, width: int, attention: int, heads: int, inner: int) -> None:
        """``attention``: channels of all heads together; ``inner``: between the two layers that feed forward."""
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, attention) for _ in range(3))
        self.mixed, self.wide, self.narrow = nn.Linear(attention, width), nn.Linear(width, inner), nn.Linear(inner, width)
        self.attended, self.fed = nn.LayerNorm(width, eps=EPSILON), nn.LayerNorm(width, eps=EPSILON)

    def projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of every place."""
        return self.query(x), self.key(x), self.value(x)

    def forward(self, x: Tensor, projected: tuple[Tensor, Tensor, Tensor], added: Tensor) -> Tensor:
        """``added``: to the scores, (… heads, places of ``x``, places of key and value)."""
        length, attention = x.shape[1], projected[0].shape[2]
        heads, width = self.heads, attention // self.heads
        query, key, value = (part.reshape(-1, part.shape[1], heads, width).transpose(1, 2) for part in projected)
        if self.training:  # the same at once, which takes less time
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=added.to(query.dtype))
        else:
            mixed = (query @ key.transpose(2, 3) / math.sqrt(width) + added).softmax(-1) @ value
        x = self.attended(x + self.mixed(mixed.transpose(1, 2).reshape(-1, length, attention)))
        fed: Tensor = self.fed(x + self.narrow(F.gelu(self.wide(x))))
        return fed


class Encoder(nn.Module):
    """Look-up, places, blocks, and the mean over the tokens that are there."""

    def __init__(self, shape: Shape, length: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Parameter(torch.zeros(length, shape.width))
        self.normal = nn.LayerNorm(shape.width, eps=EPSILON)
        self.blocks = nn.ModuleList([Block(shape.width, shape.width, shape.heads, shape.inner) for _ in range(shape.layers)])

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """A state for every token, (N, T, width); T may be shorter than the longest sentence."""
        far = (1.0 - mask).reshape(-1, 1, 1, mask.shape[1]) * FAR
        x: Tensor = self.normal(self.tokens(ids) + self.places[: ids.shape[1]])
        for block in self.blocks:
            x = block(x, block.projected(x), far)
        return x

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.states(ids, mask)
        there = mask.reshape(-1, mask.shape[1], 1)
        mean = (x * there).sum(1) / there.sum(1).clamp(min=1.0)
        return F.normalize(mean, dim=1)


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
