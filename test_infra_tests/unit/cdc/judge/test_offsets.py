"""Every offset is in exactly one place, and what is nowhere is looked for in Kafka."""

from __future__ import annotations

from collections.abc import Iterable

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from test_infra.cdc.judge.offsets import OffsetAccount, account_for
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.lake.schemas import TOMBSTONE, changes_schema, quarantine_schema
from test_infra.cdc.pipeline.topics import Record
from test_infra.cdc.types.table import Column, TableSchema

SCHEMA = TableSchema("public", "t", (Column("id", "bigint", False, 1),))
TOPIC = "p.public.t"


def change(offset: int, *, op: str = "u", lsn: int | None = None, key: int = 1, part: int = 0) -> dict[str, object]:
    return {
        "op": op,
        "key": {"id": key} if op != "t" else None,
        "lsn": None if op == TOMBSTONE else (offset * 10 if lsn is None else lsn),
        "kafka_partition": part,
        "kafka_offset": offset,
    }


def quarantined(offset: int, *, part: int = 0, topic: str = TOPIC) -> dict[str, object]:
    return {"topic": topic, "partition": part, "offset": offset, "reason": "not JSON"}


def account(
    changes: list[dict[str, object]],
    refused: list[dict[str, object]] | None = None,
    *,
    upto: dict[int, int],
    first: dict[int, int] | None = None,
    in_kafka: Iterable[tuple[int, int]] = (),
) -> OffsetAccount:
    there = set(in_kafka)

    def reread(part: int, low: int, high: int) -> list[Record]:
        return [Record(part, offset, 0, b"k", b"v") for offset in range(low, high) if (part, offset) in there]

    with duckdb.connect(":memory:") as connection:
        connection.register("changes", pa.Table.from_pylist(changes, changes_schema(SCHEMA)))
        connection.register("quarantine", pa.Table.from_pylist(refused or [], quarantine_schema()))
        return account_for(connection, TOPIC, first or {}, upto, reread)


def test_each_offset_in_its_place_is_green() -> None:
    rows = [
        change(0, op="r"),
        change(1),
        change(2, op="d"),
        change(3, op=TOMBSTONE),
        change(5, op="t"),
        change(0, key=9, part=1),
    ]
    found = account(rows, [quarantined(4), quarantined(4, topic="another")], upto={0: 6, 1: 1})
    assert found.green
    assert found.counts == {"change": 5, TOMBSTONE: 1, "redelivery": 0, "quarantined": 1, "control": 0}


def test_same_event_at_a_later_offset_is_a_redelivery() -> None:
    rows = [change(0, lsn=5), change(1, lsn=6), change(2, lsn=5), change(3, lsn=5, op="d"), change(4, lsn=5, key=2)]
    found = account(rows, upto={0: 5})
    assert found.green
    assert (found.counts["change"], found.counts["redelivery"]) == (4, 1)


def test_redelivered_truncate_is_known_without_a_key() -> None:
    found = account([change(0, op="t", lsn=7), change(1, op="t", lsn=7)], upto={0: 2})
    assert (found.counts["change"], found.counts["redelivery"]) == (1, 1)


def test_offset_nowhere_that_kafka_has_is_missing_with_its_coordinates() -> None:
    found = account([change(0), change(3)], upto={0: 5}, in_kafka=[(0, 1), (0, 4)])
    assert found.verdicts == {Verdict.MISSING: 2}
    assert [(fault.partition, fault.offset, fault.verdict) for fault in found.faults] == [
        (0, 1, Verdict.MISSING),
        (0, 4, Verdict.MISSING),
    ]
    assert found.counts["control"] == 1


def test_offset_that_kafka_has_not_is_a_control_record() -> None:
    found = account([change(0), change(2)], upto={0: 4})
    assert found.green
    assert found.counts["control"] == 2


def test_whole_partition_nowhere_is_missing() -> None:
    found = account([change(0)], upto={0: 1, 1: 2}, in_kafka=[(1, 0), (1, 1)])
    assert found.verdicts == {Verdict.MISSING: 2}


def test_offset_in_change_log_and_quarantine_is_a_duplicate() -> None:
    found = account([change(0), change(1)], [quarantined(1)], upto={0: 2})
    assert found.verdicts == {Verdict.DUPLICATE: 1}
    assert (found.faults[0].offset, found.faults[0].seen) == (1, "in change and quarantined")


def test_batch_applied_twice_is_a_duplicate_and_no_redelivery() -> None:
    found = account([change(0), change(1), change(0), change(1)], upto={0: 2})
    assert found.verdicts == {Verdict.DUPLICATE: 2}
    assert found.counts["redelivery"] == 0


def test_offsets_outside_the_range_are_not_looked_at() -> None:
    found = account([change(3), change(4), change(9)], upto={0: 5}, first={0: 3})
    assert found.green
    assert found.counts["change"] == 2


def test_empty_topic_is_an_account_of_nothing() -> None:
    found = account([], upto={0: 0, 1: 0})
    assert (found.green, found.empty, set(found.counts.values())) == (True, True, {0})


def test_topic_of_which_no_partition_is_known_is_not_green() -> None:
    found = account([], upto={})
    assert (found.verdicts, found.empty) == ({Verdict.UNKNOWN: 1}, False)


def test_partition_without_a_record_beside_one_with_some_is_no_empty_topic() -> None:
    found = account([change(0)], upto={0: 1, 1: 0})
    assert (found.green, found.empty, found.counts["change"]) == (True, False, 1)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["change", TOMBSTONE, "quarantined", "lost", "control", "twice"]), min_size=1, max_size=30)
)
def test_every_offset_is_found_in_its_place(places: list[str]) -> None:
    changes, refused, in_kafka = [], [], []
    for offset, place in enumerate(places):
        if place in ("change", "twice"):
            changes += [change(offset)] * (2 if place == "twice" else 1)
        elif place == TOMBSTONE:
            changes.append(change(offset, op=TOMBSTONE))
        elif place == "quarantined":
            refused.append(quarantined(offset))
        if place != "control":
            in_kafka.append((0, offset))
    found = account(changes, refused, upto={0: len(places)}, in_kafka=in_kafka)
    faults = {"lost": Verdict.MISSING, "twice": Verdict.DUPLICATE}
    assert {(fault.offset, fault.verdict) for fault in found.faults} == {
        (offset, faults[place]) for offset, place in enumerate(places) if place in faults
    }
    assert found.counts["control"] == places.count("control")
    assert sum(found.counts.values()) + places.count("lost") == len(places)
