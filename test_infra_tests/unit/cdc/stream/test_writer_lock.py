"""One writer at a time, and what a stream refuses to go on from.

The same faults on the real stack are in integration/test_continuity.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from test_infra.base.errors import InfrastructureError
from test_infra.cdc.lake.location import Location
from test_infra.cdc.pipeline.heartbeat import heartbeat_table
from test_infra.cdc.pipeline.origin import Discontinuity, Origin
from test_infra.cdc.pipeline.topics import TopicExtent
from test_infra.cdc.sources.origin import SourceOrigin
from test_infra.cdc.stream import checkpoint
from test_infra.cdc.stream.apply import Applier, Targets
from test_infra.cdc.stream.checkpoint import Checkpoint, CheckpointDamaged, make_stream_id, read_checkpoint
from test_infra.cdc.stream.continuity import check_continuity
from test_infra.cdc.stream.spec import HeartbeatTopic, Release, TopicOfTable
from test_infra.cdc.stream.writer_lock import LOCK_FILE, WriterLocked, hold_writer_locks, writer_lock
from test_infra.stack.services.kafka_clients import Brokers
from test_infra_tests.unit.cdc.events import ORDERS, TOPIC, records, upsert

SOURCE = SourceOrigin(
    server_id="7", database_id="5", capture={"slot": "s", "publication": "p"}, tables={"public.orders": "16384"}
)
ORIGIN = Origin(source=SOURCE)


@contextmanager
def started(release: Release, extents: dict[str, TopicExtent]) -> Iterator[None]:
    """A stream that has made sure of everything before its first micro-batch."""
    with hold_writer_locks(release):
        check_continuity(release, extents)
        yield


class World:
    """The lake and the checkpoint of a stream that has committed two micro-batches of one record each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoint = folder / "checkpoint"
        self.lake = folder / "lake"
        self.extent = TopicExtent("id", {0: 0}, {0: 2})
        with started(self.release(), {TOPIC: TopicExtent("id", {0: 0}, {0: 0})}):
            stream_id = make_stream_id(self.checkpoint)
            applier = Applier({TOPIC: ORDERS}, self.targets(), stream_id=stream_id, tx_id_reference=1)
            (self.checkpoint / "metadata").write_text('{"id":"a"}')
            for batch in range(2):
                self.write("offsets", batch, "v1", "{}", json.dumps({TOPIC: {"0": batch + 1}}))
                applier.apply(records([upsert("c", batch, 10 + batch, "a")], start=batch), batch)
                self.write("commits", batch, "v1", "{}")
            applier.close()

    @property
    def changes(self) -> Path:
        return self.lake / "changes" / "orders"

    def targets(self) -> Targets:
        changes, mirror, quarantine = map(Location.of, (self.changes, self.lake / "mirror", self.lake / "quarantine"))
        return Targets({"orders": changes}, {"orders": mirror}, quarantine)

    def write(self, kind: str, batch: int, *lines: str) -> None:
        (self.checkpoint / kind).mkdir(exist_ok=True)
        (self.checkpoint / kind / str(batch)).write_text("\n".join(lines))

    def release(self, **origin: Any) -> Release:
        table = TopicOfTable(topic=TOPIC, table=ORDERS, changes=self.changes, mirror=self.lake / "mirror")
        return Release(
            bootstrap=Brokers(servers="127.0.0.1:1"),
            tables=(table,),
            quarantine=self.lake / "quarantine",
            checkpoint=self.checkpoint,
            origin=Origin(source=SOURCE.model_copy(update=origin)),
            source_kind="postgres",
            tx_id_reference=1,
            connect=None,
            connector="c",
        )

    def refused(self, extent: TopicExtent | None = None, **origin: Any) -> str:
        """Why the next start is refused."""
        with (
            pytest.raises(Discontinuity) as refused,
            started(self.release(**origin), {TOPIC: extent or self.extent}),
        ):
            pass
        return str(refused.value)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_stream_goes_on_from_its_own_checkpoint_and_lake(world: World) -> None:
    with started(world.release(), {TOPIC: world.extent}):
        pass
    assert read_checkpoint(world.checkpoint) == Checkpoint(
        make_stream_id(world.checkpoint), 1, 1, {TOPIC: {0: 2}}, frozenset({TOPIC})
    )


def test_a_micro_batch_that_was_begun_and_not_committed_is_no_fault(world: World) -> None:
    (world.checkpoint / "commits" / "1").unlink()
    with started(world.release(), {TOPIC: world.extent}):
        pass


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"server_id": "8"}, "database cluster 8 is not 7"),
        ({"database_id": "6"}, "the database was dropped and made again"),
        ({"capture": {"slot": "t", "publication": "p"}}, "'t' is not 's'"),
        ({"capture": {"slot": "s", "publication": "t"}}, "'t' is not 'p'"),
        ({"tables": {"public.orders": "1"}}, "it was dropped and made again"),
        ({"tables": {"public.orders": "16384", "public.more": "1"}}, "it was added later"),
    ],
)
def test_another_source_is_refused(world: World, changed: dict[str, Any], words: str) -> None:
    assert words in world.refused(**changed)


def test_a_table_that_is_no_longer_captured_is_no_fault(world: World) -> None:
    assert SOURCE.breaks(SOURCE.model_copy(update={"tables": {}})) == []


