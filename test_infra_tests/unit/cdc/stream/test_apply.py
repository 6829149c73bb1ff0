from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from test_infra.base.deadline import Deadline
from test_infra.base.errors import InfrastructureError
from test_infra.cdc.lake.delta_files import RETENTION
from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.versions import first_covering
from test_infra.cdc.stream import mirror
from test_infra.cdc.stream.apply import Applier, Targets
from test_infra.cdc.stream.mirror import Mirror
from test_infra.cdc.types import UNAVAILABLE
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.events import (
    ORDERS,
    TOPIC,
    Message,
    delete,
    records,
    tombstone,
    truncate,
    upsert,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa


class Pipeline:
    """One table's lake, fed by hand; offsets go on from batch to batch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        changes, mirror, quarantine = (Location.of(folder / name) for name in ("changes", "mirror", "quarantine"))
        self.targets = Targets({"orders": changes}, {"orders": mirror}, quarantine)
        self.offset = self.batch = 0
        self.applier: Applier | None = None
        self.start()

    def start(self, stream_id: str = "s") -> None:
        """Open the tables as a started driver does."""
        self.close()
        self.applier = Applier({TOPIC: ORDERS}, self.targets, stream_id=stream_id, tx_id_reference=1)

    def close(self) -> None:
        """End as a killed driver does: what is not merged stays so."""
        if self.applier is not None:
            self.applier.close()
            self.applier = None

    def apply(self, rows: pa.Table, batch: int) -> None:
        """Apply a micro-batch and wait for the mirror."""
        assert self.applier is not None
        self.applier.apply(rows, batch)
        self.wait_for_mirror()

    def wait_for_mirror(self) -> None:
        """Wait until the mirror has what the change log has."""
        assert self.applier is not None
        self.applier.wait_for_mirrors(Deadline(30))

    def feed(self, *messages: Message) -> None:
        """Apply the next micro-batch."""
        self.apply(records(messages, start=self.offset), self.batch)
        self.offset += len(messages)
        self.batch += 1

    def mirror(self) -> dict[int, str]:
        """Key -> note."""
        rows = open_table(self.targets.mirror["orders"]).rows().read_all().to_pylist()
        assert len({row["id"] for row in rows}) == len(rows)
        return {row["id"]: row["note"] for row in rows}

    def changes(self) -> list[dict[str, Any]]:
        rows = open_table(self.targets.changes["orders"]).rows().read_all().to_pylist()
        return sorted(rows, key=lambda row: row["kafka_offset"])


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    pipeline = Pipeline(tmp_path)
    yield pipeline
    pipeline.close()


def test_insert_update_and_delete_arrive(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("c", 1, 10, "a"), upsert("c", 2, 11, "b"), upsert("u", 1, 12, "c"))
    assert pipeline.mirror() == {1: "c", 2: "b"}
    pipeline.feed(delete(2, 20), tombstone(2), upsert("u", 1, 21, "d"))
    assert pipeline.mirror() == {1: "d"}
    assert [row["op"] for row in pipeline.changes()] == ["c", "c", "u", "d", "tombstone", "u"]


def test_older_event_never_overwrites_newer(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("u", 1, 20, "new"))
    pipeline.feed(upsert("u", 1, 10, "old"))
    assert pipeline.mirror() == {1: "new"}
    assert len(pipeline.changes()) == 2


def test_snapshot_read_comes_before_every_streamed_event_whatever_its_lsn(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("u", 1, 10, "streamed"))
    pipeline.feed(upsert("r", 1, 99, "read"), upsert("r", 2, 98, "older read"))
    pipeline.feed(upsert("r", 2, 99, "newer read"), upsert("u", 3, 5, "streamed"), upsert("r", 3, 99, "read"))
    assert pipeline.mirror() == {1: "streamed", 2: "newer read", 3: "streamed"}
    pipeline.feed(upsert("u", 2, 1, "streamed"))
    assert pipeline.mirror()[2] == "streamed"


def test_a_redelivered_event_brings_no_deleted_row_back(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("r", 1, 9, "a"), upsert("c", 2, 10, "b"), delete(1, 11), delete(2, 12))
    pipeline.feed(upsert("c", 2, 10, "b"), upsert("r", 1, 9, "a"))
    assert pipeline.mirror() == {}
    pipeline.start()
    pipeline.feed(upsert("c", 2, 10, "b"))
    assert pipeline.mirror() == {}
    pipeline.feed(upsert("c", 2, 13, "born again"))
    assert pipeline.mirror() == {2: "born again"}


def test_delete_and_reinsert_in_one_batch(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("c", 1, 10, "a"))
    pipeline.feed(delete(1, 11), tombstone(1), upsert("c", 1, 12, "b"))
    assert pipeline.mirror() == {1: "b"}


def test_truncate_kills_rows_of_a_lower_lsn_only(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("r", 1, 99, "read"), upsert("c", 2, 10, "old"))
    pipeline.feed(truncate(20), upsert("c", 3, 21, "new"), upsert("u", 2, 15, "late"))
    pipeline.feed(upsert("c", 2, 10, "again"), upsert("r", 4, 99, "again"))
    assert pipeline.mirror() == {3: "new"}
    assert "t" in [row["op"] for row in pipeline.changes()]


def test_a_replayed_batch_adds_nothing(pipeline: Pipeline) -> None:
    messages = [upsert("c", 1, 10), (b"x", b"x"), upsert("c", 2, 11)]
    pipeline.feed(*messages)
    versions = [commit.version for commit in open_table(pipeline.targets.changes["orders"]).commits()]
    for restart in (False, True):
        if restart:
            pipeline.start()
        pipeline.apply(records(messages), 0)
    assert [commit.version for commit in open_table(pipeline.targets.changes["orders"]).commits()] == versions
    assert len(pipeline.changes()) == 2
    assert open_table(pipeline.targets.quarantine).rows().read_all().num_rows == 1


@pytest.mark.parametrize("replayed", [True, False])
def test_a_crash_between_changes_and_mirror_is_healed_from_the_change_log(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, replayed: bool
) -> None:
    pipeline.feed(upsert("c", 1, 10, "a"), upsert("c", 2, 11, "b"))
    messages = [delete(1, 20), upsert("u", 2, 21, "c"), truncate(5), upsert("c", 3, 22, "d")]
    with monkeypatch.context() as patch:

        def crash(*_: object) -> None:
            raise RuntimeError("killed")

        patch.setattr(Mirror, "_merge", crash)
        with pytest.raises(RuntimeError, match="killed"):
            pipeline.apply(records(messages, start=2), 1)
    assert pipeline.mirror() == {1: "a", 2: "b"}
    pipeline.start()
    if replayed:
        pipeline.apply(records(messages, start=2), 1)
    pipeline.wait_for_mirror()
    assert pipeline.mirror() == {2: "c", 3: "d"}
    assert len(pipeline.changes()) == 6


def test_a_new_checkpoint_begins_its_batch_numbers_again_and_nothing_is_skipped(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("c", 1, 10, "a"))
    pipeline.start(stream_id="another")
    pipeline.apply(records([upsert("c", 1, 10, "a"), upsert("c", 2, 11, "b")]), 0)
    assert pipeline.mirror() == {1: "a", 2: "b"}


def test_both_tables_advance_their_offsets_with_every_batch(pipeline: Pipeline) -> None:
    assert [commit.offsets for commit in open_table(pipeline.targets.mirror["orders"]).commits()] == [{0: 0}]
    pipeline.feed(upsert("c", 1, 10))
    pipeline.feed(tombstone(7))
    pipeline.feed((b"x", b"x"))
    pipeline.feed(upsert("c", 1, 10))
    for folder in (pipeline.targets.changes["orders"], pipeline.targets.mirror["orders"]):
        history = open_table(folder).commits()
        assert [(commit.batch, commit.offsets) for commit in history if commit.wrote] == [
            (0, {0: 1}),
            (1, {0: 2}),
            (2, {0: 3}),
            (3, {0: 4}),
        ]
        covering = first_covering(history, {0: 3})
        assert covering is not None
        assert covering.batch == 2
        assert first_covering(history, {0: 5}) is None


def test_a_foreign_commit_belongs_to_the_version_it_changed(pipeline: Pipeline) -> None:
    for lsn in range(3):
        pipeline.feed(upsert("c", lsn, lsn + 1))
    mirror = pipeline.targets.mirror["orders"]
    first = first_covering(open_table(mirror).commits(), {0: 3})
    DeltaTable(mirror.uri).delete("id = 1")
    spoiled = first_covering(open_table(mirror).commits(), {0: 3})
    assert first is not None
    assert spoiled is not None
    assert spoiled.version == first.version + 1
    pipeline.feed(upsert("c", 9, 9))
    assert first_covering(open_table(mirror).commits(), {0: 3}) == spoiled


def test_only_the_end_of_a_long_log_is_read_to_find_a_covering_version(pipeline: Pipeline) -> None:
    for lsn in range(6):
        pipeline.feed(upsert("c", lsn, lsn + 1))
    mirror = pipeline.targets.mirror["orders"]
    DeltaTable(mirror.uri).delete("id = 1")
    history = open_table(mirror).commits()
    for end in range(8):
        near = open_table(mirror).commits(back_to={0: end})
        assert first_covering(near, {0: end}) == first_covering(history, {0: end})
        assert near == history[-len(near) :]
    assert [commit.offsets for commit in open_table(mirror).commits(back_to={0: 5})] == [{0: 4}, {0: 5}, {0: 6}, {0: 6}]


def test_no_cut_is_taken_inside_a_micro_batch_that_truncates(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("c", 1, 10))
    mirror = pipeline.targets.mirror["orders"]
    before = first_covering(open_table(mirror).commits(), {0: 1})
    pipeline.feed(truncate(20))
    assert first_covering(open_table(mirror).commits(), {0: 1}) == before
    assert any(commit.begins for commit in open_table(mirror).commits())


def test_a_merge_leaves_files_alone_whose_keys_it_does_not_touch(pipeline: Pipeline) -> None:
    least, most = -(2**63), 2**63 - 1
    for lsn, key in enumerate((least, 1, 2, most), 1):
        pipeline.feed(upsert("c", key, lsn))
    folder = pipeline.targets.mirror["orders"]
    before = set(open_table(folder).files() or ())
    pipeline.feed(upsert("u", 2, 10, "new"), delete(most, 11))
    after = set(open_table(folder).files() or ())
    assert (len(before), len(before & after)) == (4, 2)
    assert pipeline.mirror() == {least: "x", 1: "x", 2: "new"}
    pipeline.feed(upsert("u", least, 12, "new"), upsert("c", most, 13))
    assert pipeline.mirror() == {least: "new", 1: "x", 2: "new", most: "x"}


def test_a_compaction_inherits_the_offsets(pipeline: Pipeline) -> None:
    for lsn in range(3):
        pipeline.feed(upsert("c", lsn, lsn + 1))
    DeltaTable(pipeline.targets.changes["orders"].uri).optimize.compact()
    last = open_table(pipeline.targets.changes["orders"]).commits()[-1]
    assert (last.wrote, last.offsets, last.batch) == (False, {0: 3}, 2)


def test_files_replaced_long_ago_are_removed_and_the_newest_version_stays_whole(pipeline: Pipeline) -> None:
    for lsn in range(4):
        pipeline.feed(upsert("c", 1, lsn + 1, str(lsn)))
    folder = pipeline.folder / "mirror"
    mirror = open_table(folder)
    mirror.compact()
    files = set(folder.glob("*.parquet"))
    assert len(files) > len(mirror.files() or ())
    DeltaTable(folder).alter.set_table_properties({RETENTION: "interval 0 seconds"})
    mirror.refresh()
    mirror.compact()
    assert set(folder.glob("*.parquet")) == {Path(uri) for uri in mirror.files() or ()}
    assert mirror.commits()[-1].offsets == {0: 4}
    pipeline.feed(upsert("u", 1, 9, "newest"))
    assert pipeline.mirror() == {1: "newest"}


def test_the_quarantine_keeps_the_record_and_the_stream_goes_on(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("c", 1, 10), (None, b"?"), (None, None))
    rows = open_table(pipeline.targets.quarantine).rows().read_all().to_pylist()
    assert [(row["topic"], row["offset"], row["value"]) for row in rows] == [(TOPIC, 1, b"?"), (TOPIC, 2, None)]
    assert pipeline.mirror() == {1: "x"}


def test_deletes_are_forgotten_only_when_no_older_event_can_come(pipeline: Pipeline) -> None:
    assert pipeline.applier is not None
    deleted_keys = pipeline.applier._mirrors[TOPIC].deleted_keys
    pipeline.feed(delete(1, 10), delete(2, 20))
    pipeline.applier.forget_deletes(15, {TOPIC: {0: 3}})
    pipeline.feed()
    assert len(deleted_keys) == 2
    pipeline.feed(upsert("c", 1, 9))
    assert len(deleted_keys) == 1
    assert pipeline.mirror() == {}


def test_a_mirror_far_behind_catches_up_in_pieces(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "_follow", lambda _self: None)
        pipeline.start()
        assert pipeline.applier is not None
        for lsn in range(1, 8):
            pipeline.applier.apply(records([upsert("u", lsn % 3, lsn, str(lsn))], start=lsn - 1), lsn - 1)
    monkeypatch.setattr(mirror, "CATCH_UP_RECORDS", 3)
    pipeline.start()
    pipeline.wait_for_mirror()
    assert pipeline.mirror() == {0: "6", 1: "7", 2: "5"}
    history = open_table(pipeline.targets.mirror["orders"]).commits()
    assert [(commit.batch, commit.offsets) for commit in history if commit.wrote] == [
        (2, {0: 3}),
        (5, {0: 6}),
        (6, {0: 7}),
    ]


def test_micro_batches_that_wait_are_folded_into_one_merge(pipeline: Pipeline) -> None:
    pipeline.close()
    pipeline.applier = Applier(
        {TOPIC: ORDERS}, pipeline.targets, stream_id="s", tx_id_reference=1, mirror_interval_s=1.0
    )
    pipeline.feed(upsert("c", 1, 1, "a"))
    for lsn in (2, 3, 4):
        pipeline.applier.apply(records([upsert("u", 1, lsn, str(lsn))], start=lsn - 1), lsn - 1)
    pipeline.wait_for_mirror()
    assert pipeline.mirror() == {1: "4"}
    history = open_table(pipeline.targets.mirror["orders"]).commits()
    assert [commit.batch for commit in history if commit.wrote] == [0, 3]


def test_a_failed_merge_ends_the_stream_even_when_it_is_idle(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Mirror, "_merge", crash)
    assert pipeline.applier is not None
    pipeline.applier.apply(records([upsert("c", 1, 1)]), 0)
    with pytest.raises(OSError, match="disk full"):
        pipeline.wait_for_mirror()
    with pytest.raises(OSError, match="disk full"):
        pipeline.applier.check()
    with pytest.raises(OSError, match="disk full"):
        pipeline.applier.apply(records([upsert("c", 1, 2)], start=1), 1)


def test_a_table_with_other_columns_is_refused(pipeline: Pipeline) -> None:
    other = TableSchema("public", "orders", (*ORDERS.columns, Column("more", "integer")))
    with pytest.raises(InfrastructureError, match="other columns"):
        Applier({TOPIC: other}, pipeline.targets, stream_id="s", tx_id_reference=1)


OPERATIONS = st.lists(st.tuples(st.integers(1, 3), st.sampled_from("ud")), min_size=1, max_size=8)


@settings(deadline=None, max_examples=25)
@given(OPERATIONS, st.data())
def test_any_redelivery_leaves_what_the_source_has(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[int, str]], data: st.DataObject
) -> None:
    events = [
        delete(key, lsn) if op == "d" else upsert("u", key, lsn, str(lsn))
        for lsn, (key, op) in enumerate(operations, 1)
    ]
    expected: dict[int, str] = {}
    for lsn, (key, op) in enumerate(operations, 1):
        expected.pop(key, None)
        if op == "u":
            expected[key] = str(lsn)
    with closing(Pipeline(tmp_path_factory.mktemp("lake"))) as pipeline:
        deliver(pipeline, events, data)
        assert pipeline.mirror() == expected


def deliver(pipeline: Pipeline, events: list[Message], data: st.DataObject) -> None:
    """All events in micro-batches of any size, the last ones again and again, with crashes in between."""
    delivered = list(events)
    for _ in range(data.draw(st.integers(0, 2))):
        start = data.draw(st.integers(0, len(events) - 1))
        delivered += events[start:]
    while delivered:
        size = data.draw(st.integers(1, len(delivered)))
        pipeline.feed(*delivered[:size])
        delivered = delivered[size:]
        if data.draw(st.booleans()):
            pipeline.start()


def test_a_repeated_snapshot_removes_what_only_the_interrupted_one_has_read(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("r", 1, 50, "kept"), upsert("r", 2, 50, "deleted meanwhile"), upsert("r", 3, 50, "changed"))
    pipeline.feed(upsert("u", 3, 60, "streamed"))
    pipeline.feed(upsert("r", 1, 70, "kept"))
    assert pipeline.mirror() == {1: "kept", 3: "streamed"}
    pipeline.feed(upsert("r", 2, 50, "deleted meanwhile"))
    assert pipeline.mirror() == {1: "kept", 3: "streamed"}
    pipeline.start()
    pipeline.feed(upsert("r", 2, 50, "deleted meanwhile"), upsert("r", 4, 70, "more"))
    assert pipeline.mirror() == {1: "kept", 3: "streamed", 4: "more"}


def test_a_repeated_snapshot_within_one_micro_batch_leaves_its_own_reads_only(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("r", 1, 50, "a"), upsert("r", 2, 50, "b"), upsert("r", 1, 70, "c"), upsert("r", 3, 50, "d"))
    assert pipeline.mirror() == {1: "c"}


def test_a_driver_that_died_before_it_removed_an_older_snapshot_removes_it_at_its_next_start(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("killed")

    pipeline.feed(upsert("r", 1, 50, "kept"), upsert("r", 2, 50, "deleted meanwhile"))
    with monkeypatch.context() as patch:
        patch.setattr(Mirror, "_merge", crash)
        with pytest.raises(RuntimeError, match="killed"):
            pipeline.feed(upsert("r", 1, 70, "kept"))
    pipeline.start()
    pipeline.wait_for_mirror()
    assert pipeline.mirror() == {1: "kept"}


def unsent(op: str, key: int, lsn: int) -> Message:
    """An event that did not carry the note, because it had not changed (TOAST)."""
    return upsert(op, key, lsn, UNAVAILABLE)


def test_a_value_that_was_not_sent_is_taken_from_the_event_before(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("r", 1, 90, "read"), upsert("c", 2, 10, "created"), unsent("u", 2, 11), unsent("u", 1, 12))
    assert pipeline.mirror() == {1: "read", 2: "created"}
    assert [row["unchanged"] for row in pipeline.changes()] == [None, None, ["note"], ["note"]]
    assert [row["after"]["note"] for row in pipeline.changes()] == ["read", "created", None, None]


def test_a_value_that_was_not_sent_is_taken_from_the_mirror(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("r", 1, 90, "read"), upsert("c", 2, 10, None))
    pipeline.feed(unsent("u", 1, 12), unsent("u", 2, 13))
    assert pipeline.mirror() == {1: "read", 2: None}
    pipeline.start()
    pipeline.feed(unsent("u", 1, 14), upsert("u", 2, 15, "sent"), unsent("u", 2, 16))
    assert pipeline.mirror() == {1: "read", 2: "sent"}


def test_a_value_that_was_not_sent_follows_its_row_through_key_changes(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("c", 1, 10, "mine"), upsert("c", 9, 11, "other"))
    pipeline.feed(delete(1, 20), tombstone(1), unsent("c", 2, 20), delete(2, 30), tombstone(2), unsent("c", 3, 30))
    assert pipeline.mirror() == {3: "mine", 9: "other"}
    pipeline.feed(
        delete(3, 40), unsent("c", 4, 40), delete(9, 50), unsent("c", 3, 50), delete(4, 60), unsent("c", 9, 60)
    )
    assert pipeline.mirror() == {3: "other", 9: "mine"}


def test_a_value_that_was_not_sent_is_never_that_of_an_earlier_row_of_the_new_key(pipeline: Pipeline) -> None:
    """A truncate leaves no event of the key itself."""
    pipeline.feed(
        upsert("c", 2, 10, "truncated"),
        truncate(20),
        upsert("c", 1, 30, "mine"),
        delete(1, 40),
        unsent("c", 2, 40),
        unsent("u", 2, 50),
    )
    assert pipeline.mirror() == {2: "mine"}


def test_an_old_event_without_a_value_that_comes_again_changes_nothing(pipeline: Pipeline) -> None:
    pipeline.feed(upsert("c", 1, 10, "a"), unsent("u", 1, 11), upsert("u", 1, 12, "b"))
    pipeline.feed(unsent("u", 1, 11))
    assert pipeline.mirror() == {1: "b"}
    pipeline.feed(delete(1, 20), unsent("u", 1, 11))
    assert pipeline.mirror() == {}


def test_a_value_that_was_never_sent_is_null_and_never_a_placeholder(pipeline: Pipeline) -> None:
    pipeline.feed(unsent("u", 1, 11))
    assert pipeline.mirror() == {1: None}


def test_a_micro_batch_in_parts_is_applied_once_whatever_part_a_crash_follows(pipeline: Pipeline) -> None:
    messages = [upsert("c", 1, 10, "a"), (None, b"{}"), upsert("c", 2, 20, "b"), (None, b"[]"), upsert("u", 1, 30, "c")]
    whole = records(messages)
    for parts in ([2, 2], [2, 1], [3]):
        pipeline.start()
        assert pipeline.applier is not None
        begin = 0
        for size in parts:
            pipeline.applier.apply_part(whole.slice(begin, size), 0)
            begin += size
    pipeline.wait_for_mirror()
    assert not open_table(pipeline.targets.changes["orders"]).has_batch("s", 0)
    for _ in range(2):
        pipeline.start()
        pipeline.apply(whole, 0)
    assert pipeline.mirror() == {1: "c", 2: "b"}
    assert [row["kafka_offset"] for row in pipeline.changes()] == [0, 2, 4]
    refused = open_table(pipeline.targets.quarantine).rows(["offset"]).read_all()["offset"].to_pylist()
    assert sorted(refused) == [1, 3]


def test_parts_that_change_no_row_of_the_mirror_are_applied_to_it_all_the_same(pipeline: Pipeline) -> None:
    assert pipeline.applier is not None
    pipeline.feed(upsert("u", 1, 90, "new"))
    older = records([upsert("u", 1, 10, "a"), upsert("u", 1, 20, "b")], start=1)
    pipeline.applier.apply_part(older.slice(0, 1), 1)
    pipeline.wait_for_mirror()
    pipeline.applier.apply(older.slice(1), 1)
    pipeline.wait_for_mirror()
    assert open_table(pipeline.targets.mirror["orders"]).newest_applied().offsets == {0: 3}
    assert pipeline.mirror() == {1: "new"}
