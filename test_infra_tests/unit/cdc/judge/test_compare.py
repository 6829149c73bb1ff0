"""Every fault that is planted is found, with its verdict and its key; what is equal is green."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import duckdb
import pytest

from test_infra.cdc.judge import compare, findings, log_checks
from test_infra.cdc.judge.differences import MOST_DIFFERENCES, Compared, TableParity
from test_infra.cdc.judge.sides import Sides
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.schemas import changes_schema, mirror_schema
from test_infra.cdc.sources.postgres import Snapshot
from test_infra.cdc.types import UNAVAILABLE
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.judge.parity_world import ROW, World, row


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as made:
        made.execute("SET TimeZone = 'UTC'")
        yield made


A, B, C, D = (1, "a"), (1, "b"), (2, "a"), (3, "é'\"")
VISIBLE, RUNNING, LATER = 100, 500, 2_000


def world() -> World:
    """Keys A and B are clean, C and D are dirty."""
    made = World(snapshot=Snapshot(400, 1_000, frozenset({RUNNING})))
    made.read(A).read(C).create(VISIBLE, B).create(VISIBLE, D, small=1)
    return made.update(VISIBLE, A, small=2).update(RUNNING, C, small=3).update(LATER, D, small=4)


def only(parity: TableParity, verdict: Verdict, key: tuple[int, str], column: str, compared: str) -> None:
    assert parity.verdicts == (verdict,)
    assert [(d.verdict, d.key, d.column, d.compared) for d in parity.differences] == [
        (verdict, {"id": str(key[0]), "kind": key[1]}, column, compared)
    ]


def test_equal_sides_are_green_and_counted() -> None:
    parity = world().judge()
    assert parity.green
    assert (parity.clean_keys, parity.dirty_keys, parity.source_rows, parity.mirror_rows, parity.changes) == (
        2,
        2,
        4,
        4,
        7,
    )


def test_row_missing_in_the_mirror() -> None:
    planted = world()
    del planted.mirror[A]
    only(planted.judge(), Verdict.MISSING, A, "", Compared.SOURCE_WITH_MIRROR)


def test_row_too_many_in_the_mirror() -> None:
    planted = world()
    planted.mirror[9, "x"] = row((9, "x"))
    parity = planted.judge()
    only(parity, Verdict.EXTRA, (9, "x"), "", Compared.SOURCE_WITH_MIRROR)
    assert parity.clean_keys == 3
    assert "10.50" in (parity.differences[0].mirror_value or "")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("small", 8),
        ("small", None),
        ("amount", Decimal("10.51")),
        ("ratio", 0.5000000000000001),
        ("ratio", math.nan),
        ("ok", False),
        ("ok", None),
        ("ref", "6f1f1f6e-8f5a-4b0e-9a43-7a1b0b8f0c12"),
        ("day", dt.date(2026, 11, 22)),
        ("at", dt.datetime(2026, 11, 21, 3, 4, 5, 7)),
        ("at_tz", dt.datetime(2026, 11, 21, 3, 4, 5, 6, tzinfo=dt.UTC)),
        ("doc", '{"a":1}'),
        ("doc", '{"a": 1} '),
        ("doc", ""),
        ("raw", b"\x00\xfe"),
        ("raw", b""),
    ],
)
@pytest.mark.parametrize(("key", "compared"), [(B, Compared.SOURCE_WITH_MIRROR), (D, Compared.LOG_WITH_MIRROR)])
def test_changed_value_of_every_type(column, value, key, compared) -> None:
    planted = world()
    planted.mirror[key] = {**planted.mirror[key], column: value}
    only(planted.judge(), Verdict.VALUE, key, column, compared)


def test_both_values_are_named() -> None:
    planted = world()
    planted.mirror[B]["amount"] = Decimal("99.99")
    (difference,) = planted.judge().differences
    assert (difference.table, difference.source_value, difference.mirror_value) == ("public.things", "10.50", "99.99")


@pytest.mark.parametrize(("tx_id", "key"), [(VISIBLE, B), (LATER, D)])
def test_long_values_are_shown_where_they_differ(tx_id, key) -> None:
    same = "\u00fc" * 100_000
    planted = world().update(tx_id, key, doc=f"{same}left")
    planted.mirror[key]["doc"] = f"{same}right"
    (difference,) = planted.judge().differences
    assert (difference.skipped, difference.source_value, difference.mirror_value) == (100_000, "left", "right")


def test_every_differing_column_of_a_row_is_named() -> None:
    planted = world()
    planted.mirror[B] |= {"small": 9, "doc": None}
    parity = planted.judge()
    assert [(d.column, d.mirror_value) for d in parity.differences] == [("small", "9"), ("doc", None)]
    assert parity.counts == {Verdict.VALUE: 1}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0])
def test_odd_floats_equal_themselves(value) -> None:
    made = World().create(VISIBLE, A, ratio=value)
    assert made.judge().green


def test_minus_zero_is_not_zero() -> None:
    planted = World().create(VISIBLE, A, ratio=0.0)
    planted.mirror[A]["ratio"] = -0.0
    only(planted.judge(), Verdict.VALUE, A, "ratio", Compared.SOURCE_WITH_MIRROR)


def test_null_everywhere_is_green() -> None:
    assert World().create(VISIBLE, A, **dict.fromkeys(ROW)).judge().green


def test_duplicate_mirror_row() -> None:
    planted = world()
    planted.extra_mirror_rows.append(row(B))
    parity = planted.judge()
    only(parity, Verdict.DUPLICATE, B, "", Compared.SOURCE_WITH_MIRROR)
    assert parity.differences[0].mirror_value == "2 rows"


def test_stale_mirror_row_of_a_clean_key() -> None:
    planted = world()
    planted.mirror[A] = row(A)
    only(planted.judge(), Verdict.VALUE, A, "small", Compared.SOURCE_WITH_MIRROR)


def test_stale_mirror_row_of_a_dirty_key() -> None:
    planted = world()
    planted.mirror[D]["small"] = 1
    only(planted.judge(), Verdict.VALUE, D, "small", Compared.LOG_WITH_MIRROR)


def test_dirty_row_missing_in_the_mirror() -> None:
    planted = world()
    del planted.mirror[C]
    only(planted.judge(), Verdict.MISSING, C, "", Compared.LOG_WITH_MIRROR)


def test_deleted_dirty_row_still_in_the_mirror() -> None:
    planted = world().delete(LATER, D)
    planted.mirror[D] = row(D, small=4)
    only(planted.judge(), Verdict.EXTRA, D, "", Compared.LOG_WITH_MIRROR)


def test_visible_event_of_a_dirty_key_lost_before_the_log() -> None:
    planted = world().update(VISIBLE, B, small=5).update(LATER, B, small=6)
    del planted.events[-2]
    only(planted.judge(), Verdict.VALUE, B, "small", Compared.SOURCE_WITH_LOG)


def test_visible_event_of_a_clean_key_lost_on_the_way_to_log_and_mirror() -> None:
    planted = world().update(VISIBLE, B, small=5)
    planted.events.pop()
    planted.mirror[B]["small"] = 7
    only(planted.judge(), Verdict.VALUE, B, "small", Compared.SOURCE_WITH_MIRROR)


def test_invisible_event_lost_in_the_mirror_only() -> None:
    planted = world().update(LATER, C, small=9)
    planted.mirror[C]["small"] = 3
    only(planted.judge(), Verdict.VALUE, C, "small", Compared.LOG_WITH_MIRROR)


def test_invisible_event_lost_in_the_log_only() -> None:
    planted = world().update(LATER, C, small=9)
    planted.events.pop()
    only(planted.judge(), Verdict.VALUE, C, "small", Compared.LOG_WITH_MIRROR)


def test_invisible_event_lost_everywhere_breaks_the_chain_of_before_images() -> None:
    planted = world().update(LATER, C, small=9).update(LATER, C, small=10)
    planted.before_images = True
    assert planted.judge().green
    del planted.events[-2]
    only(planted.judge(), Verdict.MISSING, C, "", Compared.LOG)


@pytest.mark.parametrize(("looked_at", "verdicts"), [(3, (Verdict.MISSING,)), (2, ())])
def test_of_a_long_log_the_newest_events_must_be_a_chain(
    monkeypatch: pytest.MonkeyPatch, looked_at: int, verdicts: tuple[Verdict, ...]
) -> None:
    monkeypatch.setattr(log_checks, "MOST_CHAINED", looked_at)
    planted = world().update(LATER, C, small=8).update(LATER, C, small=9).update(LATER, C, small=10)
    planted.update(LATER, A, small=1)
    planted.before_images = True
    del planted.events[-3]
    assert planted.judge().verdicts == verdicts


def test_a_chain_looked_at_in_part_says_from_which_event_on(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = world().update(LATER, C, small=9).update(LATER, C, small=10)
    planted.before_images = True
    found = findings.parity(planted.judge())
    assert found.numbers["chained_events"] == found.numbers["changes"] == 9
    assert found.details["before-images looked at"] == "from the first event on: 9 of 9 events"
    monkeypatch.setattr(log_checks, "MOST_CHAINED", 2)
    found = findings.parity(planted.judge())
    since = sorted(event.lsn for event in planted.events)[-2]
    assert found.numbers["chained_events"] == 2
    assert found.details["before-images looked at"] == f"from lsn {since} on: 2 of 9 events"


def test_a_fault_older_than_the_newest_events_is_not_found_and_the_finding_says_that_it_was_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted = World().create(VISIBLE, A)
    for value in range(1, 8):
        planted.update(LATER, A, small=value)
    planted.before_images = True
    lost = planted.events.pop(2)
    assert planted.judge().verdicts == (Verdict.MISSING,)
    monkeypatch.setattr(log_checks, "MOST_CHAINED", 2)
    parity = planted.judge()
    assert parity.green
    assert parity.image_chain is not None
    assert (parity.image_chain.looked_at, parity.image_chain.events) == (2, 7)
    assert lost.lsn < (parity.image_chain.since_lsn or 0)
    said = f"before-images looked at from lsn {parity.image_chain.since_lsn} on: 2 of 7 events"
    assert said in findings.parity(parity).summary


def test_a_wrong_value_in_a_log_that_is_too_long_to_replay_is_not_found_and_the_finding_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted = world()
    made = planted.events[2]
    assert made.key == B
    planted.events[2] = replace(made, after={**(made.after or {}), "small": 99})
    only(planted.judge(), Verdict.VALUE, B, "small", Compared.SOURCE_WITH_LOG)
    monkeypatch.setattr(compare, "MOST_REPLAYED", 2)
    parity = planted.judge()
    assert parity.green
    assert parity.replayed_keys is None
    found = findings.parity(parity)
    assert (found.numbers["replayed_keys"], found.numbers["clean_keys"]) == (0, 2)
    assert "0 of 2 clean keys replayed" in found.summary
    assert found.details["clean keys compared with the change log"] == "0 of 2"


def test_a_log_that_was_looked_at_as_a_whole_is_not_said_to_be_limited() -> None:
    planted = world()
    planted.before_images = True
    found = findings.parity(planted.judge())
    assert found.summary == "equal: 4 rows, 2 keys compared with the source and 2 through the change log"
    assert found.details["clean keys compared with the change log"] == "2 of 2"


def test_columns_named_as_the_judges_own_do_not_meet_them(connection: duckdb.DuckDBPyConnection) -> None:
    names = ("lsn", "key", "op", "after", "snapshot", "visible", "present", "l", "mirror", "verdict", "rows", "k1")
    keys = tuple(Column(name, "bigint", False, place) for place, name in enumerate(names[:3], 1))
    others = tuple(Column(name, "text") for name in names[3:])
    schema = TableSchema("public", "changes", (*keys, *others, Column("p l", "point")))
    values = ", ".join(f"'{name}': {place if place < 3 else repr(str(place))}" for place, name in enumerate(names))
    row = f"{{{values}, 'p l': {{'x': 1.0::DOUBLE, 'y': 2.0::DOUBLE}}}}"
    for name, shape in (("mirror", mirror_schema(schema)), ("changes", changes_schema(schema))):
        connection.register("shape", shape.empty_table())
        connection.execute(f"CREATE TABLE {name} AS FROM shape")
        connection.unregister("shape")
    connection.execute("CREATE TABLE source AS SELECT * EXCLUDE (_lsn, _tx_id, _commit_ts, _snapshot) FROM mirror")
    connection.execute(f"INSERT INTO source BY NAME SELECT unnest({row})")
    connection.execute("INSERT INTO mirror BY NAME FROM source")
    for lsn, op, tx_id in ((10, "c", VISIBLE), (20, "u", LATER)):
        connection.execute(
            f"""INSERT INTO changes BY NAME SELECT '{op}' AS op, {{'lsn': 0, 'key': 1, 'op': 2}} AS "key",
                {row} AS before, {row} AS after, {lsn} AS lsn, {tx_id} AS tx_id, false AS snapshot,
                0 AS kafka_partition, {lsn} AS kafka_offset"""
        )
    sides = Sides("source", "mirror", "changes", Snapshot(1_000, 1_000), before_images=True)
    parity = compare.judge(connection, sides, schema)
    assert parity.green
    assert (parity.clean_keys, parity.dirty_keys) == (0, 1)
    connection.execute("UPDATE mirror SET verdict = 'other'")
    (difference,) = compare.judge(connection, sides, schema).differences
    assert (difference.key, difference.column) == ({"lsn": "0", "key": "1", "op": "2"}, "verdict")


def test_nothing_of_a_comparison_stays_in_the_connection(connection: duckdb.DuckDBPyConnection) -> None:
    made = world()
    connection.register("source", made.source_table())
    connection.register("mirror", made.mirror_table())
    connection.register("changes", made.changes_table())
    before = connection.execute("SHOW ALL TABLES").fetchall()
    compare.judge(connection, Sides("source", "mirror", "changes", made.snapshot), made.schema)
    assert connection.execute("SHOW ALL TABLES").fetchall() == before


def test_delete_and_create_again_is_green() -> None:
    made = world().delete(VISIBLE, B).create(VISIBLE, B, small=9).delete(LATER, A).create(LATER, A, small=9)
    assert made.judge().green


def test_invisible_create_is_green_and_visible_delete_stays_deleted() -> None:
    made = world().delete(VISIBLE, B).create(LATER, (7, "z"))
    assert made.judge().green


def test_visible_create_lost_of_a_dirty_key_has_no_base() -> None:
    planted = World().create(VISIBLE, A).update(LATER, A, small=1)
    del planted.events[0]
    parity = planted.judge()
    only(parity, Verdict.UNKNOWN, A, "", Compared.SOURCE_WITH_LOG)
    assert "1 keys have no base" in parity.reason


def test_create_that_the_source_already_had_is_missing_in_the_log() -> None:
    planted = (
        World().create(VISIBLE, A).delete(VISIBLE, A).create(VISIBLE, A, small=1).delete(LATER, A).create(LATER, A)
    )
    del planted.events[2:4]
    only(planted.judge(), Verdict.MISSING, A, "", Compared.SOURCE_WITH_LOG)


def test_snapshot_read_is_older_than_every_streamed_event_whatever_its_lsn() -> None:
    made = World().read(A).update(VISIBLE, A, small=1).update(LATER, A, small=2)
    assert made.events[0].lsn > made.events[2].lsn
    assert made.judge().green


def test_of_two_snapshot_reads_the_higher_lsn_wins() -> None:
    made = World().read(A, small=1).repeat_snapshot().read(A, small=2).update(LATER, A, small=3)
    assert made.judge().green


def test_row_that_only_an_interrupted_snapshot_has_read_is_not_expected() -> None:
    made = World().read(A).read(B).repeat_snapshot().read(A).create(LATER, B, small=3)
    assert made.judge().green


def test_row_that_was_deleted_while_the_snapshot_was_interrupted_is_extra_in_the_mirror() -> None:
    made = World().read(A).read(B).repeat_snapshot().read(A)
    made.mirror[B] = row(B)
    only(made.judge(), Verdict.EXTRA, B, "", Compared.SOURCE_WITH_MIRROR)


def test_value_that_was_left_out_is_that_of_the_event_before() -> None:
    made = World().read(A, small=1).update(VISIBLE, A, ratio=1.5).left_out("small")
    assert made.update(LATER, A, ratio=2.5).left_out("small", "raw").judge().green
    made.mirror[A]["small"] = 9
    only(made.judge(), Verdict.VALUE, A, "small", Compared.LOG_WITH_MIRROR)


def test_value_that_was_left_out_follows_its_row_through_key_changes() -> None:
    made = World().read(A, small=1).read(C, small=3)
    made.move(VISIBLE, A, B).left_out("small", "raw").move(VISIBLE, C, A).left_out("small")
    assert made.move(LATER, B, D).left_out("small").judge().green
    made.mirror[D]["small"] = 9
    only(made.judge(), Verdict.VALUE, D, "small", Compared.LOG_WITH_MIRROR)


def test_placeholder_in_the_mirror_is_found() -> None:
    made = World().read(A).update(VISIBLE, A, ratio=1.5).left_out("doc")
    assert made.judge().green
    made.mirror[A]["doc"] = UNAVAILABLE
    only(made.judge(), Verdict.VALUE, A, "doc", Compared.SOURCE_WITH_MIRROR)


def test_value_that_no_event_has_is_unknown() -> None:
    made = World().create(VISIBLE, A, small=1).update(VISIBLE, A, ratio=1.5).left_out("small").update(LATER, A)
    made.left_out("small")
    del made.events[0]
    assert Verdict.UNKNOWN in made.judge().verdicts


def test_snapshot_repeated_during_the_cut_cannot_be_judged() -> None:
    made = World(marker_lsn=12_000).read(A)
    assert made.judge().verdicts == (Verdict.UNKNOWN,)


def test_redelivered_old_events_change_nothing() -> None:
    made = world().redeliver(3).redeliver(2).redeliver(5)
    assert made.judge().green


def test_invisible_truncate_makes_every_key_dirty() -> None:
    made = world().truncate(LATER).create(LATER, A, small=11)
    parity = made.judge()
    assert parity.green
    assert (parity.clean_keys, parity.dirty_keys) == (0, 4)
    made.mirror[B] = row(B)
    only(made.judge(), Verdict.EXTRA, B, "", Compared.LOG_WITH_MIRROR)


def test_visible_truncate_kills_older_rows_and_reads_only() -> None:
    made = World().read(A).create(VISIBLE, B).truncate(VISIBLE).create(VISIBLE, C).update(LATER, C).create(LATER, A)
    assert made.judge().green


def test_log_without_a_row_that_the_source_has_before_an_invisible_truncate() -> None:
    planted = World().create(VISIBLE, A).create(VISIBLE, B).truncate(LATER)
    del planted.events[0]
    only(planted.judge(), Verdict.MISSING, A, "", Compared.SOURCE_WITH_LOG)


def test_visible_event_after_an_invisible_one_is_out_of_order() -> None:
    planted = World().create(VISIBLE, A).update(LATER, A, small=1).update(VISIBLE, A, small=1)
    planted.source[A] = dict(planted.mirror[A])
    parity = planted.judge()
    only(parity, Verdict.ORDER, A, "", Compared.LOG)


def test_events_swapped_in_time_are_out_of_order() -> None:
    planted = World().create(VISIBLE, A).update(VISIBLE, A, small=1).update(LATER, A, small=1)
    first, second = planted.events[1:]
    planted.events[1:] = [replace(first, lsn=second.lsn), replace(second, lsn=first.lsn)]
    assert Verdict.ORDER in planted.judge().verdicts


def test_event_without_transaction_id_cannot_be_judged() -> None:
    planted = World().create(VISIBLE, A)
    planted.events[0] = replace(planted.events[0], tx_id=None)
    assert planted.judge().verdicts == (Verdict.UNKNOWN,)


def test_empty_table_is_equal_to_an_empty_mirror() -> None:
    parity = World().judge()
    assert parity.verdicts == ()
    assert (parity.source_rows, parity.mirror_rows, parity.changes) == (0, 0, 0)


def test_emptied_table_with_changes_is_green() -> None:
    assert World().create(VISIBLE, A).delete(VISIBLE, A).judge().green


def test_column_missing_too_many_or_of_another_type_in_the_mirror() -> None:
    made = world()
    columns = (*SCHEMA_COLUMNS(made)[:-1], Column("added", "text"))
    columns = tuple(replace(column, type="integer") if column.name == "small" else column for column in columns)
    made.source = {key: {**values, "added": None} for key, values in made.source.items()}
    mirror, changes = made.mirror_table(), made.changes_table()
    made.schema = TableSchema("public", "things", columns)
    made.mirror_table = lambda: mirror  # type: ignore[method-assign]
    made.changes_table = lambda: changes  # type: ignore[method-assign]
    parity = made.judge()
    assert parity.counts == {Verdict.SCHEMA: 3}
    assert {(d.column, d.source_value, d.mirror_value) for d in parity.differences} == {
        ("small", "INTEGER", "SMALLINT"),
        ("added", "VARCHAR", None),
        ("raw", None, "BLOB"),
    }


def test_added_column_that_is_called_like_one_of_the_mirrors_own_is_a_schema_fault() -> None:
    made = world()
    source, mirror, changes = made.source_table(), made.mirror_table(), made.changes_table()
    source = source.append_column("_lsn", mirror["_lsn"])
    made.schema = TableSchema("public", "things", (*SCHEMA_COLUMNS(made), Column("_lsn", "bigint")))
    made.source_table = lambda: source  # type: ignore[method-assign]
    made.mirror_table = lambda: mirror  # type: ignore[method-assign]
    made.changes_table = lambda: changes  # type: ignore[method-assign]
    parity = made.judge()
    assert parity.counts == {Verdict.SCHEMA: 1}
    assert [(d.column, d.source_value, d.mirror_value) for d in parity.differences] == [("_lsn", "BIGINT", None)]


def SCHEMA_COLUMNS(made: World) -> tuple[Column, ...]:  # noqa: N802
    return made.schema.columns


def test_mirror_without_a_key_column_is_a_schema_fault_and_nothing_else() -> None:
    made = world()
    mirror = made.mirror_table().drop_columns(["kind"])
    made.mirror_table = lambda: mirror  # type: ignore[method-assign]
    parity = made.judge()
    assert parity.verdicts == (Verdict.SCHEMA,)
    assert parity.clean_keys == 0


def test_table_of_key_columns_only() -> None:
    made = World(schema=TableSchema("public", "things", world().schema.columns[:2]))
    for tx_id, key in ((VISIBLE, A), (LATER, B)):
        made.create(tx_id, key)
    for side in (made.source, made.mirror):
        for key in side:
            side[key] = {"id": key[0], "kind": key[1]}
    assert made.judge().green
    del made.mirror[A]
    assert made.judge().verdicts == (Verdict.MISSING,)


def test_all_faults_are_counted_and_the_first_are_shown() -> None:
    planted = World()
    for number in range(200):
        planted.create(VISIBLE, (number, "n"))
    planted.mirror.clear()
    parity = planted.judge()
    assert parity.counts == {Verdict.MISSING: 200}
    assert len(parity.differences) == MOST_DIFFERENCES
    assert parity.differences[0].key == {"id": "0", "kind": "n"}


def test_null_key_in_the_mirror_is_extra() -> None:
    planted = World().create(VISIBLE, A)
    planted.extra_mirror_rows.append({"id": None, "kind": "a", **ROW})
    parity = planted.judge()
    assert parity.verdicts == (Verdict.EXTRA,)
    assert parity.differences[0].key == {"id": None, "kind": "a"}
