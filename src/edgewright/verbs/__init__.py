"""What the command line's verbs do: one verb, one file, one function of the same name.

Each gives a :class:`edgewright.verbs.result.Result`. A verb loads what it needs and no more: `edgewright targets` never waits for torch.
"""

from __future__ import annotations
