"""What each version of a table contains, as its writer noted it in the commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

STREAM = "test_infra.stream"
BATCH = "test_infra.batch"
BEGINS = "test_infra.begins"
OFFSETS = "test_infra.offsets"
MAX_COMMIT_TS_US = "test_infra.max_commit_ts_us"
MAX_TX_ID = "test_infra.max_tx_id"


@dataclass(frozen=True)
class Applied:
    """What a table contains, as written into each commit's metadata.

    Args:
        stream: id of the stream that wrote.
        batch: micro-batch that wrote; -1 for the version that made the table.
        offsets: partition of the table's topic -> end offset, exclusive, of all that is applied.
        max_commit_ts_us: largest commit time of an applied event, microseconds since 1970; 0 for none.
        max_tx_id: largest 64-bit transaction id of an applied event; 0 for none.
    """

    stream: str
    batch: int
    offsets: dict[int, int]
    max_commit_ts_us: int = 0
    max_tx_id: int = 0

    def metadata(self) -> dict[str, str]:
        """The commit's custom metadata."""
        return {
            STREAM: self.stream,
            BATCH: str(self.batch),
            OFFSETS: json.dumps({str(partition): end for partition, end in sorted(self.offsets.items())}),
            MAX_COMMIT_TS_US: str(self.max_commit_ts_us),
            MAX_TX_ID: str(self.max_tx_id),
        }

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Applied | None:
        """Read back from a commit's metadata; None without offsets (OPTIMIZE, VACUUM, somebody else's commit)."""
        if OFFSETS not in metadata:
            return None
        return cls(
            stream=str(metadata.get(STREAM, "")),
            batch=int(metadata.get(BATCH, -1)),
            offsets={int(partition): int(end) for partition, end in json.loads(metadata[OFFSETS]).items()},
            max_commit_ts_us=int(metadata.get(MAX_COMMIT_TS_US, 0)),
            max_tx_id=int(metadata.get(MAX_TX_ID, 0)),
        )

    def covers(self, wanted: Mapping[int, int]) -> bool:
        """Whether every wanted end offset is applied."""
        return all(self.offsets.get(partition, 0) >= end for partition, end in wanted.items())


NOTHING = Applied(stream="", batch=-1, offsets={})
"""What a table contains whose commits say nothing."""


@dataclass(frozen=True)
class Commit:
    """One version of a table.

    Args:
        version: number of the version.
        applied: what the table contains at this version; that of the version before when the commit does not say.
        wrote: whether this very commit applied a micro-batch.
        visible_at: when readers could see it, as the table's format defines it.
        begins: whether this very commit is the first part of a micro-batch that a later one completes.
    """

    version: int
    applied: Applied
    wrote: bool
    visible_at: datetime
    begins: bool = False

    @property
    def batch(self) -> int:
        """Micro-batch that wrote last; -1 before the first."""
        return self.applied.batch

    @property
    def offsets(self) -> dict[int, int]:
        """Partition -> end offset, exclusive, of all that is applied."""
        return self.applied.offsets

    @property
    def max_commit_ts_us(self) -> int:
        """Largest commit time of an applied event, microseconds since 1970; 0 for none."""
        return self.applied.max_commit_ts_us


@dataclass(frozen=True)
class Noted:
    """One version as the table's log has it.

    Args:
        version: number of the version.
        visible_at: when readers could see it.
        metadata: what the writer noted of the commit.
    """

    version: int
    visible_at: datetime
    metadata: Mapping[str, Any]


def commits_of(newest_first: Iterable[Noted], back_to: Mapping[int, int] | None = None) -> list[Commit]:
    """The versions of a log, newest last, each with what the table contains then.

    Args:
        newest_first: versions as the log has them; no more are asked for than are needed.
        back_to: end with the newest version that does not cover these end offsets; None: all.
    """
    taken = []
    for noted in newest_first:
        own = Applied.of(noted.metadata)
        taken.append((noted, own))
        if back_to is not None and own is not None and not own.covers(back_to):
            break
    found: list[Commit] = []
    applied = NOTHING
    for noted, own in reversed(taken):
        applied = own or applied
        wrote = own is not None and own.batch >= 0
        found.append(Commit(noted.version, applied, wrote, noted.visible_at, BEGINS in noted.metadata))
    return found


def newest_of(newest_first: Iterable[Noted]) -> Applied:
    """What the newest version of a log contains."""
    return next((own for noted in newest_first if (own := Applied.of(noted.metadata))), NOTHING)


def first_covering(history: Iterable[Commit], wanted: Mapping[int, int]) -> Commit | None:
    """The first version that covers every wanted end offset, as it stood before the stream's next commit.

    What somebody else did to that version (a compaction, or a row changed behind the stream's back) is part of it:
    the stream applied nothing in between, and a reader of the table saw it.

    Returns:
        The last version before the stream's next commit; None when no version covers the offsets yet.
    """
    covering: Commit | None = None
    for commit in history:
        if covering is not None and (commit.wrote or commit.begins):
            break
        if covering is not None or commit.applied.covers(wanted):
            covering = commit
    return covering
