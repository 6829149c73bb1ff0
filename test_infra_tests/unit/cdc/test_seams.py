"""Each seam takes a second user: sketches of a source with binlog positions and of a stream that is not ours."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import httpx
import pytest

from test_infra.base.deadline import Deadline
from test_infra.cdc import sources
from test_infra.cdc.judge import coverage
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.pipeline.connect_client import ConnectClient, ConnectRefused
from test_infra.cdc.pipeline.connector import connector_config
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec
from test_infra.cdc.stream.apply import Applier, Targets
from test_infra.cdc.stream.stream import Covered
from test_infra.cdc.types import dialect
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.events import TOPIC, Message, records

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
    value_forms: ClassVar[Mapping[str, str]] = {}
    kept_properties: ClassVar[Mapping[str, str]] = {}

    def __init__(self, endpoint: Any, tables: Any, names: sources.source.CaptureNames) -> None:
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
    properties = {"secrets_file": "secrets.properties"}
    endpoint = SimpleNamespace(url="127.0.0.1:1", properties=properties, secret_files={})
    stack = SimpleNamespace(id="s", endpoint=lambda _: endpoint, ended_unasked=lambda *_: "")
    return RunningPipeline(stack, spec)  # type: ignore[arg-type]


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


def test_service_that_does_not_stay_up_is_named_before_what_is_behind(pipeline: RunningPipeline) -> None:
    pipeline.__dict__["connect"] = SimpleNamespace(offsets=lambda _: {"file": "b.1", "pos": 900})
    pipeline.stack.ended_unasked = lambda *_: "connect ended by itself 13 times"  # type: ignore[method-assign]
    with pytest.raises(coverage.Behind, match=r"^connect ended by itself 13 times; .*the source is ahead of Kafka"):
        coverage.wait_committed(pipeline, BinlogPosition("b.2", 3), Deadline(0.1))


def test_connect_that_does_not_answer_is_named_with_the_reason() -> None:
    def refuse(*_: object, **__: object) -> None:
        raise httpx.ConnectError("connection refused")

    client = ConnectClient("http://127.0.0.1:1", lambda: "connect ended by itself 13 times")
    client.__dict__["_http"] = SimpleNamespace(request=refuse)
    with pytest.raises(ConnectRefused, match="did not answer: connect ended by itself 13 times"):
        client.status("shop")


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


BINLOG = replace(
    dialect.POSTGRES,
    position_paths=("$.source.file", "$.source.pos", "$.source.row"),
    position_sql=lambda texts: f"printf('%s:%012d:%06d', {texts[0]}, {texts[1]}::BIGINT, {texts[2]}::BIGINT)",
    position_problem="source.file, pos or row is missing",
    position_arrow="string",
)


def event(op: str, value: str | None, file: str, row: int) -> Message:
    source = {"file": file, "pos": 4, "row": row, "txId": 7, "ts_us": 1}
    after = None if op == "d" else {"id": 1, "v": value}
    document = {"op": op, "before": None, "after": after, "source": source, "ts_us": 1}
    return b'{"id": 1}', json.dumps(document).encode()


def test_tables_are_in_the_order_of_a_source_whose_positions_are_no_numbers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(dialect.DIALECTS, "binlog", BINLOG)
    columns = (Column("id", "bigint", False, 1, dialect="binlog"), Column("v", "text", dialect="binlog"))
    schema = TableSchema("shop", "orders", columns)
    targets = Targets({"orders": tmp_path / "changes"}, {"orders": tmp_path / "mirror"}, tmp_path / "quarantine")
    applier = Applier({TOPIC: schema}, targets, stream_id="s", tx_id_reference=1)
    batches = [
        [event("c", "first", "b.000009", 1), event("u", "newest", "b.000010", 2)],
        [event("u", "older", "b.000009", 7)],
        [event("d", None, "b.000010", 3), event("c", "again", "b.000011", 1)],
    ]
    seen = []
    for number, events in enumerate(batches):
        applier.apply(records(events, start=2 * number), number)
        applier.wait_for_mirrors(Deadline(20))
        seen.append([row["v"] for row in open_table(tmp_path / "mirror").rows().read_all().to_pylist()])
    applier.close()
    assert seen == [["newest"], ["newest"], ["again"]]
    assert open_table(tmp_path / "quarantine").rows().read_all().num_rows == 0
