"""A micro-batch is cut into parts by bytes, and what its size is bounded by is never below it."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from test_infra.cdc.stream.batch_reader import AppendedBytes, offsets_json, plan

RECORDS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 1), st.integers(0, 40), st.integers(0, 300)),
    unique_by=lambda record: record[:3],
)


def sizes(records: list[tuple[str, int, int, int]]) -> pa.Table:
    columns = zip(*records, strict=True) if records else ([], [], [], [])
    types = [pa.string(), pa.int32(), pa.int64(), pa.int32()]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    return pa.table(arrays, names=["topic", "partition", "offset", "bytes"])


@given(RECORDS)
def test_every_record_is_in_one_part_of_bounded_size_and_offsets_grow(records: list[tuple[str, int, int, int]]) -> None:
    planned = plan(sizes(records), 100)
    held = [
        [r for r in records for topic, part, first, end in ranges if r[:2] == (topic, part) and first <= r[2] < end]
        for ranges in planned
    ]
    assert sorted(record for part in held for record in part) == sorted(records)
    for part in held:
        assert sum(size for *_, size in part) < 100 + max((size for *_, size in part), default=1)
    ends: dict[tuple[str, int], int] = {}
    for topic, partition, first, end in (range_ for ranges in planned for range_ in ranges):
        assert first >= ends.get((topic, partition), 0)
        ends[topic, partition] = end


def test_offsets_are_written_as_spark_takes_them() -> None:
    assert offsets_json([("a", 0, 5, 9), ("a", 1, 0, 1), ("b", 0, 2, 3)]) == (
        '{"a": {"0": 5, "1": 0}, "b": {"0": 2}}',
        '{"a": {"0": 9, "1": 1}, "b": {"0": 3}}',
    )


def test_bound_is_what_was_added_since_the_micro_batch_before_the_last_was_looked_at() -> None:
    logs = iter([100, 150, 400, 420])
    appended = AppendedBytes(lambda: next(logs), most_records=10)
    bounds = []
    for records in (1, 4, 5, 1):
        bounds.append(appended.bound())
        appended.was_read(records)
    # The third came near the limit, so some of the fourth may be older.
    assert bounds == [100, 150, 300, None]


def test_there_is_no_bound_where_the_brokers_do_not_tell_or_logs_became_smaller() -> None:
    assert AppendedBytes(lambda: None, 10).bound() is None
    logs = iter([100, 100, 50])
    appended = AppendedBytes(lambda: next(logs), 10)
    assert [appended.bound() for _ in range(3)] == [100, 100, None]
