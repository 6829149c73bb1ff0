"""The connector against real Connect and Debezium, refusals and failures first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import BadDocument
from test_infra.cdc.load.prepare import prepare
from test_infra.cdc.pipeline import connector
from test_infra.cdc.pipeline.connect_client import ConnectClient
from test_infra.cdc.pipeline.connector import ConnectorFailed
from test_infra.cdc.pipeline.names import PipelineNames
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import ConnectorSpec, PipelineSpec, SourceSpec
from test_infra.cdc.pipeline.topics import TopicMissing, create_topics, end_offsets, read_records
from test_infra.cdc.sources.postgres import Lsn, connect
from test_infra.cdc.types.table import TableSchema
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up

STACK = "testconnector"


@dataclass
class Prepared:
    """A stack with one table that nobody captures yet."""

    pipeline: RunningPipeline
    schemas: list[TableSchema]

    @property
    def stack(self) -> Stack:
        return self.pipeline.stack

    @property
    def client(self) -> ConnectClient:
        return self.pipeline.connect

    @property
    def names(self) -> PipelineNames:
        return self.pipeline.names

    def changed(self, **update: object) -> RunningPipeline:
        """The pipeline with another spec."""
        return RunningPipeline(self.stack, self.pipeline.spec.model_copy(update=update))


@pytest.fixture(scope="module")
def prepared(test_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    ddl = tmp_path_factory.mktemp("ddl") / "tables.sql"
    ddl.write_text("CREATE TABLE thing (id integer PRIMARY KEY, name text)")
    spec = PipelineSpec(name="caught", tables=["thing"], source=SourceSpec(ddl=ddl), load=None)
    stack = up(StackSpec(), stack_id=STACK, lease=AttachedLease())
    try:
        pipeline = RunningPipeline(stack, spec)
        yield Prepared(pipeline, prepare(pipeline))
    finally:
        down(STACK)


def test_a_bad_configuration_is_refused_field_by_field(prepared: Prepared) -> None:
    bad = ConnectorSpec(config={"snapshot.mode": "sometimes", "database.port": "none"})
    with pytest.raises(BadDocument) as refused:
        connector.create(prepared.changed(connector=bad), prepared.schemas)
    assert {"snapshot.mode", "database.port"} <= {problem.where for problem in refused.value.problems}
    assert prepared.client.status(prepared.names.connector) is None


def test_a_failed_task_is_reported_with_its_trace(prepared: Prepared) -> None:
    bad = ConnectorSpec(config={"publication.name": "no_such_publication"})
    broken = prepared.changed(name="broken", connector=bad)
    with pytest.raises(ConnectorFailed, match="Publication autocreation is disabled"):
        connector.create(broken, prepared.schemas)
    prepared.client.delete_and_wait(broken.names.connector)


def test_a_ready_connector_captures_commits_its_position_and_hides_its_password(prepared: Prepared) -> None:
    connector.create(prepared.pipeline, prepared.schemas)
    name, endpoint = prepared.names.connector, prepared.stack.endpoint("postgres")
    shown = httpx.get(f"{prepared.stack.endpoint('connect').url}/connectors/{name}/config").text
    assert endpoint.secret("capture_password") not in shown
    assert "${file:" in shown
    with connect(endpoint, "owner") as session:
        session.execute("INSERT INTO thing VALUES (1, 'a')")
        row = session.execute("SELECT pg_current_wal_lsn() - '0/0'").fetchone()
    assert row is not None

    def committed() -> None:
        if (lsn := prepared.pipeline.committed()) is None or lsn < Lsn(int(row[0])):
            raise StillWaiting(f"it is at {lsn}")

    wait_for(committed, Deadline(30), what=name, awaited=f"committed LSN {row[0]}")
    bootstrap, topic = prepared.stack.endpoint("kafka").url, prepared.names.topic("public", "thing")
    ends = end_offsets(bootstrap, topic)
    (record,) = read_records(bootstrap, topic, 0, 0, ends[0])
    assert record.key == b'{"id":1}'


def test_an_idle_source_moves_its_position_by_heart_beats(prepared: Prepared) -> None:
    connector.create(prepared.pipeline, prepared.schemas)
    before = prepared.pipeline.committed() or Lsn(0)

    def moved() -> None:
        if (prepared.pipeline.committed() or Lsn(0)) <= before:
            raise StillWaiting("it stands")

    wait_for(moved, Deadline(30), what="the committed LSN", awaited=f"more than {before}")


def test_a_deleted_connector_is_gone(prepared: Prepared) -> None:
    connector.create(prepared.pipeline, prepared.schemas)
    prepared.client.delete_and_wait(prepared.names.connector)
    assert prepared.client.status(prepared.names.connector) is None
    prepared.client.delete_and_wait(prepared.names.connector)


def test_topics_are_made_once_and_a_missing_one_is_an_error(prepared: Prepared) -> None:
    bootstrap = prepared.stack.endpoint("kafka").url
    for _ in range(2):
        create_topics(bootstrap, {"made": 3})
    assert end_offsets(bootstrap, "made") == {0: 0, 1: 0, 2: 0}
    with pytest.raises(TopicMissing):
        end_offsets(bootstrap, "never_made")
