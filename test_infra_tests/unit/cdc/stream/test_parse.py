from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_infra.cdc.stream import parse as module
from test_infra.cdc.stream.parse import Parsed, memory_db, parse
from test_infra.cdc.types import UNAVAILABLE
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.events import (
    ORDERS,
    TOPIC,
    Message,
    delete,
    envelope,
    records,
    tombstone,
    truncate,
    upsert,
)

WIDE = TableSchema(
    "public",
    'odd "names"',
    (
        Column("b key", "integer", nullable=False, key_position=2),
        Column('a "key"', "text", nullable=False, key_position=1),
        Column("ref", "uuid", nullable=False),
        Column("total", "numeric(12,2)"),
        Column("raw", "bytea"),
    ),
)
KEY = json.dumps({"id": 1}).encode()


def parsed(*messages: Message, schema: TableSchema = ORDERS) -> Parsed:
    return parse(memory_db(), records(messages), schema, tx_id_reference=2**32, batch_id=3)


def reasons(result: Parsed) -> list[str]:
    return [row["reason"] for row in result.refused.to_pylist()]


def test_a_create_becomes_a_typed_row_with_its_coordinates() -> None:
    result = parsed(upsert("c", 1, 10, "hi"))
    (row,) = result.changes.to_pylist()
    assert (row["op"], row["key"], row["before"], row["after"]) == ("c", {"id": 1}, None, {"id": 1, "note": "hi"})
    assert (row["lsn"], row["tx_id"], row["snapshot"], row["batch_id"]) == (10, 2**32 + 700, False, 3)
    assert (row["kafka_partition"], row["kafka_offset"]) == (0, 0)
    assert result.end_offsets == {0: 1}
    assert result.max_commit_ts_us == 1_700_000_000_000_010


def test_a_snapshot_read_has_no_transaction() -> None:
    (row,) = parsed(upsert("r", 1, 10)).changes.to_pylist()
    assert (row["op"], row["tx_id"], row["snapshot"]) == ("r", None, True)


def test_a_delete_a_tombstone_and_a_truncate_are_rows() -> None:
    result = parsed(delete(1, 10), tombstone(1), truncate(11))
    assert [row["op"] for row in result.changes.sort_by("kafka_offset").to_pylist()] == ["d", "tombstone", "t"]
    assert result.refused.num_rows == 0


def test_several_key_columns_and_odd_names_are_read() -> None:
    row = {"b key": 1, 'a "key"': "k", "ref": "0b6c1d1e-7a55-4c3f-9f0e-1c2d3e4f5a6b", "total": "1.50", "raw": "AQI="}
    key = json.dumps({'a "key"': "k", "b key": 1}).encode()
    (found,) = parsed((key, envelope("c", 1, after=row)), schema=WIDE).changes.to_pylist()
    assert found["key"] == {'a "key"': "k", "b key": 1}
    assert found["after"]["raw"] == b"\x01\x02"


def test_what_debezium_fills_into_an_unsent_before_image_is_no_fault() -> None:
    before = {"b key": 1, 'a "key"': "k", "ref": "", "total": None, "raw": None}
    key = json.dumps({'a "key"': "k", "b key": 1}).encode()
    result = parsed((key, envelope("d", 1, before=before)), schema=WIDE)
    assert result.refused.num_rows == 0
    assert result.changes.to_pylist()[0]["before"]["ref"] is None


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ((None, None), "key and value are null"),
        ((None, upsert("c", 1, 1)[1]), "key is null"),
        ((b"7", upsert("c", 1, 1)[1]), "key is not a JSON object"),
        ((b'{"other": 1}', upsert("c", 1, 1)[1]), "key.id is missing"),
        ((b'{"id": 1, "x": 2}', upsert("c", 1, 1)[1]), "key has other columns"),
        ((b'{"id": null}', None), "key.id is null"),
        ((b'{"id": 2}', upsert("c", 1, 1)[1]), "key differs from the after image"),
        ((KEY, b"\xff"), "value is not UTF-8"),
        ((KEY, b'{"op": '), "value is not JSON"),
        ((KEY, b"[1]"), "value is not a change event"),
        ((KEY, b'{"after": 1}'), "op is missing"),
        ((KEY, envelope("x", 1)), "op is x"),
        ((KEY, b'{"op": "c", "source": {"txId": 1, "ts_us": 1}}'), "source.lsn"),
        ((KEY, b'{"op": "c", "source": {"lsn": 1, "txId": 1}}'), "source.ts_us"),
        ((KEY, b'{"op": "c", "source": {"lsn": 1, "ts_us": 1}}'), "source.txId"),
        ((KEY, envelope("c", 1)), "after is missing"),
        ((KEY, envelope("c", 1, after={"id": 1})), "after.note is missing"),
        ((KEY, envelope("c", 1, after={"id": 1, "note": "x", "new": 1})), "after has unknown columns: new"),
        ((KEY, envelope("c", 1, after={"id": 1, "note": 5})), "after.note is of JSON type"),
        ((KEY, envelope("c", 1, after={"id": "1", "note": "x"})), "after.id is of JSON type VARCHAR"),
        ((KEY, envelope("c", 1, after={"id": 2**63, "note": "x"})), "after.id is no BIGINT"),
        ((KEY, envelope("c", 1, after={"id": UNAVAILABLE, "note": None})), "after.id is an unchanged value"),
    ],
)
def test_a_bad_message_is_refused_with_its_place_and_reason(message: Message, reason: str) -> None:
    result = parsed(upsert("c", 1, 1), message, upsert("c", 2, 2))
    (refused,) = result.refused.to_pylist()
    assert reason in refused["reason"]
    assert (refused["topic"], refused["partition"], refused["offset"]) == (TOPIC, 0, 1)
    assert (refused["key"], refused["value"]) == message
    assert result.changes.num_rows == 2
    assert result.end_offsets == {0: 3}


SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.floats() | st.text(max_size=5)
IMAGES = SCALARS | st.dictionaries(st.sampled_from(["id", "note", "new"]), SCALARS, max_size=3)
KEYS = st.none() | st.builds(lambda key: json.dumps(key).encode(), IMAGES) | st.binary(max_size=3)
VALUES = st.none() | st.builds(
    lambda op, before, after: envelope(op, 1, before=before, after=after), st.sampled_from("curdtx"), IMAGES, IMAGES
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=12))
def test_every_record_is_exactly_one_of_row_and_refused(messages: list[Message]) -> None:
    result = parsed(*messages)
    places = result.changes["kafka_offset"].to_pylist() + result.refused["offset"].to_pylist()
    assert sorted(places) == list(range(len(messages)))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=12))
def test_what_the_quick_query_lets_pass_the_full_one_would_not_refuse(messages: list[Message]) -> None:
    given_values = {"reference": 1, "batch": 1}
    connection = memory_db()
    quick = module._run(connection, module.quick_sql(ORDERS), records(messages), given_values).to_pylist()
    full = module._run(connection, module.full_sql(ORDERS), records(messages), given_values).to_pylist()
    why = {row["kafka_offset"]: row["reason"] for row in full}
    assert [why[row["kafka_offset"]] for row in quick if row["good"]] == [None] * sum(row["good"] for row in quick)


LARGE = TableSchema(
    "public",
    "large",
    (
        Column("id", "bigint", nullable=False, key_position=1),
        Column("v", "text"),
        Column("doc", "jsonb", nullable=False),
        Column("raw", "bytea"),
        Column("k", "text"),
    ),
)
SENT = {"id": 1, "v": "long", "doc": "[1]", "raw": "AAE=", "k": None}


@pytest.mark.parametrize(
    ("unsent", "names"),
    [
        ({"v": UNAVAILABLE}, ["v"]),
        ({"doc": UNAVAILABLE}, ["doc"]),
        ({"raw": "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="}, ["raw"]),
        ({"v": [UNAVAILABLE]}, ["v"]),
        ({"v": list(UNAVAILABLE.encode())}, ["v"]),
        ({"v": UNAVAILABLE, "doc": UNAVAILABLE, "k": "sent"}, ["v", "doc"]),
    ],
)
def test_a_value_that_was_not_sent_is_null_and_named(unsent: dict[str, object], names: list[str]) -> None:
    messages = [(KEY, envelope("u", 5, after={**SENT, **unsent})), (KEY, envelope("u", 6, after=SENT))]
    first, second = parsed(*messages, schema=LARGE).changes.sort_by("lsn").to_pylist()
    assert first["unchanged"] == names
    assert {name: first["after"][name] for name in names} == dict.fromkeys(names)
    assert first["after"]["k"] == unsent.get("k")
    assert second["unchanged"] is None
    assert second["after"]["raw"] == b"\x00\x01"


def test_a_text_that_only_contains_the_placeholder_is_a_value() -> None:
    (row,) = parsed((KEY, envelope("u", 5, after={**SENT, "v": f"my {UNAVAILABLE}"})), schema=LARGE).changes.to_pylist()
    assert (row["after"]["v"], row["unchanged"]) == (f"my {UNAVAILABLE}", None)
