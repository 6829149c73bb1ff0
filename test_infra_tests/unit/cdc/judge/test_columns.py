"""A cut compares a table with a lake that has its columns, or says that there is none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from test_infra.base.deadline import Deadline
from test_infra.cdc.judge import columns
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.stream.stream import Covered
from test_infra.cdc.types.generation import Generation
from test_infra.cdc.types.table import Column
from test_infra_tests.unit.cdc.changing import BEGIN, FILLED, ID, Changing, generation


@dataclass
class Pipeline:
    """What the judge asks of a pipeline."""

    table: Changing
    policy: str = "follow"

    @property
    def spec(self) -> Any:
        return type("Spec", (), {"schema_changes": self.policy, "name": "p"})

    @property
    def folders(self) -> Any:
        return type("Folders", (), {"lake": self.table.folder})

    @property
    def source(self) -> Any:
        return self.table.catalogue

    def mirror(self, label: str) -> Any:
        return self.table.targets.mirror[label]

    def changes(self, label: str) -> Any:
        return self.table.targets.changes[label]


def newest(table: Changing) -> dict[str, Covered]:
    applied = open_table(table.targets.mirror["t"]).newest_applied().offsets
    versions = [open_table(where["t"]).version for where in (table.targets.mirror, table.targets.changes)]
    return {"t": Covered(applied, applied, *versions)}


@pytest.fixture
def table(tmp_path: Path) -> Any:
    with Changing(tmp_path) as made:
        made.feed(made.event("r", 10, {"id": 1, "v": 1}))
        yield made


def of_another(pipeline: Pipeline, covered: dict[str, Covered], source: Generation) -> list[str]:
    found = columns.of_another_generation(pipeline, [source.table], covered)  # type: ignore[arg-type]
    return [schema.label for schema in found]


def test_a_lake_with_the_columns_of_the_source_is_compared_at_once(table: Changing) -> None:
    assert of_another(Pipeline(table), newest(table), BEGIN) == []


def test_a_lake_of_the_generation_before_is_seen(table: Changing) -> None:
    assert of_another(Pipeline(table), newest(table), FILLED) == ["t"]


def test_a_lake_that_is_ahead_of_the_snapshot_is_seen(table: Changing) -> None:
    table.alter(FILLED)
    table.look()
    assert of_another(Pipeline(table), newest(table), BEGIN) == ["t"]


def test_a_pipeline_that_refuses_ddl_waits_for_nothing(table: Changing) -> None:
    assert of_another(Pipeline(table, "refuse"), newest(table), FILLED) == []


def test_the_lake_is_waited_for(table: Changing) -> None:
    before = newest(table)
    table.alter(FILLED)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(columns.follow, Pipeline(table), [FILLED.table], before, Deadline(60))  # type: ignore[arg-type]
        table.look()
        covered, behind = waiting.result()
    assert behind == {}
    assert of_another(Pipeline(table), covered, FILLED) == []
    assert covered["t"].mirror_version > before["t"].mirror_version


def test_a_lake_that_does_not_get_the_columns_is_behind(table: Changing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "FOLLOWED_WITHIN_S", 0.1)
    before = newest(table)
    table.alter(FILLED)
    covered, behind = columns.follow(Pipeline(table), [FILLED.table], before, Deadline(60))  # type: ignore[arg-type]
    assert covered == before
    assert "has not the columns of the source" in behind["t"]


def test_what_cannot_be_followed_is_left_to_the_comparison(table: Changing) -> None:
    narrow = generation((1, ID), (2, Column("v", "smallint")))
    table.alter(narrow)
    before = newest(table)
    assert columns.follow(Pipeline(table), [narrow.table], before, Deadline(60)) == (before, {})  # type: ignore[arg-type]
    found = table.parity(table.source({"id": 1, "v": 1}))
    assert [str(verdict) for verdict in found.counts] == ["SCHEMA"]
