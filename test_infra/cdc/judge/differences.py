"""What a comparison found: places where two sides differ, all counted, the first ones shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from test_infra.cdc.judge.verdicts import Verdict

if TYPE_CHECKING:
    from test_infra.cdc.types.position import Stored
    from test_infra.cdc.types.table import TableSchema

MOST_DIFFERENCES = 50


class Compared(StrEnum):
    """Which sides a difference is between."""

    SOURCE_WITH_MIRROR = "source with mirror"
    SOURCE_WITH_LOG = "source with change log"
    LOG_WITH_MIRROR = "change log with mirror"
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
    compared: Compared
    skipped: int = 0


@dataclass(frozen=True)
class ImageChain:
    """Which events were looked at for the chain of before-images: each event's row before is the row after the last.

    Args:
        looked_at: how many events, the newest ones.
        events: how many the change log has.
        since_lsn: LSN of the oldest that was looked at; None when all were.
    """

    looked_at: int
    events: int
    since_lsn: Stored | None = None


@dataclass(frozen=True)
class TableParity:
    """What the comparison of one table gave; green when there is no verdict.

    Args:
        table: ``schema.table``.
        counts: verdict -> how many faults; empty is green.
        reason: why nothing could be compared, where that is so.
        clean_keys: keys compared source with mirror.
        dirty_keys: keys compared through the change log, with both sides.
        replayed_keys: clean keys that were compared with the whole change log as well; None when that is too long.
        image_chain: which events were looked at for the chain of before-images; None where events carry none.
        source_rows: rows of the source at the snapshot.
        mirror_rows: rows of the mirror at its version.
        changes: events of the change log up to the cut.
        differences: the first of all differing places.
        watermark: partition -> end offset of the topic that had to be covered.
        applied: partition -> end offset that the mirror's version has applied.
        mirror_version: Delta version read; None when none covered the watermark.
        changes_version: the same for the change log.
        left_out: what the pipeline does not capture of the table, in words.
        moved: what showed that the pipeline moves, where no compared table has a row or a change.
    """

    table: str
    counts: dict[Verdict, int] = field(default_factory=dict)
    reason: str = ""
    clean_keys: int = 0
    dirty_keys: int = 0
    replayed_keys: int | None = 0
    image_chain: ImageChain | None = None
    source_rows: int = 0
    mirror_rows: int = 0
    changes: int = 0
    differences: tuple[Difference, ...] = ()
    watermark: dict[int, int] = field(default_factory=dict)
    applied: dict[int, int] = field(default_factory=dict)
    mirror_version: int | None = None
    changes_version: int | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    moved: str = ""

    @property
    def empty(self) -> bool:
        """Whether both sides were compared and have no row, and the table never changed."""
        return self.mirror_version is not None and not (self.source_rows or self.mirror_rows or self.changes)

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


class DifferenceCollector:
    """Takes faults as they are found: all are counted, the first ones are shown."""

    def __init__(self, schema: TableSchema) -> None:
        self._schema = schema
        self._counts: Counter[Verdict] = Counter()
        self.differences: list[Difference] = []
        self.reasons: list[str] = []

    def count(self, verdict: Verdict, count: int = 1) -> None:
        """Count faults."""
        self._counts[verdict] += count

    def count_with_reason(self, verdict: Verdict, count: int, reason: str) -> None:
        """Count faults that concern the whole table, and say why."""
        self._counts[verdict] += count
        self.reasons.append(reason)

    def show(
        self,
        verdict: Verdict,
        key: Iterable[str | None],
        column: str,
        values: tuple[str | None, str | None],
        compared: Compared,
        skipped: int = 0,
    ) -> None:
        """Keep a place for the report, unless enough are kept."""
        if len(self.differences) < MOST_DIFFERENCES:
            named = dict(zip(self._schema.key_names, key, strict=False))
            self.differences.append(
                Difference(self._schema.qualified, named, column, *values, verdict, compared, skipped)
            )

    def counts(self) -> dict[Verdict, int]:
        """Verdict -> how many faults, the same order each time."""
        return {verdict: self._counts[verdict] for verdict in Verdict if self._counts[verdict]}
