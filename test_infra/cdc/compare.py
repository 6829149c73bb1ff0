"""Source, change log and mirror of one table at one cut: equal, or which row and column is not. Pure; DuckDB inside.

Keys that no invisible event touched are *clean*: their source row must be their mirror row. The others are *dirty*,
because the mirror is ahead of the source's snapshot there: the change log folded up to the snapshot must be the source
row, **and** folded to its end it must be the mirror row. Comparing only one of the two finds none of the faults of the
other side (facts/exact-cut.md).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from test_infra.cdc.lake import TOMBSTONE, mirror_schema
from test_infra.cdc.types import identifier, literal, rule_for
from test_infra.cdc.verdicts import Verdict

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.sources.postgres.snapshot import Snapshot
    from test_infra.cdc.table import Column, TableSchema

MOST_DIFFERENCES = 50
MOST_CHARACTERS = 400

SOURCE_MIRROR = "source with mirror"
SOURCE_LOG = "source with change log"
LOG_MIRROR = "change log with mirror"
LOG = "change log"


@dataclass(frozen=True)
class Sides:
    """What is compared: names of DuckDB relations, and facts about them.

    Args:
        source: rows at the snapshot; the columns of the table, typed as `test_infra.cdc.types` says.
        mirror: rows of the mirror at its version; the table's columns and ``_lsn, _tx_id, ...``.
        changes: change log up to the offsets that the mirror has applied, exactly; columns of ``changes_schema``.
        snapshot: what the source's rows contain.
        marker_lsn: an LSN behind everything visible; an ``r`` above it is of a later moment. None: unknown.
        before_images: whether events carry the whole row before the change (REPLICA IDENTITY FULL).
    """

    source: str
    mirror: str
    changes: str
    snapshot: Snapshot
    marker_lsn: int | None = None
    before_images: bool = False


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
    """

    table: str
    key: dict[str, str | None]
    column: str
    source_value: str | None
    mirror_value: str | None
    verdict: Verdict
    compared: str


