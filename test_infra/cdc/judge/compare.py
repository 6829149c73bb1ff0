"""Source, change log and mirror of one table at one cut: equal, or which row and column is not. Pure; DuckDB inside.

Keys that no invisible event touched are *clean*: their source row must be their mirror row. They are compared by sums
over buckets of rows, and row by row in the buckets whose sums differ. The others are *dirty*, because the mirror is
ahead of the source's snapshot there: the change log folded up to the snapshot must be the source row, **and** folded to
its end it must be the mirror row. Comparing only one of the two finds none of the faults of the other side
(facts/exact-cut.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from test_infra.cdc.judge import fold, sums
from test_infra.cdc.judge.differences import (
    LOG_MIRROR,
    MOST_DIFFERENCES,
    SOURCE_LOG,
    SOURCE_MIRROR,
    Findings,
    TableParity,
)
from test_infra.cdc.judge.fold import MOST_CHARACTERS, DirtyKeys
from test_infra.cdc.judge.sides import first, number
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.delta import mirror_schema
from test_infra.cdc.types import identifier, literal, rule_for

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from test_infra.cdc.judge.fold import LogFacts
    from test_infra.cdc.judge.sides import Sides
    from test_infra.cdc.types.table import Column, TableSchema

TEMPORARY = (
    *fold.TEMPORARY,
    *("sums_of_source", "sums_of_mirror", "dirty_source", "dirty_mirror", "unequal"),
    *("suspect_source", "suspect_mirror", "suspect_log", "replayed", "told", "differing"),
)

MOST_REPLAYED = 200_000
"""Events of a log that is folded for clean keys as well. It takes a second for a million, so beyond this the log is
folded for dirty keys only; `TableParity.replayed_keys` tells."""


def judge(connection: DuckDBPyConnection, sides: Sides, schema: TableSchema) -> TableParity:
    """Compare every column of every row, as typed values.

    NaN equals NaN, 0.0 does not equal -0.0, NULL equals NULL and nothing else.

    Args:
        connection: holds the relations; temporary tables are made in it and dropped again.
        sides: what is compared.
        schema: the table as the source describes it at the cut.
    """
    findings = Findings(schema)
    columns = _comparable(connection, sides.mirror, schema, findings)
    facts = fold.log_facts(connection, sides)
    if all(column in columns for column in schema.key):
        try:
            counted = _Comparison(connection, sides, schema, columns, findings, facts).run()
        finally:
            for table in TEMPORARY:
                connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
    else:
        source, mirror = (number(connection, f"SELECT count(*) FROM {side}") for side in (sides.source, sides.mirror))
        counted = _Counted(source, mirror, clean=0, dirty=0, replayed=0)
    if facts.events and facts.without_tx_id:
        findings.note(
            Verdict.UNKNOWN, facts.without_tx_id, "events carry no transaction id, so their visibility is unknown"
        )
    if sides.marker_lsn is not None and facts.last_read_lsn > sides.marker_lsn:
        findings.note(Verdict.UNKNOWN, 1, "the connector repeated its initial snapshot while the cut was taken")
    if not (counted.source or counted.mirror or facts.events):
        findings.note(Verdict.UNKNOWN, 1, "the table is empty on both sides and never changed: nothing was compared")
    return TableParity(
        table=schema.qualified,
        counts=findings.counts(),
        reason="; ".join(findings.reasons),
        clean_keys=counted.clean,
        dirty_keys=counted.dirty,
        replayed_keys=counted.replayed,
        source_rows=counted.source,
        mirror_rows=counted.mirror,
        changes=facts.events,
        differences=tuple(findings.differences[:MOST_DIFFERENCES]),
    )


@dataclass(frozen=True)
class _Counted:
    """Rows of both sides; keys by the way in which they were compared."""

    source: int
    mirror: int
    clean: int
    dirty: int
    replayed: int


def _comparable(connection: DuckDBPyConnection, mirror: str, schema: TableSchema, findings: Findings) -> list[Column]:
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
        findings: Findings,
        facts: LogFacts,
    ) -> None:
        self._connection = connection
        self._sides = sides
        self._schema = schema
        self._columns = columns
        self._findings = findings
        self._facts = facts
        self._log = DirtyKeys(connection, sides, schema, facts)
        self._keys = [identifier(name) for name in schema.key_names]
        self._key_list = ", ".join(self._keys)
        self._key_texts = ", ".join(f"{key}::VARCHAR" for key in self._keys)

    def run(self) -> _Counted:
        """Compare; returns what was compared."""
        dirty = self._log.find()
        self._connection.execute("CREATE OR REPLACE TEMP TABLE told AS FROM temp.dirty LIMIT 0")
        if dirty:
            self._keep("dirty_source", f"{self._sides.source} SEMI JOIN temp.dirty USING ({self._key_list})")
            self._keep("dirty_mirror", f"{self._sides.mirror} SEMI JOIN temp.dirty USING ({self._key_list})")
        source_sums, mirror_sums = self._summed_up()
        extra_clean = self._compare_clean(source_sums, mirror_sums, dirty)
        replayed = self._compare_replayed(source_sums, dirty) if self._facts.events <= MOST_REPLAYED else 0
        if dirty:
            self._compare_dirty()
        if self._sides.before_images:
            self._log.find_broken_chains(self._findings, self._columns)
        source = self._number(f"SELECT coalesce(sum(rows), 0) FROM {source_sums}")
        mirror = self._number(f"SELECT coalesce(sum(rows), 0) FROM {mirror_sums}")
        dirty_in_source = self._number("SELECT count(*) FROM temp.dirty_source") if dirty else 0
        return _Counted(source, mirror, source + extra_clean - dirty_in_source, dirty, replayed)

    def _summed_up(self) -> tuple[str, str]:
        """Relations of the sums of all rows of source and mirror."""
        source_sums = self._sides.source_sums
        if source_sums is None or self._columns != list(self._schema.columns):
            source_sums = "temp.sums_of_source"
            query = sums.sums_sql(self._sides.source, self._columns)
            self._connection.execute(f"CREATE OR REPLACE TEMP TABLE sums_of_source AS {query}")
        query = sums.sums_sql(self._sides.mirror, self._columns)
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE sums_of_mirror AS {query}")
        return source_sums, "temp.sums_of_mirror"

    def _compare_clean(self, source_sums: str, mirror_sums: str, dirty: int) -> int:
        """Compare the rows of clean keys; returns how many keys only the mirror has."""
        plus, minus = [source_sums], [mirror_sums]
        if dirty:
            # What is dirty is compared through the log, so it is taken out of the sums of both sides.
            plus.append(f"({sums.sums_sql('temp.dirty_mirror', self._columns)})")
            minus.append(f"({sums.sums_sql('temp.dirty_source', self._columns)})")
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE unequal AS {sums.unequal_sql(plus, minus)}")
        unequal = self._number("SELECT count(*) FROM temp.unequal")
        if unequal:
            self._keep_suspects("suspect_source", self._sides.source)
            self._keep_suspects("suspect_mirror", self._sides.mirror)
        suspects = ["temp.suspect_mirror"] * bool(unequal) + ["temp.dirty_mirror"] * bool(dirty)
        if suspects:
            self._find_duplicates(suspects)
        if not unequal:
            return 0
        found = self._one_row_per_key("temp.suspect_mirror")
        extra = self._compare("temp.suspect_source", found, SOURCE_MIRROR)
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE told AS SELECT {self._key_list} FROM temp.differing")
        return extra

    def _compare_replayed(self, source_sums: str, dirty: int) -> int:
        """Compare the rows of clean keys with what the whole log says of them; returns how many the log has.

        A key whose mirror row was found wrong is not told again.
        """
        self._keep("replayed", f"({self._log.replayed_clean(self._columns)})")
        minus = [f"({sums.sums_sql('temp.replayed', self._columns)})"]
        if dirty:
            minus.append(f"({sums.sums_sql('temp.dirty_source', self._columns)})")
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE unequal AS {sums.unequal_sql([source_sums], minus)}")
        if self._number("SELECT count(*) FROM temp.unequal"):
            self._keep_suspects("suspect_source", self._sides.source)
            self._keep_suspects("suspect_log", "temp.replayed")
            untold = f"ANTI JOIN temp.told USING ({self._key_list})"
            source, log = (f"(SELECT * FROM temp.suspect_{side} {untold})" for side in ("source", "log"))
            self._compare(source, log, SOURCE_LOG)
        return self._number("SELECT count(*) FROM temp.replayed")

    def _compare_dirty(self) -> None:
        """Compare the rows of dirty keys with what the log says of them."""
        groundless = self._log.find_groundless(self._findings)
        self._log.find_disorder(self._findings)
        founded = f"ANTI JOIN {groundless} USING ({self._key_list})"
        expected = f"(SELECT * FROM temp.dirty_source {founded})"
        found = f"(SELECT * FROM ({self._log.folded_to_snapshot(self._columns)}) {founded})"
        self._compare(expected, found, SOURCE_LOG)
        expected, found = f"({self._log.folded_to_end(self._columns)})", self._one_row_per_key("temp.dirty_mirror")
        self._compare(expected, found, LOG_MIRROR)

    def _keep(self, name: str, rows: str) -> None:
        columns = ", ".join(identifier(column.name) for column in self._columns)
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT {columns} FROM {rows}")

    def _keep_suspects(self, name: str, side: str) -> None:
        """Rows of clean keys in buckets whose sums are unequal."""
        bucket = sums.bucket_sql(self._columns)
        rows = f"(SELECT * FROM {side} WHERE {bucket} IN (SELECT bucket FROM temp.unequal))"
        self._keep(name, f"{rows} ANTI JOIN temp.dirty USING ({self._key_list})")

    def _find_duplicates(self, relations: list[str]) -> None:
        """Keys that the mirror has twice; one of their rows stands for them from here on."""
        rows = " UNION ALL ".join(f"SELECT {self._key_list} FROM {relation}" for relation in relations)
        duplicates = f"SELECT {self._key_list}, count(*) AS rows FROM ({rows}) GROUP BY ALL HAVING count(*) > 1"
        self._findings.found(Verdict.DUPLICATE, self._number(f"SELECT count(*) FROM ({duplicates})"))
        for *key, rows_of_key in self._first(
            f"SELECT {self._key_texts}, rows FROM ({duplicates}) ORDER BY {self._key_list}"
        ):
            self._findings.keep(Verdict.DUPLICATE, key, "", ("1 row", f"{rows_of_key} rows"), SOURCE_MIRROR)

    def _one_row_per_key(self, rows: str) -> str:
        return f"(SELECT * FROM {rows} QUALIFY row_number() OVER (PARTITION BY {self._key_list}) = 1)"

    def _compare(self, expected: str, found: str, compared: str) -> int:
        """Join two relations on the key and keep what differs; returns how many keys only the second has."""
        values = [column for column in self._columns if column.key_position is None]
        places = ", ".join([f"NULL::{_PLACE}", *map(self._place, values)])
        differs = " OR ".join(["l.present IS NULL", "r.present IS NULL", *map(self._differs, values)])
        self._connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE differing AS
            SELECT {", ".join(f"coalesce(l.{key}, r.{key}) AS {key}" for key in self._keys)},
                CASE WHEN r.present IS NULL THEN '{Verdict.MISSING}' WHEN l.present IS NULL THEN '{Verdict.EXTRA}'
                    ELSE '{Verdict.VALUE}' END AS verdict,
                CASE WHEN l.present AND r.present THEN list_filter([{places}], lambda place: place IS NOT NULL)
                    ELSE [{{'name': '', 'skipped': 0, 'expected': {self._whole("l")}, 'found': {self._whole("r")}}}] END
                    AS places
            FROM (SELECT *, true AS present FROM {expected}) l
            FULL JOIN (SELECT *, true AS present FROM {found}) r
            ON {" AND ".join(f"l.{key} = r.{key}" for key in self._keys)}
            WHERE {differs}"""
        )
        by_verdict = self._connection.execute("SELECT verdict, count(*) FROM temp.differing GROUP BY ALL").fetchall()
        counts: dict[Verdict, int] = {Verdict(verdict): count for verdict, count in by_verdict}
        for verdict, count in counts.items():
            self._findings.found(verdict, count)
        shown = f"SELECT {self._key_texts}, verdict, places FROM temp.differing ORDER BY {self._key_list}"
        for *key, verdict, differing in self._first(shown):
            for place in differing:
                values_seen = (place["expected"], place["found"])
                self._findings.keep(Verdict(verdict), key, place["name"], values_seen, compared, place["skipped"])
        return counts.get(Verdict.EXTRA, 0)

    def _differs(self, column: Column) -> str:
        name = identifier(column.name)
        return rule_for(column).differs(f"l.{name}", f"r.{name}")

    def _place(self, column: Column) -> str:
        left, right = (f"{side}.{identifier(column.name)}::VARCHAR" for side in "lr")
        pieces = {
            "name": literal(column.name),
            "skipped": _same_before(left, right),
            "expected": _piece(left, right, left),
            "found": _piece(left, right, right),
        }
        struct = ", ".join(f"'{name}': {value}" for name, value in pieces.items())
        return f"CASE WHEN {self._differs(column)} THEN {{{struct}}} END"

    def _whole(self, side: str) -> str:
        row = ", ".join(f"{literal(column.name)}: {side}.{identifier(column.name)}" for column in self._columns)
        return f"CASE WHEN {side}.present THEN left({{{row}}}::VARCHAR, {MOST_CHARACTERS}) END"

    def _number(self, query: str) -> int:
        return number(self._connection, query)

    def _first(self, query: str) -> list[tuple[Any, ...]]:
        return first(self._connection, query, MOST_DIFFERENCES)


_PLACE = "STRUCT(name VARCHAR, skipped BIGINT, expected VARCHAR, found VARCHAR)"


def _piece(left: str, right: str, side: str) -> str:
    """The piece of a value that is shown: its beginning, or where the two sides begin to differ."""
    return f"substr({side}, {_same_before(left, right)} + 1, {MOST_CHARACTERS})"


def _same_before(left: str, right: str) -> str:
    """How many characters of long values, whole pieces of them, are the same on both sides."""
    piece = MOST_CHARACTERS
    first = f"""list_filter(
        range({piece}, greatest(length({left}), length({right})), {piece}),
        lambda begins: substr({left}, begins + 1, {piece}) IS DISTINCT FROM substr({right}, begins + 1, {piece})
    )[1]"""
    at_once = f"left({left}, {piece}) IS DISTINCT FROM left({right}, {piece})"
    return f"(CASE WHEN {at_once} THEN 0 ELSE coalesce({first}, 0) END)"
