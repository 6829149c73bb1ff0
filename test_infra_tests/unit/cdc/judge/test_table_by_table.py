"""One table that cannot be judged does not keep the others from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.cdc.judge.table_by_table import judged, judged_together
from test_infra.verdict.evidence import Finding, Outcome

EQUAL = Finding(outcome=Outcome.PASSED, summary="equal")


def judge_that(error: Exception, asked: list[Sequence[str]]) -> Callable[[Sequence[str]], Mapping[str, Finding]]:
    def judge(tables: Sequence[str]) -> Mapping[str, Finding]:
        asked.append(tuple(tables))
        if "bad" in tables:
            raise error
        return dict.fromkeys(tables, EQUAL)

    return judge


@pytest.mark.parametrize(
    ("error", "outcome", "verdict"),
    [
        (UsageError("table public.bad has no primary key", hint="ddl:"), Outcome.FAILED, "SCHEMA"),
        (KeyError("v"), Outcome.UNKNOWN, "UNKNOWN"),
    ],
)
def test_the_others_are_judged_beside_one_that_cannot_be(error: Exception, outcome: Outcome, verdict: str) -> None:
    found = judged(judge_that(error, []), ["a", "bad", "b"])

    assert {table: found[table] for table in ("a", "b")} == {"a": EQUAL, "b": EQUAL}
    assert (found["bad"].outcome, found["bad"].verdicts) == (outcome, (verdict,))
    assert "ddl:" not in str(found["bad"].details)


def test_a_judge_that_gives_a_verdict_is_asked_once() -> None:
    asked: list[Sequence[str]] = []
    judged(judge_that(KeyError("v"), asked), ["a", "b"])
    assert asked == [("a", "b")]


def test_no_single_table_is_to_blame_for_a_source_that_does_not_answer() -> None:
    asked: list[Sequence[str]] = []
    with pytest.raises(InfrastructureError):
        judged(judge_that(InfrastructureError("postgres cannot be reached"), asked), ["a", "bad"])
    assert len(asked) == 1


def test_a_judge_of_all_tables_that_raised_is_unknown_for_each() -> None:
    found = judged_together(judge_that(KeyError("v"), []), ["a", "bad"])
    assert {table: finding.verdicts for table, finding in found.items()} == {"a": ("UNKNOWN",), "bad": ("UNKNOWN",)}