@dataclass(frozen=True)
class TableParity:
    """What the comparison of one table gave; green when there is no verdict.

    Args:
        table: ``schema.table``.
        counts: verdict -> how many faults; empty is green.
        reason: why nothing could be compared, where that is so.
        clean_keys: keys compared source with mirror.
        dirty_keys: keys compared through the change log, with both sides.
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


def judge(connection: DuckDBPyConnection, sides: Sides, schema: TableSchema) -> TableParity:
    """Compare every column of every row, as typed values.

    NaN equals NaN, 0.0 does not equal -0.0, NULL equals NULL and nothing else.

    Args:
        connection: holds the relations; temporary tables are made in it and dropped again.
        sides: what is compared.
        schema: the table as the source describes it at the cut.
    """
    findings = _Findings(schema)
    columns = _comparable(connection, sides.mirror, schema, findings)
    counted = _counted(connection, sides)
    key_is_there = all(column in columns for column in schema.key)
    dirty = 0
    if key_is_there:
        try:
            dirty = _Comparison(connection, sides, schema, columns, findings, counted).run()
        finally:
            for table in ("dirty", "events", "groundless", "differing"):
                connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
    if counted.events and counted.without_tx_id:
        findings.note(
            Verdict.UNKNOWN, counted.without_tx_id, "events carry no transaction id, so their visibility is unknown"
        )
    if sides.marker_lsn is not None and counted.last_read_lsn > sides.marker_lsn:
        findings.note(Verdict.UNKNOWN, 1, "the connector repeated its initial snapshot while the cut was taken")
    if not (counted.source or counted.mirror or counted.events):
        findings.note(Verdict.UNKNOWN, 1, "the table is empty on both sides and never changed: nothing was compared")
    extra_clean = findings.extra_clean
    return TableParity(
        table=schema.qualified,
        counts=findings.counts(),
        reason="; ".join(findings.reasons),
        clean_keys=counted.source + extra_clean - findings.dirty_in_source if key_is_there else 0,
        dirty_keys=dirty,
        source_rows=counted.source,
        mirror_rows=counted.mirror,
        changes=counted.events,
        differences=tuple(findings.differences[:MOST_DIFFERENCES]),
    )


@dataclass(frozen=True)
class _Counted:
    """One look over both sides and the whole change log; LSNs are -1 where there is none."""

    source: int
    mirror: int
    events: int
    without_tx_id: int
    last_read_lsn: int
    truncated_lsn: int
    visibly_truncated_lsn: int
    invisible_truncates: int


def _counted(connection: DuckDBPyConnection, sides: Sides) -> _Counted:
    rows = [
        connection.execute(f"SELECT count(*) FROM {side}").fetchall()[0][0] for side in (sides.source, sides.mirror)
    ]
    seen = sides.snapshot.sees_sql("tx_id")
    events = connection.execute(
        f"""SELECT count(*), count(*) FILTER (op <> 'r' AND tx_id IS NULL), coalesce(max(lsn) FILTER (op = 'r'), -1),
            coalesce(max(lsn) FILTER (op = 't'), -1), coalesce(max(lsn) FILTER (op = 't' AND {seen}), -1),
            count(*) FILTER (op = 't' AND NOT {seen})
        FROM {sides.changes} WHERE op <> '{TOMBSTONE}'"""
    ).fetchall()[0]
    return _Counted(*rows, *events)


class _Findings:
    """Faults as they are found; all are counted, the first ones are kept."""

    def __init__(self, schema: TableSchema) -> None:
        self._schema = schema
        self._counts: Counter[Verdict] = Counter()
        self.differences: list[Difference] = []
        self.reasons: list[str] = []
        self.extra_clean = 0
        self.dirty_in_source = 0

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
    ) -> None:
        """Remember a place for the report."""
        if len(self.differences) < MOST_DIFFERENCES:
            named = dict(zip(self._schema.key_names, key, strict=False))
            self.differences.append(Difference(self._schema.qualified, named, column, *values, verdict, compared))

    def counts(self) -> dict[Verdict, int]:
        return {verdict: self._counts[verdict] for verdict in Verdict if self._counts[verdict]}


def _comparable(connection: DuckDBPyConnection, mirror: str, schema: TableSchema, findings: _Findings) -> list[Column]:
    """The columns that both sides have with the same type; every other is a finding."""
    there = {row[0]: row[1] for row in connection.execute(f"DESCRIBE SELECT * FROM {mirror}").fetchall()}
    wanted = {column.name: rule_for(column).duckdb for column in schema.columns}
    own = set(mirror_schema(schema).names) - set(wanted)
    for name in [*wanted, *(name for name in there if name not in wanted and name not in own)]:
        if wanted.get(name) != there.get(name):
            findings.found(Verdict.SCHEMA)
            findings.keep(Verdict.SCHEMA, (), name, (wanted.get(name), there.get(name)), SOURCE_MIRROR)
    return [column for column in schema.columns if there.get(column.name) == wanted[column.name]]


class _Comparison:
    """The steps over one set of relations; temporary tables carry what one step leaves to the next."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        sides: Sides,
        schema: TableSchema,
        columns: list[Column],
        findings: _Findings,
        counted: _Counted,
    ) -> None:
        self._connection = connection
        self._sides = sides
        self._columns = columns
        self._findings = findings
        self._counted = counted
        self._keys = [identifier(name) for name in schema.key_names]
        self._key_list = ", ".join(self._keys)
        self._key_texts = ", ".join(f"{key}::VARCHAR" for key in self._keys)
        self._visible = f"(op = 'r' OR {sides.snapshot.sees_sql('tx_id')})"

    def run(self) -> int:
        """Compare; returns how many keys are dirty."""
        dirty = self._find_dirty()
        clean = f"ANTI JOIN temp.dirty USING ({self._key_list})"
        touched = f"SEMI JOIN temp.dirty USING ({self._key_list})"
        source, mirror = self._sides.source, self._one_row_per_key()
        self._compare(f"SELECT * FROM {source} {clean}", f"SELECT * FROM {mirror} {clean}", SOURCE_MIRROR)
        self._findings.dirty_in_source = self._number(f"SELECT count(*) FROM {source} {touched}")
        if dirty:
            self._find_groundless()
            self._find_disorder()
            founded = f"ANTI JOIN temp.groundless USING ({self._key_list})"
            self._compare(
                f"SELECT * FROM (SELECT * FROM {source} {touched}) {founded}",
                f"SELECT * FROM ({self._folded('visible', self._counted.visibly_truncated_lsn)}) {founded}",
                SOURCE_LOG,
            )
            self._compare(
                self._folded("true", self._counted.truncated_lsn), f"SELECT * FROM {mirror} {touched}", LOG_MIRROR
            )
        if self._sides.before_images:
            self._find_broken_chains()
        return dirty

    def _find_dirty(self) -> int:
        """Keys with an invisible event, and all their events. An invisible truncate makes every key dirty."""
        changes, keys = self._sides.changes, self._key_list
        own_keys = ", ".join(f'"key".{key} AS {key}' for key in self._keys)
        invisible = f"op NOT IN ('r', '{TOMBSTONE}') AND NOT {self._visible}"
        dirty = f"""SELECT {own_keys} FROM {changes} WHERE {invisible} AND op <> 't'"""
        if self._counted.invisible_truncates:
            dirty = f"""SELECT {own_keys} FROM {changes} WHERE op NOT IN ('t', '{TOMBSTONE}')
                UNION ALL SELECT {keys} FROM {self._sides.source} UNION ALL SELECT {keys} FROM {self._sides.mirror}"""
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE dirty AS SELECT DISTINCT {keys} FROM ({dirty})")
        # A re-delivered event is the same event; its first delivery stands for it.
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE events AS
            SELECT {keys}, op, lsn, snapshot, visible, after FROM (
                SELECT {own_keys}, op, lsn, snapshot, {self._visible} AS visible, after, kafka_partition, kafka_offset
                FROM {changes} WHERE op NOT IN ('t', '{TOMBSTONE}')
            ) SEMI JOIN temp.dirty USING ({keys})
            QUALIFY row_number() OVER (PARTITION BY {keys}, lsn, op ORDER BY kafka_partition, kafka_offset) = 1"""
        )
        return self._number("SELECT count(*) FROM temp.dirty")

    def _folded(self, which: str, killed: int) -> str:
        """Rows of the dirty keys after the events ``which``: each newest event, unless a truncate is newer than it.

        Snapshot reads are older than every streamed event, whatever their LSN says.
        """
        values = [
            name if column.key_position is not None else f"after.{name} AS {name}"
            for column, name in ((column, identifier(column.name)) for column in self._columns)
        ]
        survives = f"(NOT snapshot AND lsn > {killed})" if killed >= 0 else "true"
        return f"""SELECT {", ".join(values)} FROM (
                SELECT * FROM temp.events WHERE {which}
                QUALIFY row_number() OVER (PARTITION BY {self._key_list} ORDER BY snapshot, lsn DESC) = 1
            ) WHERE op <> 'd' AND {survives}"""

    def _find_groundless(self) -> None:
        """Dirty keys whose first event needs a row before it that the change log does not have."""
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE groundless AS
            SELECT {self._key_list}, min_by(op, row(NOT snapshot, lsn)) AS op FROM temp.events GROUP BY {self._key_list}
            HAVING NOT bool_or(visible) AND min_by(op, row(NOT snapshot, lsn)) IN ('u', 'd')"""
        )
        count = self._number("SELECT count(*) FROM temp.groundless")
        if count:
            self._findings.note(
                Verdict.UNKNOWN, count, f"{count} keys have no base in the change log to fold their events on"
            )
            for *key, op in self._first(f"SELECT {self._key_texts}, op FROM temp.groundless ORDER BY {self._key_list}"):
                self._findings.keep(Verdict.UNKNOWN, key, "", (None, f"first event is {op!r}"), SOURCE_LOG)

    def _find_disorder(self) -> None:
        """Keys with a visible event after an invisible one: row locks make that impossible in the source."""
        truncated = self._counted.visibly_truncated_lsn
        first_invisible = "min(lsn) FILTER (NOT visible)"
        last_visible = f"greatest(coalesce(max(lsn) FILTER (visible AND NOT snapshot), -1), {truncated})"
        disorder = f"""SELECT {self._key_list}, {first_invisible} AS first_invisible, {last_visible} AS last_visible
            FROM temp.events GROUP BY {self._key_list} HAVING {last_visible} > {first_invisible}"""
        count = self._number(f"SELECT count(*) FROM ({disorder})")
        self._findings.found(Verdict.ORDER, count)
        if count:
            shown = (
                f"SELECT {self._key_texts}, first_invisible, last_visible FROM ({disorder}) ORDER BY {self._key_list}"
            )
            for *key, invisible, visible in self._first(shown):
                values = (f"visible event before lsn {invisible}", f"visible event at lsn {visible}")
                self._findings.keep(Verdict.ORDER, key, "", values, LOG)

    def _one_row_per_key(self) -> str:
        """The mirror; keys that it has twice are a finding, and one of their rows stands for them from here on."""
        mirror = self._sides.mirror
        duplicates = (
            f"SELECT {self._key_list}, count(*) AS rows FROM {mirror} GROUP BY {self._key_list} HAVING count(*) > 1"
        )
        count = self._number(f"SELECT count(*) FROM ({duplicates})")
        if not count:
            return mirror
        self._findings.found(Verdict.DUPLICATE, count)
        for *key, rows in self._first(f"SELECT {self._key_texts}, rows FROM ({duplicates}) ORDER BY {self._key_list}"):
            self._findings.keep(Verdict.DUPLICATE, key, "", ("1 row", f"{rows} rows"), SOURCE_MIRROR)
        return f"(SELECT * FROM {mirror} QUALIFY row_number() OVER (PARTITION BY {self._key_list}) = 1)"

    def _find_broken_chains(self) -> None:
        """Where events carry the row before: it must be the row after the event before, or an event is lost between."""
        own_keys = ", ".join(f'"key".{key} AS {key}' for key in self._keys)
        chains = f"""SELECT {self._key_list}, lsn, before, previous FROM (
                SELECT *, lag(after) OVER chain AS previous, lag(op) OVER chain AS previous_op FROM (
                    SELECT {own_keys}, op, lsn, snapshot, before, after FROM {self._sides.changes}
                    WHERE op NOT IN ('t', '{TOMBSTONE}')
                    QUALIFY row_number() OVER (PARTITION BY "key", lsn, op ORDER BY kafka_partition, kafka_offset) = 1
                ) WINDOW chain AS (PARTITION BY {self._key_list} ORDER BY NOT snapshot, lsn)
            ) WHERE op IN ('u', 'd') AND previous_op IS NOT NULL AND before IS DISTINCT FROM previous"""
        count = self._number(f"SELECT count(*) FROM ({chains})")
        self._findings.found(Verdict.MISSING, count)
        if count:
            texts = ", ".join(f"left({value}::VARCHAR, {MOST_CHARACTERS})" for value in ("before", "previous"))
            for *key, lsn, before, previous in self._first(
                f"SELECT {self._key_texts}, lsn, {texts} FROM ({chains}) ORDER BY {self._key_list}, lsn"
            ):
                found = f"{previous} before the event at lsn {lsn}"
                self._findings.keep(Verdict.MISSING, key, "", (before, found), LOG)

    def _compare(self, expected: str, found: str, compared: str) -> None:
        """Join two sets of rows on the key and keep what differs."""
        values = [column for column in self._columns if column.key_position is None]
        places = ", ".join(["NULL::STRUCT(name VARCHAR, expected VARCHAR, found VARCHAR)", *map(self._place, values)])
        differs = " OR ".join(["l.present IS NULL", "r.present IS NULL", *map(self._differs, values)])
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE differing AS
            SELECT {", ".join(f"coalesce(l.{key}, r.{key}) AS {key}" for key in self._keys)},
                CASE WHEN r.present IS NULL THEN '{Verdict.MISSING}' WHEN l.present IS NULL THEN '{Verdict.EXTRA}'
                    ELSE '{Verdict.VALUE}' END AS verdict,
                CASE WHEN l.present AND r.present THEN list_filter([{places}], lambda place: place IS NOT NULL)
                    ELSE [{{'name': '', 'expected': {self._whole("l")}, 'found': {self._whole("r")}}}] END AS places
            FROM (SELECT *, true AS present FROM ({expected})) l
            FULL JOIN (SELECT *, true AS present FROM ({found})) r
            ON {" AND ".join(f"l.{key} = r.{key}" for key in self._keys)}
            WHERE {differs}"""
        )
        counts = self._connection.execute("SELECT verdict, count(*) FROM temp.differing GROUP BY ALL").fetchall()
        for verdict, count in counts:
            self._findings.found(Verdict(verdict), count)
            if compared == SOURCE_MIRROR and verdict == Verdict.EXTRA:
                self._findings.extra_clean += count
        shown = f"SELECT {self._key_texts}, verdict, places FROM temp.differing ORDER BY {self._key_list}"
        for *key, verdict, differing in self._first(shown):
            for place in differing:
                values_seen = (place["expected"], place["found"])
                self._findings.keep(Verdict(verdict), key, place["name"], values_seen, compared)

    def _differs(self, column: Column) -> str:
        name = identifier(column.name)
        differs = f"l.{name} IS DISTINCT FROM r.{name}"
        if rule_for(column).duckdb in ("FLOAT", "DOUBLE"):
            return f"({differs} OR (l.{name} = 0 AND signbit(l.{name}) <> signbit(r.{name})))"
        return f"({differs})"

    def _place(self, column: Column) -> str:
        texts = (f"left({side}.{identifier(column.name)}::VARCHAR, {MOST_CHARACTERS})" for side in "lr")
        fields = dict(zip(("expected", "found"), texts, strict=True))
        struct = ", ".join(f"'{name}': {text}" for name, text in fields.items())
        return f"CASE WHEN {self._differs(column)} THEN {{'name': {literal(column.name)}, {struct}}} END"

    def _whole(self, side: str) -> str:
        row = ", ".join(f"{literal(column.name)}: {side}.{identifier(column.name)}" for column in self._columns)
        return f"CASE WHEN {side}.present THEN left({{{row}}}::VARCHAR, {MOST_CHARACTERS}) END"

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchall()[0][0])

    def _first(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(f"{query} LIMIT {MOST_DIFFERENCES}").fetchall()
