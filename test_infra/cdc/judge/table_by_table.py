"""A table that cannot be judged does not keep the others from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.cdc.lake.table import TableMissing, TableUnreadable
from test_infra.verdict.evidence import Finding, Outcome, unknown

Judge = Callable[[Sequence[str]], Mapping[str, Finding]]


def judged(judge: Judge, tables: Sequence[str]) -> Mapping[str, Finding]:
    """The findings of all tables; where they cannot be judged together, each one by itself.

    That is no second look at a difference: only an error that kept every table from being judged leads to it. A table
    that cannot be captured any more is SCHEMA, and one whose judge raised is UNKNOWN.

    Raises:
        InfrastructureError: source, stack or stream could not be reached, which no single table is to blame for.
    """
    try:
        return judge(tables)
    except Exception as error:
        if isinstance(error, InfrastructureError) and not isinstance(error, TableMissing | TableUnreadable):
            raise
        if len(tables) == 1:
            return dict.fromkeys(tables, _refused(error) if isinstance(error, UsageError) else unknown(error))
    return {table: finding for name in tables for table, finding in judged(judge, [name]).items()}


def judged_together(judge: Judge, tables: Sequence[str]) -> Mapping[str, Finding]:
    """The findings of all tables of a judge that cannot look at one alone: an error counts for each of them.

    Raises:
        InfrastructureError: as of `judged`.
    """
    try:
        return judge(tables)
    except InfrastructureError:
        raise
    except Exception as error:
        return dict.fromkeys(tables, unknown(error))


def _refused(error: UsageError) -> Finding:
    """The table was fit to be captured when the pipeline was prepared, so something was done to it since."""
    return Finding(
        outcome=Outcome.FAILED,
        verdicts=("SCHEMA",),
        summary=f"DDL since the pipeline was prepared: {error.what}",
        details={
            **error.details,
            "try": "undo the DDL; or end the pipeline (test-infra down) and prepare it again",
        },
    )
