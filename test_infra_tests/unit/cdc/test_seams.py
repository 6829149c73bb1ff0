"""Each seam takes a second user: sketches of a source with binlog positions and of a stream that is not ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from test_infra.base.deadline import Deadline
from test_infra.cdc import sources
from test_infra.cdc.judge import coverage
from test_infra.cdc.pipeline.connector import connector_config
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec
from test_infra.cdc.stream.stream import Covered
from test_infra.cdc.types.table import Column, TableSchema

ORDERS = TableSchema("shop", "orders", (Column("id", "bigint", nullable=False, key_position=1),))


@dataclass(frozen=True, order=True)
class BinlogPosition:
    """Two parts, and no integer."""

    file: str
    row: int

    @property
    def stored(self) -> str:
        return f"{self.file}:{self.row:012}"


class BinlogSource:
    """A source whose order of events is not a number."""

    kind = "binlog"
    connector_class = "io.debezium.connector.mariadb.MariaDbConnector"

    def __init__(self, endpoint: Any, schema_name: str, tables: Any, names: sources.source.CaptureNames) -> None:
        self._names = names

    @staticmethod
    def committed_position(offset: Mapping[str, Any] | None) -> BinlogPosition | None:
        return BinlogPosition(offset["file"], offset["pos"]) if offset and "snapshot" not in offset else None

    def connector_properties(self, schemas: Any, password: str) -> dict[str, str]:
        return {"database.server.id": "7", "database.password": password}

    def heartbeat_properties(self) -> dict[str, str]:
        return {}


class ScriptedConnect:
    """Kafka Connect as it answers one request after the other."""

    def __init__(self, *offsets: dict[str, Any]) -> None:
        self._offsets: Iterator[dict[str, Any]] = iter(offsets)

    def offsets(self, _name: str) -> dict[str, Any]:
        return next(self._offsets)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> RunningPipeline:
    monkeypatch.setitem(sources.KINDS, "binlog", (__name__, "BinlogSource"))
    monkeypatch.setattr(sources, "import_module", lambda _: SimpleNamespace(BinlogSource=BinlogSource))
    source = SourceSpec.model_construct(kind="binlog", service="mariadb", schema_name="shop")
    spec = PipelineSpec(name="shop", tables=["orders"]).model_copy(update={"source": source})
    endpoint = SimpleNamespace(url="127.0.0.1:1", properties={"secrets_file": "secrets.properties"})
    return RunningPipeline(SimpleNamespace(id="s", endpoint=lambda _: endpoint), spec)  # type: ignore[arg-type]


def test_connector_is_configured_by_its_source(pipeline: RunningPipeline) -> None:
    config = connector_config(pipeline, [ORDERS])
    assert config["connector.class"] == BinlogSource.connector_class
    assert config["database.password"] == "${file:secrets.properties:capture_password}"
    assert not {"slot.name", "publication.name", "plugin.name"} & set(config)


def test_committed_position_is_waited_for_in_the_order_of_the_source(pipeline: RunningPipeline) -> None:
    before, snapshot, behind = {"file": "b.1", "pos": 900}, {"snapshot": True}, {"file": "b.2", "pos": 4}
    pipeline.__dict__["connect"] = ScriptedConnect(snapshot, before, behind)
    coverage.wait_committed(pipeline, BinlogPosition("b.2", 3), Deadline(5))
    with pytest.raises(StopIteration):
        pipeline.connect.offsets("")


def test_position_that_is_never_committed_is_lag(pipeline: RunningPipeline) -> None:
    pipeline.__dict__["connect"] = SimpleNamespace(offsets=lambda _: {"file": "b.1", "pos": 900})
    with pytest.raises(coverage.Behind, match="the source is ahead of Kafka"):
        coverage.wait_committed(pipeline, BinlogPosition("b.2", 3), Deadline(0.1))


class SilentStream:
    """A stream that leaves no word of what it has applied until it has read everything."""

    def __init__(self) -> None:
        self.looks = 0

    def covered(self, table: str, watermark: Mapping[int, int]) -> Covered | str:
        self.looks += 1
        return Covered(dict(watermark), dict(watermark), 7, 7) if self.looks > 2 else f"{table}: nothing is known yet"


def test_another_stream_says_itself_how_far_its_tables_are(
    pipeline: RunningPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = SilentStream()
    monkeypatch.setattr(coverage, "stream_of", lambda _: stream)
    monkeypatch.setattr(coverage.topics, "end_offsets_of", lambda _, topics: {topic: {0: 5} for topic in topics})
    covered, behind = coverage.reach(pipeline, ["orders"], Deadline(5))
    assert (covered["orders"].applied, behind, stream.looks) == ({0: 5}, {}, 3)
