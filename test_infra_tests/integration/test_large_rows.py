"""Large rows, with default settings: memory is bounded by bytes, and a record that Kafka does not take is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.cdc.judge import parity, probes
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec
from test_infra.verdict.evidence import Outcome
from test_infra_tests.running import Running, prepared

pytestmark = pytest.mark.ci(reason="a pipeline of its own, for 1.6 GB of rows; test_stream has rows of ordinary size")

STACK = "testlarge"
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def live(test_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    ddl = tmp_path_factory.mktemp("ddl") / "tables.sql"
    ddl.write_text(
        "CREATE TABLE large (id integer PRIMARY KEY, v text, n integer);"
        "CREATE TABLE twice (id integer PRIMARY KEY, raw bytea, n integer); ALTER TABLE twice REPLICA IDENTITY FULL;"
    )
    spec = PipelineSpec(name="large", tables=["large", "twice"], source=SourceSpec(ddl=ddl), load=None)
    with prepared(Running, spec, STACK) as pipeline:
        pipeline.sql(
            "INSERT INTO large SELECT n, md5(n::text) || repeat(md5(n::text), 32767), 0 FROM generate_series(1, 600) n"
        )
        pipeline.capture()
        yield pipeline


def test_600_rows_of_1_mib_by_snapshot_and_200_of_them_in_one_transaction_are_exact(live: Running) -> None:
    found = parity.check(live.pipeline, timeout_s=180).tables["large"]
    assert found.green, found
    assert found.source_rows == 600
    live.sql("UPDATE large SET v = reverse(v), n = 1 WHERE id <= 200")
    found = parity.check(live.pipeline, timeout_s=180).tables["large"]
    assert found.green, found
    assert found.changes == 800
    assert [event for event in live.stack.events() if event["event"] == "ended"] == []


def test_a_record_over_the_limit_is_red_with_its_table_its_size_and_the_row(live: Running) -> None:
    live.sql("INSERT INTO twice VALUES (1, decode(repeat('5a', %s), 'hex'), 0)", 9 * MIB)
    assert parity.check(live.pipeline, ["twice"], timeout_s=120).tables["twice"].green
    live.sql("UPDATE twice SET raw = decode(repeat('5b', %s), 'hex')", 9 * MIB)

    def red() -> None:
        if probes.connector(live.pipeline).outcome is not Outcome.FAILED:
            raise StillWaiting("it runs")

    wait_for(red, Deadline(60), what="the connector", awaited="the end of its task")
    found = probes.connector(live.pipeline)
    assert f"a change event for topic {live.topic('twice')} has 2" in found.summary
    assert "at most 16,777,216 are sent" in found.summary
    assert "id = (1)" in found.details["largest row of twice now"]
