"""What all findings of `judge` share: the outcome of some verdicts, offsets as text."""

from collections.abc import Iterable, Mapping

from test_infra.cdc.judge.verdicts import Verdict
from test_infra.verdict.evidence import Outcome

MOST_ROWS = 50
"""Rows that a finding shows."""


def outcome_of(verdicts: Iterable[Verdict]) -> Outcome:
    """Unknown only where nothing else was found: one missing row says more than ten unknowns."""
    found = set(verdicts)
    if not found:
        return Outcome.PASSED
    return Outcome.UNKNOWN if found == {Verdict.UNKNOWN} else Outcome.FAILED


def offsets_text(ends: Mapping[int, int]) -> str:
    """Partition and end offset of each, such as ``0:17, 1:20``."""
    return ", ".join(f"{partition}:{end}" for partition, end in sorted(ends.items())) or "none"
