"""Dirty keys, touched by an event that the source's snapshot does not contain, and what the change log says of them.

The mirror is ahead of the snapshot there. The log folded up to the snapshot must be the source row, and folded to its
end the mirror row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.cdc.judge import sums
from test_infra.cdc.judge.differences import LOG, MOST_DIFFERENCES, SOURCE_LOG
from test_infra.cdc.judge.sides import first, number
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.delta import TOMBSTONE
from test_infra.cdc.lake.unchanged_values import carry, lineage
from test_infra.cdc.types import identifier, literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.judge.differences import Findings
    from test_infra.cdc.judge.sides import Sides
    from test_infra.cdc.types.table import Column, TableSchema

MOST_CHARACTERS = 400
MOST_CHAINED = 200_000
"""Newest events of a log whose before-images are looked at. To look at them all takes seconds for a million, at each
cut, and what is older was looked at by the cuts before."""
TEMPORARY = ("dirty", "events", "groundless", "followed", "lacking", "carried_events")


@dataclass(frozen=True)
class LogFacts:
    """One look over the whole change log; LSNs are -1 where there is none."""

    events: int
    without_tx_id: int
    last_read_lsn: int
    truncated_lsn: int
    visibly_truncated_lsn: int
    invisible_truncates: int
    not_carried: int


def log_facts(connection: DuckDBPyConnection, sides: Sides) -> LogFacts:
    """Count what a change log holds."""
    seen = sides.snapshot.sees_sql("tx_id")
    facts = connection.execute(
        f"""SELECT count(*), count(*) FILTER (op <> 'r' AND tx_id IS NULL), coalesce(max(lsn) FILTER (op = 'r'), -1),
            coalesce(max(lsn) FILTER (op = 't'), -1), coalesce(max(lsn) FILTER (op = 't' AND {seen}), -1),
            count(*) FILTER (op = 't' AND NOT {seen}), count(*) FILTER (len(unchanged) > 0)
        FROM {sides.changes} WHERE op <> '{TOMBSTONE}'"""
    ).fetchall()[0]
    return LogFacts(*facts)


class DirtyKeys:
    """The events of the dirty keys of one table; the temporary tables ``dirty`` and ``events`` carry them.

    Args:
        connection: holds the relations.
        sides: what is compared.
        schema: the table.
        facts: of its change log.
    """

    def __init__(self, connection: DuckDBPyConnection, sides: Sides, schema: TableSchema, facts: LogFacts) -> None:
        self._connection = connection
        self._sides = sides
        self._facts = facts
        self._schema = schema
        self._keys = [identifier(name) for name in schema.key_names]
        self._key_list = ", ".join(self._keys)
        self._key_texts = ", ".join(f"{key}::VARCHAR" for key in self._keys)
        self._own_keys = ", ".join(f'"key".{key} AS {key}' for key in self._keys)
        self._visible = f"(op = 'r' OR {sides.snapshot.sees_sql('tx_id')})"

    def find(self) -> int:
        """Keys with an invisible event, and all their events. An invisible truncate makes every key dirty."""
        changes, keys = self._sides.changes, self._key_list
        invisible = f"op NOT IN ('r', 't', '{TOMBSTONE}') AND {self._sides.snapshot.misses_sql('tx_id')}"
        dirty = f"SELECT {self._own_keys} FROM {changes} WHERE {invisible}"
        if self._facts.invisible_truncates:
            dirty = f"""SELECT {self._own_keys} FROM {changes} WHERE op NOT IN ('t', '{TOMBSTONE}')
                UNION ALL SELECT {keys} FROM {self._sides.source} UNION ALL SELECT {keys} FROM {self._sides.mirror}"""
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE dirty AS SELECT DISTINCT {keys} FROM ({dirty})")
        found = number(self._connection, "SELECT count(*) FROM temp.dirty")
        if found:
            self._find_events()
        return found

    def _find_events(self) -> None:
        """All events of the dirty keys, and, where a value was not carried, of the keys that these had before."""
        keys, changes, followed = self._key_list, self._sides.changes, "temp.dirty"
        if self._facts.not_carried:
            struct = f"{{{', '.join(f'{literal(name)}: {identifier(name)}' for name in self._schema.key_names)}}}"
            followed = "temp.followed"
            self._connection.execute(
                f"""CREATE OR REPLACE TEMP TABLE followed AS SELECT {struct} AS "key" FROM temp.dirty"""
            )
            lineage(self._connection, followed, changes)
            self._connection.execute(
                f"""CREATE OR REPLACE TEMP TABLE followed AS SELECT {self._own_keys} FROM {followed}"""
            )
        # A re-delivered event is the same event; its first delivery stands for it. A repeated initial snapshot ends the
        # one before it: what only that one has read was deleted meanwhile.
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE events AS
            SELECT {keys}, "key", op, lsn, snapshot, visible, after, unchanged FROM (
                SELECT {self._own_keys}, "key", op, lsn, snapshot, {self._visible} AS visible, after, unchanged,
                    kafka_partition, kafka_offset
                FROM {changes} WHERE op NOT IN ('t', '{TOMBSTONE}')
                    AND NOT (op = 'r' AND lsn < {self._facts.last_read_lsn})
            ) SEMI JOIN {followed} USING ({keys})
            QUALIFY row_number() OVER (PARTITION BY {keys}, lsn, op ORDER BY kafka_partition, kafka_offset) = 1"""
        )
        if self._facts.not_carried:
            carry(self._connection, "events", self._schema)
            self._connection.execute(f"DELETE FROM events WHERE ({keys}) NOT IN (SELECT ({keys}) FROM temp.dirty)")

    def folded_to_snapshot(self, columns: list[Column]) -> str:
        """Rows of the dirty keys as the log says that the snapshot has them."""
        return self._folded(columns, "SELECT * FROM temp.events WHERE visible", self._facts.visibly_truncated_lsn)

    def folded_to_end(self, columns: list[Column]) -> str:
        """Rows of the dirty keys as the log says that the mirror has them."""
        return self._folded(columns, "SELECT * FROM temp.events", self._facts.truncated_lsn)

    def replayed_clean(self, columns: list[Column]) -> str:
        """Rows of all other keys as the log says that the source has them."""
        counted = f"op NOT IN ('t', '{TOMBSTONE}') AND NOT (op = 'r' AND lsn < {self._facts.last_read_lsn})"
        events = f"SELECT {self._own_keys}, op, lsn, snapshot, after FROM {self._sides.changes} WHERE {counted}"
        if self._facts.not_carried:
            self._carry_whole_log(counted)
            events = f"""{events} AND "key" NOT IN (SELECT "key" FROM temp.lacking)
                UNION ALL SELECT {self._key_list}, op, lsn, snapshot, after FROM temp.carried_events"""
        clean = f"SELECT * FROM ({events}) ANTI JOIN temp.dirty USING ({self._key_list})"
        return self._folded(columns, clean, self._facts.truncated_lsn)

    def _carry_whole_log(self, counted: str) -> None:
        """All events of the keys of which a value was ever not carried, with the values of the events before."""
        changes = self._sides.changes
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE lacking AS SELECT DISTINCT "key" FROM {changes} WHERE len(unchanged) > 0"""
        )
        lineage(self._connection, "temp.lacking", changes)
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE carried_events AS
            SELECT {self._own_keys}, "key", op, lsn, snapshot, after, unchanged FROM {changes}
            WHERE {counted} AND "key" IN (SELECT "key" FROM temp.lacking)
            QUALIFY row_number() OVER (PARTITION BY "key", lsn, op ORDER BY kafka_partition, kafka_offset) = 1"""
        )
        carry(self._connection, "carried_events", self._schema)

    def _folded(self, columns: list[Column], events: str, killed: int) -> str:
        """Rows after some events: each key's newest, unless a truncate is newer than it.

        Snapshot reads are older than every streamed event, whatever their LSN says.
        """
        values = [
            name if column.key_position is not None else f"after.{name} AS {name}"
            for column, name in ((column, identifier(column.name)) for column in columns)
        ]
        survives = f"(NOT snapshot AND lsn > {killed})" if killed >= 0 else "true"
        return f"""SELECT {", ".join(values)} FROM (
                {events}
                QUALIFY row_number() OVER (PARTITION BY {self._key_list} ORDER BY snapshot, lsn DESC) = 1
            ) WHERE op <> 'd' AND {survives}"""

    def find_groundless(self, findings: Findings) -> str:
        """Dirty keys with an event that needs a row before it that the change log does not have.

        Returns:
            A relation of these keys.
        """
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE groundless AS
            SELECT {self._key_list}, min_by(op, row(NOT snapshot, lsn)) AS op FROM temp.events GROUP BY {self._key_list}
            HAVING (NOT bool_or(visible) AND min_by(op, row(NOT snapshot, lsn)) IN ('u', 'd'))
                OR bool_or(len(unchanged) > 0)"""
        )
        count = number(self._connection, "SELECT count(*) FROM temp.groundless")
        if count:
            findings.note(
                Verdict.UNKNOWN, count, f"{count} keys have no base in the change log to fold their events on"
            )
            shown = f"SELECT {self._key_texts}, op FROM temp.groundless ORDER BY {self._key_list}"
            for *key, op in first(self._connection, shown, MOST_DIFFERENCES):
                findings.keep(Verdict.UNKNOWN, key, "", (None, f"first event is {op!r}"), SOURCE_LOG)
        return "temp.groundless"

    def find_disorder(self, findings: Findings) -> None:
        """Keys with a visible event after an invisible one: row locks make that impossible in the source."""
        truncated = self._facts.visibly_truncated_lsn
        first_invisible = "min(lsn) FILTER (NOT visible)"
        last_visible = f"greatest(coalesce(max(lsn) FILTER (visible AND NOT snapshot), -1), {truncated})"
        disorder = f"""SELECT {self._key_list}, {first_invisible} AS first_invisible, {last_visible} AS last_visible
            FROM temp.events GROUP BY {self._key_list} HAVING {last_visible} > {first_invisible}"""
        count = number(self._connection, f"SELECT count(*) FROM ({disorder})")
        findings.found(Verdict.ORDER, count)
        if count:
            shown = (
                f"SELECT {self._key_texts}, first_invisible, last_visible FROM ({disorder}) ORDER BY {self._key_list}"
            )
            for *key, invisible, visible in first(self._connection, shown, MOST_DIFFERENCES):
                values = (f"visible event before lsn {invisible}", f"visible event at lsn {visible}")
                findings.keep(Verdict.ORDER, key, "", values, LOG)

    def find_broken_chains(self, findings: Findings, columns: list[Column]) -> None:
        """Where events carry the row before: it must be the row after the event before, or an event is lost between."""
        before, after = (sums.row_hash_sql(image, columns) for image in ("before", "after"))
        counted = f"op NOT IN ('t', '{TOMBSTONE}')"
        if self._facts.events > MOST_CHAINED:
            newest = f"SELECT lsn FROM {self._sides.changes} WHERE {counted} ORDER BY lsn DESC LIMIT {MOST_CHAINED}"
            since = number(self._connection, f"SELECT min(lsn) FROM ({newest})")
            counted = f"{counted} AND lsn >= {since}"
        # By hashes of the rows: the rows themselves, of the whole log, would be sorted for each cut.
        events = f"""SELECT {self._own_keys}, op, lsn, snapshot, {before} AS before, {after} AS after,
                len(unchanged) > 0 AS incomplete
            FROM {self._sides.changes} WHERE {counted}
            QUALIFY row_number() OVER (PARTITION BY "key", lsn, op ORDER BY kafka_partition, kafka_offset) = 1"""
        chains = f"""SELECT {self._key_list}, lsn, previous_lsn FROM (
                SELECT *, lag(after) OVER chain AS previous, lag(op) OVER chain AS previous_op,
                    lag(lsn) OVER chain AS previous_lsn, lag(incomplete) OVER chain AS previous_incomplete
                FROM ({events}) WINDOW chain AS (PARTITION BY {self._key_list} ORDER BY NOT snapshot, lsn)
            ) WHERE op IN ('u', 'd') AND previous_op IS NOT NULL AND before IS DISTINCT FROM previous
                -- The identity was not full then, so the event did not carry the whole row.
                AND NOT coalesce(previous_incomplete, false)"""
        count = number(self._connection, f"SELECT count(*) FROM ({chains})")
        findings.found(Verdict.MISSING, count)
        if count:
            values = ("b.before", "a.after")
            texts = ", ".join(f"left(any_value({value})::VARCHAR, {MOST_CHARACTERS})" for value in values)
            both = " AND ".join(f'b."key".{key} = chain.{key} AND a."key".{key} = chain.{key}' for key in self._keys)
            own = ", ".join(f"chain.{key}" for key in self._keys)
            own_texts = ", ".join(f"chain.{key}::VARCHAR" for key in self._keys)
            shown = f"""SELECT {own_texts}, chain.lsn, {texts}
                FROM (FROM ({chains}) ORDER BY ALL LIMIT {MOST_DIFFERENCES}) chain
                JOIN {self._sides.changes} b ON b.lsn = chain.lsn
                JOIN {self._sides.changes} a ON a.lsn = chain.previous_lsn
                WHERE {both} GROUP BY {own}, chain.lsn ORDER BY {own}, chain.lsn"""
            for *key, lsn, before, previous in first(self._connection, shown, MOST_DIFFERENCES):
                found = f"{previous} before the event at lsn {lsn}"
                findings.keep(Verdict.MISSING, key, "", (before, found), LOG)
