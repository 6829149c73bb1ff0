"""The load's history as a second witness: what was acknowledged is in the mirror, what was rolled back is not.

It knows nothing of snapshots or events; all it compares are keys and transaction ids.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from test_infra.cdc.judge import coverage
from test_infra.cdc.judge.removals import Removal, removals
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.load import history
from test_infra.cdc.load.history import (
    WITH_ANOTHER,
    Key,
    Kind,
    Operation,
    OperationOutcome,
    Phase,
    cause,
    written,
)

if TYPE_CHECKING:
    from test_infra.cdc.lake.table import LakeTable
    from test_infra.cdc.pipeline.running import RunningPipeline

MOST_FAULTS = 50
MOST_WORDS = 3
"""Constraints that a reason names."""
_FOREIGN = "written by somebody else"
_TOUCHED = "changed by a trigger or a rule"


class Seen(NamedTuple):
    """Where a row of the mirror says that it came from.

    Args:
        tx_id: 64-bit transaction id; None for a row of the initial snapshot.
        snapshot: whether it came with the initial snapshot.
        commit_s: epoch seconds of its commit, or of the snapshot's reading.
    """

    tx_id: int | None
    snapshot: bool = False
    commit_s: float = 0.0


@dataclass(frozen=True)
class WitnessFault:
    """A key whose row contradicts the history.

    Args:
        key: as it is written in the history.
        verdict: LOST or GHOST.
        operation: number of the operation that shows it.
        seen: what is in the mirror, in words.
    """

    key: Key
    verdict: Verdict
    operation: int
    seen: str


@dataclass(frozen=True)
class Testimony:
    """What the history says of one table's mirror.

    Args:
        table: its label.
        keys: keys of the history that were judged.
        operations: outcome -> operations on them.
        foreign: keys that somebody else wrote since; they are not judged.
        touched: keys that a trigger or a rule changed in a way that the history does not know; not judged either.
        by: the triggers and rules that touched keys, where their names are known.
        refused: constraint, or all words -> how many operations the source refused so, and its words of the first.
        counts: verdict -> how many; empty is green.
        faults: the first of them.
        reason: why nothing could be judged, where that is so.
    """

    table: str
    keys: int = 0
    operations: dict[OperationOutcome, int] = field(default_factory=dict)
    foreign: int = 0
    touched: int = 0
    by: tuple[str, ...] = ()
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    counts: dict[Verdict, int] = field(default_factory=dict)
    faults: tuple[WitnessFault, ...] = ()
    reason: str = ""

    @property
    def green(self) -> bool:
        """Whether nothing was found."""
        return not self.counts


@dataclass(frozen=True)
class Removed:
    """Rows that are absent, and what explains it beside a loss.

    Args:
        removals: key -> the event that removed its row.
        own: transaction of the load -> tables that it wrote.
        side_effects: table -> its triggers and rules.
    """

    removals: Mapping[Key, Removal]
    own: Mapping[int, Collection[str]]
    side_effects: Mapping[str, Sequence[str]]

    def by_others(self, key: Key, operations: Sequence[Operation], fault: WitnessFault) -> str:
        """Who removed the row, where the load did not say so; empty where nobody did."""
        removal = self.removals.get(key)
        last = next(operation for operation in operations if operation.number == fault.operation)
        if removal is None or not removal.after(last):
            return ""
        if removal.tx_id not in self.own:
            return _FOREIGN
        names = sorted({name for table in self.own[removal.tx_id] for name in self.side_effects.get(table, ())})
        return f"{_TOUCHED}: {', '.join(names)}" if names else ""


NOT_ASKED = Removed({}, {}, {})


def check(pipeline: RunningPipeline, timeout_s: float = coverage.DEFAULT_TIMEOUT_S) -> dict[str, Testimony]:
    """Compare the history of the load with every mirror, as of this call.

    Args:
        pipeline: with the history of its load.
        timeout_s: a sink that is not there by then is LAG, seconds.
    """
    tables = pipeline.tables
    asked_at = time.time()
    least_committed = 0.0 if pipeline.spec.load is None else pipeline.spec.load.least_committed
    covered, behind = coverage.advance(pipeline, tables, timeout_s)
    # The history is read after the mirrors' versions are fixed, so it knows of everything that they may show.
    by_label: dict[str, list[Operation]] = {table: [] for table in tables}
    schemas = pipeline.schemas()
    key_names = {schema.label: schema.key_names for schema in schemas}
    for operation in history.read(pipeline.folders.history, key_names):
        by_label.setdefault(operation.table, []).append(operation)
    side_effects = {
        schema.label: tuple(one.name for one in of_table.side_effects)
        for schema, of_table in zip(schemas, pipeline.source.constraints(), strict=True)
    }
    own: defaultdict[int, set[str]] = defaultdict(set)
    for operation in (one for some in by_label.values() for one in some):
        if operation.tx_id is not None:
            own[operation.tx_id].add(operation.table)
    testimonies = {}
    for table in tables:
        if table in behind:
            testimonies[table] = Testimony(table, counts={Verdict.LAG: 1}, reason=behind[table])
            continue
        operations = by_label[table]
        if not operations:
            mirror_table = open_table(pipeline.mirror(table), covered[table].mirror_version)
            rows = sum(batch.num_rows for batch in mirror_table.rows(key_names[table]))
            testimonies[table] = without_history(table, rows)
            continue
        keys = {operation.key for operation in operations}
        mirror = {
            key: seen
            for key, seen in _rows(open_table(pipeline.mirror(table), covered[table].mirror_version), key_names[table])
            if key in keys
        }
        testimony = testify(table, operations, mirror, asked_at, least_committed, NOT_ASKED)
        if Verdict.LOST in testimony.counts:
            changes = open_table(pipeline.changes(table), covered[table].changes_version)
            removed = Removed(removals(changes, key_names[table], keys - set(mirror)), own, side_effects)
            testimony = testify(table, operations, mirror, asked_at, least_committed, removed)
        testimonies[table] = testimony
    return with_evidence(testimonies)


def without_history(table: str, rows: int) -> Testimony:
    """What there is to say of a table that the load has left alone: right where it is empty, and else unknown."""
    if rows:
        return Testimony(table, counts={Verdict.UNKNOWN: 1}, reason=f"the history has no operation on its {rows} rows")
    return Testimony(table, reason="empty: no row, and no operation in the history")


def with_evidence(testimonies: Mapping[str, Testimony]) -> dict[str, Testimony]:
    """The testimonies, empty tables included; without one operation on any table the history is no witness."""
    if any(testimony.keys or testimony.counts for testimony in testimonies.values()):
        return dict(testimonies)
    nothing = "the history has no operation of any table, so nothing is witnessed"
    return {
        table: replace(testimony, counts={Verdict.UNKNOWN: 1}, reason=nothing)
        for table, testimony in testimonies.items()
    }


def testify(
    table: str,
    operations: Iterable[Operation],
    mirror: Mapping[Key, Seen],
    asked_at: float,
    least_committed: float,
    removed: Removed,
) -> Testimony:
    """Judge every key of the history.

    The last operation of a key that was acknowledged before ``asked_at`` must show in the mirror, or a later one that
    was acknowledged or has an unknown end.

    Args:
        table: its label.
        operations: history of this table, in order.
        mirror: key -> origin of its row; keys without a row are left out.
        asked_at: epoch seconds; everything acknowledged earlier is covered by the mirror.
        least_committed: share of the operations that must have committed, those not counted that were rolled back on
            purpose; with less, and with none, what was judged is too little to prove anything.
        removed: who removed the rows that are absent; `NOT_ASKED` where that is not known.
    """
    of_key: defaultdict[Key, list[Operation]] = defaultdict(list)
    outcomes: Counter[OperationOutcome] = Counter()
    refused: dict[str, tuple[int, str]] = {}
    for operation in operations:
        of_key[operation.key].append(operation)
        outcomes[operation.outcome] += 1
        if operation.refused:
            count, words = refused.get(cause(operation.refused), (0, operation.refused))
            refused[cause(operation.refused)] = (count + 1, words)
    faults: list[WitnessFault] = []
    counts: Counter[Verdict] = Counter()
    apart: Counter[str] = Counter()
    for key, of_this in of_key.items():
        found = _judged(key, of_this, mirror.get(key), asked_at)
        if isinstance(found, WitnessFault) and key not in mirror:
            found = removed.by_others(key, of_this, found) or found
        if isinstance(found, str):
            apart[found] += 1
        if isinstance(found, WitnessFault):
            counts[found.verdict] += 1
            faults.append(found)
    keys = len(of_key) - apart.total()
    reason = "" if counts else _too_little(keys, outcomes, refused, apart, least_committed)
    if reason:
        counts[Verdict.UNKNOWN] = 1
    return Testimony(
        table=table,
        keys=keys,
        operations=dict(outcomes),
        foreign=apart[_FOREIGN],
        touched=sum(count for what, count in apart.items() if what.startswith(_TOUCHED)),
        by=tuple(sorted(what.removeprefix(_TOUCHED).strip(": ") for what in apart if what.startswith(f"{_TOUCHED}:"))),
        refused=refused,
        counts=dict(counts),
        faults=tuple(sorted(faults, key=lambda fault: fault.operation)[:MOST_FAULTS]),
        reason=reason,
    )


def _too_little(
    keys: int,
    outcomes: Mapping[OperationOutcome, int],
    refused: Mapping[str, tuple[int, str]],
    apart: Mapping[str, int],
    least_committed: float,
) -> str:
    """Why what the history says of a table proves nothing; empty when it proves something."""
    if not sum(outcomes.values()):
        return "the history has no operation of this table"
    committed = outcomes.get(OperationOutcome.OK, 0)
    # What was refused with an operation of another table says nothing of this one.
    lost = sum(count for count, words in refused.values() if words != WITH_ANOTHER)
    meant = committed + lost + outcomes.get(OperationOutcome.UNKNOWN, 0)
    most = sorted(refused.values(), key=lambda one: (one[1] == WITH_ANOTHER, -one[0]))
    why = f": {'; '.join(f'{count} times {words}' for count, words in most[:MOST_WORDS])}" if most else ""
    if not committed:
        return f"none of {meant} operations was committed, so nothing is proved{why}"
    if committed < least_committed * meant:
        return (
            f"only {committed} of {meant} operations were committed, and `load: least_committed` wants "
            f"{least_committed:.0%}{why}"
        )
    if not keys:
        others = ", ".join(f"{count} {what}" for what, count in apart.items())
        return f"no key could be judged, so nothing is proved ({others})"
    return ""


def _judged(  # noqa: PLR0911 - one line for each way to be right
    key: Key, operations: list[Operation], seen: Seen | None, asked_at: float
) -> WitnessFault | str | None:
    effective = [operation for operation in operations if operation.outcome is not OperationOutcome.FAILED]
    certain = next(
        (
            place
            for place in reversed(range(len(effective)))
            if effective[place].outcome is OperationOutcome.OK
            and effective[place].done <= asked_at
            and effective[place].kind is not Kind.TOUCHED
        ),
        None,
    )
    last = effective[certain] if certain is not None else None
    possible = effective if certain is None else effective[certain:]
    if any(operation.kind is Kind.TOUCHED for operation in possible):
        return _TOUCHED
    if any(operation.tx_id is None for operation in possible):
        return None
    if seen is None:
        if last is None or any(operation.kind is Kind.DELETE for operation in possible):
            return None
        return WitnessFault(key, Verdict.LOST, last.number, f"no row, though its {last.kind} was acknowledged")
    shows = [operation for operation in possible if operation.kind is not Kind.DELETE]
    if seen.snapshot:
        if any(operation.phase is Phase.SEED or operation.started <= seen.commit_s for operation in shows):
            return None
    elif any(operation.tx_id == seen.tx_id for operation in shows):
        return None
    return _contradiction(key, operations, last, seen)


def _contradiction(key: Key, operations: list[Operation], last: Operation | None, seen: Seen) -> WitnessFault | str:
    """What a row means that none of the possible operations left there."""
    origin = "the initial snapshot" if seen.snapshot else f"transaction {seen.tx_id}"
    same = [operation for operation in operations if operation.tx_id == seen.tx_id and not seen.snapshot]
    effective = [operation for operation in operations if operation.outcome is not OperationOutcome.FAILED]
    if any(operation.outcome is not OperationOutcome.FAILED for operation in same) or (
        seen.snapshot and last is not None
    ):
        assert last is not None
        return WitnessFault(
            key, Verdict.LOST, last.number, f"a row of {origin}, though a later {last.kind} was acknowledged"
        )
    if same or not effective:
        number = (same or operations)[-1].number
        return WitnessFault(key, Verdict.GHOST, number, f"a row of {origin}, which was rolled back or never was")
    return _FOREIGN


def _rows(table: LakeTable, key_names: Sequence[str]) -> Iterator[tuple[Key, Seen]]:
    columns = [*key_names, "_tx_id", "_snapshot", "_commit_ts"]
    for batch in table.rows(columns):
        values = [batch.column(name).to_pylist() for name in columns]
        *keys, tx_ids, snapshots, commits = values
        for tx_id, snapshot, commit, *key in zip(tx_ids, snapshots, commits, *keys, strict=True):
            at = commit.timestamp() if commit is not None else 0.0
            yield tuple(map(written, key)), Seen(tx_id, bool(snapshot), at)
