"""What a comparison found: places where two sides differ, counted and, the first of them, kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from test_infra.cdc.judge.verdicts import Verdict

if TYPE_CHECKING:
    from test_infra.cdc.types.table import TableSchema

MOST_DIFFERENCES = 50

SOURCE_MIRROR = "source with mirror"
SOURCE_LOG = "source with change log"
LOG_MIRROR = "change log with mirror"
LOG = "change log"


@dataclass(frozen=True)
class Difference:
    """One place where two sides differ.

    Args:
        table: ``schema.table``.
        key: key column -> value as text.
        column: the differing column; empty when the whole row is concerned.
        source_value: value that must be there, as text; None is NULL or no row.
        mirror_value: value that is there.
        verdict: what kind of fault.
        compared: which two sides.
        skipped: characters before the shown piece of long values; they are the same on both sides.
    """

    table: str
    key: dict[str, str | None]
    column: str
    source_value: str | None
    mirror_value: str | None
    verdict: Verdict
    compared: str
    skipped: int = 0


@dataclass(frozen=True)
class TableParity:
    """What the comparison of one table gave; green when there is no verdict.

    Args:
        table: ``schema.table``.
        counts: verdict -> how many faults; empty is green.
        reason: why nothing could be compared, where that is so.
        clean_keys: keys compared source with mirror.
        dirty_keys: keys compared through the change log, with both sides.
        replayed_keys: clean keys that were compared with the whole change log as well; 0 when it is too long for that.
        source_rows: rows of the source at the snapshot.
        mirror_rows: rows of the mirror at its version.
        changes: events of the change log up to the cut.
        differences: the first of all differing places.
        watermark: partition -> end offset of the topic that had to be covered.
        applied: partition -> end offset that the mirror's version has applied.
        mirror_version: Delta version read; None when none covered the watermark.
        changes_version: the same for the change log.
    """

    table: str
    counts: dict[Verdict, int] = field(default_factory=dict)
    reason: str = ""
    clean_keys: int = 0
    dirty_keys: int = 0
    replayed_keys: int = 0
    source_rows: int = 0
    mirror_rows: int = 0
    changes: int = 0
    differences: tuple[Difference, ...] = ()
    watermark: dict[int, int] = field(default_factory=dict)
    applied: dict[int, int] = field(default_factory=dict)
    mirror_version: int | None = None
    changes_version: int | None = None

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What was found, the same order each time."""
        return tuple(self.counts)

    @property
    def green(self) -> bool:
        """Whether nothing was found."""
        return not self.counts

    @property
    def faults(self) -> int:
        """How many were found, shown or not."""
        return sum(self.counts.values())


class Findings:
    """Faults as they are found; all are counted, the first ones are kept."""

    def __init__(self, schema: TableSchema) -> None:
        self._schema = schema
        self._counts: Counter[Verdict] = Counter()
        self.differences: list[Difference] = []
        self.reasons: list[str] = []

    def note(self, verdict: Verdict, count: int, reason: str) -> None:
        """A fault of the whole table."""
        self._counts[verdict] += count
        self.reasons.append(reason)

    def found(self, verdict: Verdict, count: int = 1) -> None:
        """So many faults, kept or not."""
        self._counts[verdict] += count

    def keep(
        self,
        verdict: Verdict,
        key: Iterable[str | None],
        column: str,
        values: tuple[str | None, str | None],
        compared: str,
        skipped: int = 0,
    ) -> None:
        """Remember a place for the report."""
        if len(self.differences) < MOST_DIFFERENCES:
            named = dict(zip(self._schema.key_names, key, strict=False))
            self.differences.append(
                Difference(self._schema.qualified, named, column, *values, verdict, compared, skipped)
            )

    def counts(self) -> dict[Verdict, int]:
        """Verdict -> how many faults, the same order each time."""
        return {verdict: self._counts[verdict] for verdict in Verdict if self._counts[verdict]}
