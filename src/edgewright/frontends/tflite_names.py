"""Names of values: the tensors' own, made unique; a .tflite file may call all its tensors the same, or nothing at all."""

from __future__ import annotations

from collections.abc import Sequence


class Names:
    """One name for each tensor, and further ones that no tensor has; every answer in constant time, however many are alike."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self._taken = set(wanted)
        self._numbers: dict[str, int] = {}
        seen: set[str] = set()
        self._names: list[str] = []
        for name in wanted:
            self._names.append(self.unused(name) if name in seen else name)
            seen.add(name)

    def __getitem__(self, index: int) -> str:
        """The name of tensor ``index``."""
        return self._names[index]

    def unused(self, stem: str) -> str:
        """``stem``, or ``stem_1``, ``stem_2`` …: what no tensor and no earlier answer is called."""
        name, number = stem, self._numbers.get(stem, 0)
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._numbers[stem] = number
        self._taken.add(name)
        return name