@pytest.mark.parametrize(
    ("extent", "words"),
    [
        (TopicExtent("other", {0: 0}, {0: 2}), "deleted and made again"),
        (TopicExtent("id", {0: 3}, {0: 9}), "offsets 2 to 2 of partition 0 are gone"),
        (TopicExtent("id", {0: 0}, {0: 1}), "partition 0 ends at 1, but the change log has it up to 2"),
    ],
)
def test_a_topic_that_was_cut_or_made_again_is_refused(world: World, extent: TopicExtent, words: str) -> None:
    assert words in world.refused(extent)


def test_records_past_their_retention_that_were_read_are_no_fault(world: World) -> None:
    with started(world.release(), {TOPIC: TopicExtent("id", {0: 2}, {0: 9})}):
        pass


@pytest.mark.parametrize("kind", ["offsets", "commits"])
@pytest.mark.parametrize("damage", ["", "v1", "v2\n{}\n{}", 'v1\n{}\n{"t', 'v1\n{"a'])
def test_a_torn_file_of_the_checkpoint_is_named(world: World, kind: str, damage: str) -> None:
    path = world.checkpoint / kind / "1"
    path.write_text(damage)
    assert str(path) in world.refused()


@pytest.mark.parametrize("missing", ["offsets/1", "metadata", "test_infra_stream_id", "origin.json"])
def test_a_missing_file_of_the_checkpoint_is_named(world: World, missing: str) -> None:
    (world.checkpoint / missing).unlink()
    if missing == "origin.json":
        # The lake's own says the same; it is written anew.
        with started(world.release(), {TOPIC: world.extent}):
            assert (world.checkpoint / missing).exists()
        return
    assert "checkpoint" in world.refused()


def test_a_checkpoint_of_another_stream_is_refused(world: World) -> None:
    (world.checkpoint / "test_infra_stream_id").write_text("0" * 32)
    assert "was written by stream" in world.refused()
    world.write("offsets", 1, "v1", "{}", json.dumps({"other": {"0": 2}}))
    assert "it is of another stream, which reads other" in world.refused()


def test_a_new_checkpoint_on_an_old_lake_is_refused(world: World) -> None:
    world.checkpoint.rename(world.folder / "away")
    assert "this checkpoint is of stream none" in world.refused()


def test_a_checkpoint_that_was_set_back_is_refused(world: World) -> None:
    (world.checkpoint / "offsets" / "1").unlink()
    (world.checkpoint / "commits" / "1").unlink()
    assert "it ends at micro-batch 0, but the change log orders has 1" in world.refused()


def test_checkpoint_that_goes_on_while_it_is_read_is_not_damaged(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read = checkpoint._read

    def overtaken(folder: Path, offsets: list[int], commits: list[int]) -> Checkpoint:
        monkeypatch.setattr(checkpoint, "_read", read)
        for kind in ("offsets", "commits"):
            (world.checkpoint / kind / "0").unlink()
        world.write("offsets", 2, "v1", "{}", json.dumps({TOPIC: {"0": 3}}))
        world.write("commits", 2, "v1", "{}")
        return read(folder, offsets, commits)

    monkeypatch.setattr(checkpoint, "_read", overtaken)
    assert (read_checkpoint(world.checkpoint).committed, read_checkpoint(world.checkpoint).planned) == (2, 2)


def test_checkpoint_that_also_reads_the_topic_of_the_heart_beats_is_the_same_stream(world: World) -> None:
    world.write("offsets", 1, "v1", "{}", json.dumps({TOPIC: {"0": 2}, "c.message": {"0": 9}}))
    assert "which reads c.message" in world.refused()
    lake = world.lake
    beats = HeartbeatTopic(
        topic="c.message", table=heartbeat_table("postgres"), changes=lake / "b", mirror=lake / "m", prefix="p"
    )
    with started(world.release().model_copy(update={"heartbeat": beats}), {TOPIC: world.extent}):
        pass


def test_an_old_checkpoint_on_a_new_lake_is_refused(world: World) -> None:
    world.changes.rename(world.folder / "away")
    assert "the checkpoint has read partition 0 up to 2" in world.refused()


def test_a_lake_without_an_origin_is_refused(world: World) -> None:
    (world.lake / "origin.json").unlink()
    assert "nothing says where they come from" in world.refused()


def test_a_lake_has_one_stream_at_a_time(world: World) -> None:
    with started(world.release(), {TOPIC: world.extent}):
        with pytest.raises(WriterLocked, match="another stream already writes here"), writer_lock(world.changes):
            pass
        with pytest.raises(WriterLocked), started(world.release(), {TOPIC: world.extent}):
            pass
    with writer_lock(world.changes):
        pass


def test_the_lock_lies_where_delta_does_not_look(world: World) -> None:
    DeltaTable(world.changes).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True)
    assert (world.changes / LOCK_FILE).exists()


def test_a_stream_id_that_was_emptied_is_torn(tmp_path: Path) -> None:
    make_stream_id(tmp_path)
    (tmp_path / "test_infra_stream_id").write_text("")
    with pytest.raises(CheckpointDamaged, match="is empty"):
        read_checkpoint(tmp_path)


def test_a_release_says_where_tables_lie_and_is_read_back_the_same(world: World) -> None:
    release = world.release()
    assert release.targets() == world.targets()
    assert Release.model_validate_json(release.model_dump_json()) == release
    assert release.lake_dir == world.lake


def test_a_lake_in_an_object_store_is_refused_before_anything_is_written(world: World) -> None:
    release = world.release().model_copy(update={"quarantine": Location.of("s3://bucket/lake/quarantine")})
    with (
        pytest.raises(InfrastructureError, match="the lake must be in a folder"),
        started(release, {TOPIC: world.extent}),
    ):
        pass
