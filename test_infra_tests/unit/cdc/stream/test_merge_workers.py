"""All mirrors share a few threads: each one's merges come one after the other, and no table waits for an idle one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import psutil
import pytest

from test_infra.base.deadline import Deadline
from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.stream.apply import Applier, Targets
from test_infra.cdc.stream.merge_workers import LEAST_WORKERS, MergeWorkers
from test_infra.cdc.stream.mirror import Mirror, Pending
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.events import records, upsert

COLUMNS = (Column("id", "bigint", nullable=False, key_position=1), Column("note", "text"))
GUARD_S = 30


@pytest.fixture
def workers() -> Iterator[MergeWorkers]:
    with closing(MergeWorkers(2)) as made:
        yield made


def test_everything_is_called_once_whatever_the_number_of_threads(workers: MergeWorkers) -> None:
    called: SimpleQueue[int] = SimpleQueue()
    for number in range(50):
        workers.call(partial(called.put, number), 0.0)
    assert sorted(called.get(timeout=GUARD_S) for _ in range(50)) == list(range(50))


def test_what_is_due_later_does_not_keep_what_is_due_now_waiting(workers: MergeWorkers) -> None:
    came: SimpleQueue[str] = SimpleQueue()
    workers.call(partial(came.put, "later"), time.monotonic() + 0.5)
    workers.call(partial(came.put, "now"), 0.0)
    assert [came.get(timeout=GUARD_S), came.get(timeout=GUARD_S)] == ["now", "later"]


def test_what_is_not_due_at_the_end_is_never_called() -> None:
    called: list[int] = []
    workers = MergeWorkers(2)
    workers.call(lambda: called.append(1), time.monotonic() + GUARD_S)
    workers.close()
    assert called == []


def applier_of(tables: int, folder: Path) -> tuple[Applier, Targets]:
    names = [f"t{number}" for number in range(tables)]
    changes = {name: Location.of(folder / "changes" / name) for name in names}
    mirror = {name: Location.of(folder / "mirror" / name) for name in names}
    targets = Targets(changes, mirror, Location.of(folder / "quarantine"))
    schemas = {f"topic.{name}": TableSchema("public", name, COLUMNS) for name in names}
    return Applier(schemas, targets, stream_id="s", tx_id_reference=1), targets


def test_threads_do_not_grow_with_the_tables(tmp_path: Path) -> None:
    with closing(applier_of(4, tmp_path / "few")[0]):
        few = psutil.Process().num_threads()
    tables = 60
    with closing(applier_of(tables, tmp_path / "many")[0]):
        # Less than one for each table; most are those that delta-rs has for files at the moment.
        assert psutil.Process().num_threads() - few < tables - 4


def test_merges_of_one_mirror_never_overlap_and_all_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merging: set[int] = set()
    overlapped: list[int] = []
    merge = Mirror._merge

    def observed(self: Mirror, parts: list[Pending]) -> None:
        if id(self) in merging:
            overlapped.append(id(self))
        merging.add(id(self))
        merge(self, parts)
        merging.discard(id(self))

    monkeypatch.setattr(Mirror, "_merge", observed)
    tables, batches = LEAST_WORKERS + 4, 4
    applier, targets = applier_of(tables, tmp_path)
    with closing(applier):
        for batch in range(batches):
            for number in range(tables):
                place = batch * tables + number
                event = upsert("u", 1, batch + 1, str(batch))
                applier.apply(records([event], start=batch, topic=f"topic.t{number}"), place)
        applier.wait_for_mirrors(Deadline(GUARD_S))
    assert overlapped == []
    for where in targets.mirror.values():
        assert open_table(where).rows(["note"]).read_all()["note"].to_pylist() == [str(batches - 1)]


def test_failed_merge_of_one_table_leaves_the_workers_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merge = Mirror._merge

    def crash(self: Mirror, parts: list[Pending]) -> None:
        if self._schema.name == "t0":
            raise OSError("disk full")
        merge(self, parts)

    monkeypatch.setattr(Mirror, "_merge", crash)
    applier, targets = applier_of(3, tmp_path)
    with closing(applier):
        for number in range(3):
            applier.apply(records([upsert("c", 1, 1)], topic=f"topic.t{number}"), number)
        with pytest.raises(OSError, match="disk full"):
            applier.wait_for_mirrors(Deadline(GUARD_S))
        for number in (1, 2):
            applier._mirrors[f"topic.t{number}"].wait_merged(Deadline(GUARD_S))
    assert open_table(targets.mirror["t2"]).dataset().count_rows() == 1
