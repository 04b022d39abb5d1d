from __future__ import annotations

import pytest

from edgewright.errors import UnsupportedError
from edgewright.frontends.audit import MOST_LINES, Finding, raise_unsupported


def test_nothing_found_is_no_error() -> None:
    raise_unsupported([])


def test_everything_is_told_at_once_and_each_hint_once() -> None:
    findings = [
        Finding("ABS", "layer/abs", "this operator is not known here", "replace it"),
        Finding("LSTM", "cell", "it is recurrent", "replace it"),
    ]
    with pytest.raises(UnsupportedError) as found:
        raise_unsupported(findings, "'kws'")
    assert found.value.message == (
        "'kws' needs 2 things that Edgewright does not have:\n"
        "  ABS 'layer/abs': this operator is not known here\n  LSTM 'cell': it is recurrent"
    )
    assert found.value.hint == "replace it"


def test_a_flood_is_cut() -> None:
    with pytest.raises(UnsupportedError) as found:
        raise_unsupported([Finding("ABS", f"n{number}", "unknown", "replace it") for number in range(MOST_LINES + 7)])
    assert found.value.message.endswith("and 7 more")
