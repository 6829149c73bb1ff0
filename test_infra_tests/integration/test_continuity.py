"""Faults of what carries the rows, planted on the real stack one after another: each is named, none is ever green.

One pipeline for all: faults that can be mended are mended, the others come last and stay.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import UsageError
from test_infra.cdc.judge import parity
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.load.prepare import prepare
from test_infra.cdc.pipeline import connector
from test_infra.cdc.pipeline.connect_client import ConnectClient
from test_infra.cdc.pipeline.origin import Discontinuity
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec
from test_infra.cdc.stream.control import StreamFailed
from test_infra.cdc.stream.writer_lock import WriterLocked, writer_lock
from test_infra.gates.gate import JudgeContext
from test_infra.gates.pipeline import pipeline_gates
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.verdict.evidence import Finding, Outcome
from test_infra_tests.running import Running, running

STACK = "testbroken"
DDL = """
CREATE TABLE kept (id integer PRIMARY KEY, v text);
CREATE TABLE remade (id integer PRIMARY KEY, v text);
CREATE TABLE later (id integer PRIMARY KEY, v text);
INSERT INTO kept SELECT n, 'before' FROM generate_series(1, 10) n;
INSERT INTO remade VALUES (1, 'before');
"""


@dataclass
class Held(Running):
    """A running pipeline, to be broken."""

    @property
    def client(self) -> ConnectClient:
        return ConnectClient(self.stack.endpoint("connect").url)

    def gate(self, name: str = "continuity") -> Finding:
        (gate,) = [one for one in pipeline_gates(self.spec) if one.name == name]
        (subject,) = gate.subjects
        return gate.judge(JudgeContext(self.stack, self.stack.dir), [subject])[subject]

    def seen(self) -> dict[str, str]:
        """What the gate says within 15 s of a fault: part -> words. It must be red."""
        began = time.monotonic()
        finding = self.gate()
        assert time.monotonic() - began < 15
        assert finding.outcome is Outcome.FAILED
        words: dict[str, str] = {}
        for row in finding.rows:
            words[row["part"]] = "; ".join(filter(None, [words.get(row["part"]), row["seen"]]))
        return words


@pytest.fixture(scope="module")
def held(test_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    ddl = tmp_path_factory.mktemp("ddl") / "tables.sql"
    ddl.write_text(DDL)
    spec = PipelineSpec(name="held", tables=["kept", "remade"], source=SourceSpec(ddl=ddl), load=None)
    with running(Held, spec, STACK) as pipeline:
        assert parity.check(pipeline.pipeline).green
        yield pipeline


def test_whole_pipeline_is_green_and_may_be_prepared_again(held: Held) -> None:
    assert held.gate().passed
    prepare(held.pipeline)
    connector.create(held.pipeline, held.schemas)


def test_publication_that_lacks_a_table_or_an_operation_is_named(held: Held) -> None:
    publication = held.names.replication
    held.sql(f"ALTER PUBLICATION {publication} DROP TABLE kept")
    assert held.seen()["publication"] == f"publication {publication} does not contain public.kept"
    held.sql(f"ALTER PUBLICATION {publication} ADD TABLE kept WHERE (id > 5)")
    assert "filters the rows of public.kept" in held.seen()["publication"]
    held.sql(f"ALTER PUBLICATION {publication} SET TABLE kept, remade")
    held.sql(f"ALTER PUBLICATION {publication} SET (publish = 'insert, update, truncate')")
    assert held.seen()["publication"] == f"publication {publication} does not publish delete"
    with pytest.raises(UsageError, match="does not publish delete"):
        prepare(held.pipeline)
    held.sql(f"ALTER PUBLICATION {publication} SET (publish = 'insert, update, delete, truncate')")
    assert held.gate().passed


def test_replica_identity_that_was_changed_is_named(held: Held) -> None:
    held.sql("ALTER TABLE kept REPLICA IDENTITY NOTHING")
    assert "REPLICA IDENTITY NOTHING" in held.seen()["table public.kept"]
    held.sql("ALTER TABLE kept REPLICA IDENTITY DEFAULT")


def test_table_that_was_added_later_is_refused_before_anything_starts(held: Held) -> None:
    wider = held.spec.model_copy(update={"tables": [*held.spec.tables, "later"]})
    with pytest.raises(Discontinuity, match=r"table public\.later: it was added later") as refused:
        prepare(RunningPipeline(held.stack, wider))
    assert refused.value.exit_code == 3
    assert held.gate().passed


@pytest.mark.ci(reason="more broken continuity")
def test_second_stream_on_the_same_checkpoint_and_tables_is_refused_and_the_first_goes_on(held: Held) -> None:
    with (
        pytest.raises(WriterLocked, match="another stream already writes here"),
        writer_lock(held.folders.mirror("kept")),
    ):
        pass
    gateway = SparkGateway(held.stack)
    second = held.stream.job_spec().model_copy(update={"name": "second"})
    execution_id = gateway.submit(second, idempotency_key="second")

    def ended() -> str:
        execution = gateway.check(execution_id)
        if not execution.state.terminal:
            raise StillWaiting(f"it is {execution.state}")
        return execution.error

    error = wait_for(ended, Deadline(60), what="the second stream", awaited="its end")
    assert "another stream already writes here" in error
    assert held.gate("stream").passed
    held.sql("UPDATE kept SET v = 'after the second stream' WHERE id = 1")
    assert parity.check(held.pipeline).green


def test_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from test_infra.cdc.stream.writer_lock import writer_lock\n"
        f"with writer_lock(Path({str(tmp_path)!r})): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(WriterLocked) as locked, writer_lock(tmp_path):
            pass
        assert str(holder.pid) in locked.value.details["holder"]
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with writer_lock(tmp_path):
        pass


@pytest.mark.ci(reason="more broken continuity")
def test_torn_checkpoint_is_named_and_refused_and_a_mended_one_goes_on(held: Held) -> None:
    held.stream.stop()
    offsets = held.folders.checkpoint / "offsets"
    newest = max((path for path in offsets.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    whole = newest.read_bytes()
    newest.write_bytes(whole[: len(whole) // 2])
    assert str(newest) in held.seen()["checkpoint"]
    with pytest.raises(StreamFailed) as refused:
        held.start_stream()
    assert str(newest) in str(refused.value)
    newest.unlink()
    assert "checkpoint" in held.seen()
    newest.write_bytes(whole)


@pytest.mark.ci(reason="more broken continuity")
def test_checkpoint_of_another_stream_is_named(held: Held) -> None:
    file = held.folders.checkpoint / "test_infra_stream_id"
    own = file.read_text()
    file.write_text("0" * 32)
    assert "was written by stream" in held.seen()["checkpoint"]
    file.write_text(own)
    held.start_stream()
    assert held.gate().passed
    assert parity.check(held.pipeline).green


@pytest.mark.ci(reason="more broken continuity")
def test_failed_task_is_red_at_once_and_parity_does_not_wait_for_it(held: Held) -> None:
    url = f"{held.stack.endpoint('connect').url}/connectors/{held.names.connector}"
    good = httpx.get(f"{url}/config").json()
    httpx.put(f"{url}/config", json={**good, "publication.name": "no_such"}).raise_for_status()

    def failed() -> None:
        status = held.client.status(held.names.connector)
        if status is None or not status.failed:
            raise StillWaiting(f"it is {status}")

    wait_for(failed, Deadline(30), what="the task", awaited="FAILED")
    finding = held.gate("connector")
    assert finding.outcome is Outcome.FAILED
    assert "task 0 is FAILED" in finding.summary
    began = time.monotonic()
    report = parity.check(held.pipeline)
    assert {verdict for table in report.tables.values() for verdict in table.counts} == {Verdict.LAG}
    assert time.monotonic() - began < 15
    httpx.put(f"{url}/config", json=good).raise_for_status()

    def runs() -> None:
        status = held.client.status(held.names.connector)
        if status is None or not status.running:
            raise StillWaiting(f"it is {status}")

    wait_for(runs, Deadline(30), what="the task", awaited="RUNNING")
    assert parity.check(held.pipeline).green


def test_table_dropped_and_made_again_is_named_while_running_and_refused_at_the_next_start(held: Held) -> None:
    held.sql("DROP TABLE remade")
    assert held.seen()["table public.remade"] == "it does not exist any more"
    held.sql("CREATE TABLE remade (id integer PRIMARY KEY, v text)")
    seen = held.seen()
    assert "it was dropped and made again" in seen["table public.remade"]
    assert "does not contain public.remade" in seen["publication"]
    with pytest.raises(Discontinuity, match=r"table public\.remade: it was dropped and made again"):
        prepare(held.pipeline)


def test_slot_dropped_and_made_again_is_named_and_the_connector_refused(held: Held) -> None:
    url = f"{held.stack.endpoint('connect').url}/connectors/{held.names.connector}"
    httpx.put(f"{url}/stop").raise_for_status()

    def free() -> None:
        if held.sql("SELECT active FROM pg_replication_slots WHERE slot_name = %s", held.names.replication) != [
            (False,)
        ]:
            raise StillWaiting("it is read")

    wait_for(free, Deadline(30), what="the slot", awaited="nobody on it")
    held.sql("SELECT pg_drop_replication_slot(%s)", held.names.replication, role="capture")
    assert "there is no slot" in held.seen()["slot"]
    held.sql("INSERT INTO kept VALUES (1001, 'lost')")
    held.sql("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", held.names.replication, role="capture")
    assert "it was dropped and made again" in held.seen()["slot"]
    with pytest.raises(Discontinuity, match="it was dropped and made again"):
        connector.create(held.pipeline, held.schemas)
    # Debezium itself refuses as well, should somebody start it by hand.
    httpx.put(f"{url}/resume").raise_for_status()

    def failed() -> None:
        if (status := held.client.status(held.names.connector)) is None or not status.failed:
            raise StillWaiting(f"it is {status}")

    wait_for(failed, Deadline(30), what="the task", awaited="FAILED")


@pytest.mark.ci(reason="more broken continuity")
def test_records_past_their_retention_that_were_never_read_and_a_remade_topic_are_named(held: Held) -> None:
    from kafka import KafkaProducer, TopicPartition
    from kafka.admin import KafkaAdminClient

    held.stream.stop()
    bootstrap, topic = held.stack.endpoint("kafka").url, held.topic("kept")
    with closing(KafkaProducer(bootstrap_servers=bootstrap)) as producer:
        end = producer.send(topic, key=b"{}", value=b"{}").get(timeout=10).offset + 1
    with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
        admin.delete_records({TopicPartition(topic, 0): end})
        assert "are gone" in held.seen()[f"topic {topic}"]
        admin.delete_topics([held.topic("remade")])

        def gone() -> None:
            if held.topic("remade") in admin.list_topics():
                raise StillWaiting("it is there")

        wait_for(gone, Deadline(20), what="the topic", awaited="its end")
    assert held.seen()[f"topic {held.topic('remade')}"] == "it does not exist"
    connector.create_topics(bootstrap, {held.topic("remade"): 1})
    assert "it was deleted and made again" in held.seen()[f"topic {held.topic('remade')}"]
