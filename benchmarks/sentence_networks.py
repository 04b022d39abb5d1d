"""Sentence encoders in torch: the shape of BERT (Devlin et al. 2018, arXiv:1810.04805) with mean pooling, as all-MiniLM-L6-v2 has it.

Inputs: ids (N, T) of tokens, and a mask (N, T), 1 where a token stands and 0 behind the end. Output: (N, 384).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """A state for every token, (N, T, width); T may be shorter than the longest sentence."""
        far = (1.0 - mask).reshape(-1, 1, 1, mask.shape[1]) * FAR
        x: Tensor = self.normal(self.tokens(ids) + self.places[: ids.shape[1]])
        for block in self.blocks:
            x = block(x, far)
        return x

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = self.states(ids, mask)
        there = mask.reshape(-1, mask.shape[1], 1)
        mean = (x * there).sum(1) / there.sum(1).clamp(min=1.0)
        return F.normalize(mean, dim=1)


class Layer(nn.Module):
    """A layer of the student, normalized before and added behind; how far two tokens are apart is added to their score."""

    def __init__(self, width: int, attention: int, heads: int, inner: int, longest: int) -> None:
        super().__init__()
        self.heads, self.longest = heads, longest
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, attention) for _ in range(3))
        self.mixed, self.wide, self.narrow = nn.Linear(attention, width), nn.Linear(width, inner), nn.Linear(inner, width)
        self.apart = nn.Parameter(torch.zeros(heads, 2 * longest - 1))
        for layer in (self.mixed, self.narrow):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of every token, which depend on nothing but the token."""
        normal = self.before(x)
        return self.query(normal), self.key(normal), self.value(normal)

    def scores(self, length: int) -> Tensor:
        """What places alone add to the scores, (heads, length, length)."""
        place = torch.arange(length)
        return self.apart[:, place - place[:, None] + self.longest - 1]

    def forward(self, x: Tensor, projected: tuple[Tensor, Tensor, Tensor], scores: Tensor) -> Tensor:
        length, attention = x.shape[1], projected[0].shape[2]
        shape = (-1, length, self.heads, attention // self.heads)
        query, key, value = (part.reshape(shape).transpose(1, 2) for part in projected)
        if self.training:  # the same at once, which takes less time
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=scores)
        else:
            mixed = (query @ key.transpose(2, 3) / math.sqrt(shape[3]) + scores).softmax(-1) @ value
        x = x + self.mixed(mixed.transpose(1, 2).reshape(-1, length, attention))
        added: Tensor = x + self.narrow(F.gelu(self.wide(self.between(x))))
        return added


class Student(nn.Module):
    """Thin layers over a look-up; it begins as the mean of what its table (tokens, width) has.

    What the first layer makes of a token depends on the token alone, so that :meth:`looked_up` takes its query, key and value from tables.
    """

    def __init__(self, table: Tensor, layers: Sequence[tuple[int, int, int]], longest: int) -> None:
        """``layers``: channels of attention, heads, and channels between the two layers that feed forward, for each."""
        super().__init__()
        self.tokens = nn.Embedding.from_pretrained(table.clone(), freeze=False)
        self.layers = nn.ModuleList(Layer(table.shape[1], *sizes, longest) for sizes in layers)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """A state for every token, (N, T, width)."""
        x = self.tokens(ids)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        far = (1.0 - mask).reshape(-1, 1, 1, mask.shape[1]) * FAR
        for layer in self.layers:
            x = layer(x, layer.projected(x), (far + layer.scores(ids.shape[1])).to(x.dtype))
        return x

    def looked_up(self, length: int) -> nn.Module:
        """The same for sentences of ``length`` tokens, with the mean of all states for its output (N, width)."""
        return _LookedUp(self, length)


class _LookedUp(nn.Module):
    def __init__(self, student: Student, length: int) -> None:
        super().__init__()
        self.tokens, self.layers = student.tokens, student.layers
        with torch.no_grad():
            parts = student.layers[0].projected(student.tokens.weight)
            self.query, self.key, self.value = (nn.Embedding.from_pretrained(part) for part in parts)
            for number, layer in enumerate(student.layers):
                self.register_buffer(f"scores{number}", layer.scores(length)[None].clone())

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x, projected = self.tokens(ids), (self.query(ids), self.key(ids), self.value(ids))
        far = (1.0 - mask).reshape(-1, 1, 1, mask.shape[1]) * FAR
        for number, layer in enumerate(self.layers):
            x = layer(x, layer.projected(x) if number else projected, far + getattr(self, f"scores{number}"))
        there = mask.reshape(-1, mask.shape[1], 1)
        mean: Tensor = (x * there).sum(1) / there.sum(1).clamp(min=1.0)
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
