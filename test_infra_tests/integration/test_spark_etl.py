"""CoreETL over Spark Connect and as a job; the Dagster asset that runs Spark jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from test_infra.assets.spark_job import follow, spark_job_asset
from test_infra.base.errors import BadDocument
from test_infra.cdc.lake.open import open_table
from test_infra.resources.spark_gateway import SparkGatewayResource
from test_infra.spark.dcp.dry_run import dry_run
from test_infra.spark.dcp.manifest import read_job, read_manifest
from test_infra.spark.gateway.connect_servers import ConnectServers
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.gateway.states import JobState
from test_infra.spark.job.spec import JobSpec, PythonFile, PythonModule, Timeouts
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up
from test_infra.stack.spec import Services

STACK = "testetl"
MANIFEST = """\
apiVersion: dcp.pedregal.doordash.com/v1
kind: SparkJob
metadata:
  name: totals
  team: shop
spec:
  coreEtl:
    jobSpec:
      sources:
        - type: delta
          path: {lake}/orders
          filter: amount > 0
        - type: delta
          name: names
          path: {lake}/names
      transformations:
        - type: sql
          query: SELECT status, sum(amount) AS amount FROM source GROUP BY status;
        - type: sql
          query: |
            WITH named AS (SELECT * FROM names)
            SELECT name, amount FROM source JOIN named USING (status)
      sinks:
        - type: delta
          path: {lake}/totals
          mode: append
"""


@pytest.fixture(scope="module")
def stack(test_home: Path) -> Iterator[Stack]:
    services = Services(postgres=None, kafka=None, connect=None)
    yield up(StackSpec(services=services), stack_id=STACK, lease=AttachedLease())
    down(STACK)


@pytest.fixture(scope="module")
def gateway(stack: Stack) -> SparkGateway:
    return SparkGateway(stack)


@pytest.fixture(scope="module")
def servers(stack: Stack, gateway: SparkGateway) -> ConnectServers:
    return ConnectServers(stack, gateway)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import pyarrow as pa
    from deltalake import write_deltalake

    folder = tmp_path_factory.mktemp("lake")
    orders = pa.table({"status": ["new", "new", "paid", "paid"], "amount": pa.array([1, 2, 4, -1], pa.int64())})
    write_deltalake(str(folder / "orders"), orders)
    write_deltalake(str(folder / "names"), pa.table({"status": ["new", "paid"], "name": ["New", "Paid"]}))
    return folder


def manifest(folder: Path, text: str) -> Path:
    path = folder / "manifest.yaml"
    path.write_text(text)
    return path


def test_a_job_that_would_run_is_tested_and_then_runs(
    gateway: SparkGateway, servers: ConnectServers, lake: Path, tmp_path: Path
) -> None:
    path = manifest(tmp_path, MANIFEST.format(lake=lake))
    steps = dry_run(read_manifest(path), path, servers)
    assert [one.step.partition(" ")[0] for one in steps] == [
        "source", "source", "transformation", "transformation", "sink",
    ]  # fmt: skip
    assert steps[-1].columns == {"name": "string", "amount": "bigint"}
    assert "Aggregate" in steps[2].plan
    assert not (lake / "totals").exists()
    [server] = servers.list()

    execution_id = gateway.submit(read_job(path, tmp_path), idempotency_key="totals")
    log = "".join(text for text, _ in gateway.follow(execution_id))
    assert gateway.check(execution_id).state is JobState.SUCCEEDED, log
    rows = open_table(lake / "totals").dataset().to_table().sort_by("name").to_pylist()
    assert rows == [{"name": "New", "amount": 3}, {"name": "Paid", "amount": 4}]

    # The server of the first test is warm, and what is there now is looked at.
    dry_run(read_manifest(path), path, servers)
    assert [one.id for one in servers.list()] == [server.id]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("/orders", "/none", 10, "none"),
        ("amount > 0", "amuont > 0", 10, "amuont"),
        ("sum(amount)", "summ(amount)", 18, "summ"),
        ("SELECT status, sum(amount) AS amount FROM source GROUP BY status;", "DROP TABLE orders", 18, "PARSE"),
        ("SELECT name, amount FROM", "SELECT name AS nom, amount FROM", 24, "'name'"),
        ("SELECT name, amount FROM", "SELECT name, amount + 0.5 AS amount FROM", 24, "is bigint"),
        ("          mode: append", "          mode: append\n          partitionBy: [day]", 27, "'day'"),
    ],
)
def test_what_would_not_run_is_told_with_file_and_line(
    servers: ConnectServers, lake: Path, tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    there = pa.table({"name": ["New"], "amount": pa.array([3], pa.int64())})
    write_deltalake(str(lake / "totals"), there, mode="ignore")
    assert old in MANIFEST
    path = manifest(tmp_path, MANIFEST.replace(old, new).format(lake=lake))
    with pytest.raises(BadDocument) as refused:
        dry_run(read_manifest(path), path, servers)
    [(place, words), *_] = refused.value.details.items()
    assert place.startswith(f"{path}:{line} ")
    assert said in words


def asset(folder: Path, code: str, retries: int = 0) -> dg.AssetsDefinition:
    program = folder / "job.py"
    program.write_text(code)
    spec = JobSpec(name=f"asset-{folder.name}".lower(), application=PythonFile(python_file=str(program)))
    policy = dg.RetryPolicy(max_retries=retries) if retries else None
    return spark_job_asset(dg.AssetKey(["spark", "job"]), lambda _: spec, retry_policy=policy)


def materialized(made: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    resources = {"spark_gateway": SparkGatewayResource(stack_id=STACK)}
    return dg.materialize([made], resources=resources, raise_on_error=False)


def test_the_asset_streams_the_log_and_records_the_job(
    stack: Stack, gateway: SparkGateway, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = materialized(asset(tmp_path, "print('said by the driver')"))
    assert result.success
    assert "said by the driver" in capfd.readouterr().out
    [event] = result.get_asset_materialization_events()
    execution_id = event.materialization.metadata["execution_id"].value
    assert gateway.check(str(execution_id)).state is JobState.SUCCEEDED


def test_a_failed_job_fails_the_asset_and_a_retry_submits_another_one(
    stack: Stack, gateway: SparkGateway, tmp_path: Path
) -> None:
    code = (
        f"import pathlib\nseen = pathlib.Path({str(tmp_path / 'seen')!r})\nok = seen.exists()\nseen.touch()\nassert ok"
    )
    made = asset(tmp_path, code, retries=1)
    assert materialized(made).success
    name = f"asset-{tmp_path.name}".lower()
    assert [one.state for one in gateway.list(name=name)] == [JobState.APPLICATION_FAILED, JobState.SUCCEEDED]
    (tmp_path / "seen").unlink()
    assert not materialized(asset(tmp_path, code)).success


FOLLOWS = """
import sys
from test_infra.assets.spark_job import follow
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.job.spec import JobSpec
from test_infra.stack import attach
follow(SparkGateway(attach(sys.argv[1])), JobSpec.model_validate_json(sys.argv[2]), scope="run/asset")
"""
SLEEPS = JobSpec(
    name="followed",
    application=PythonModule(module="http.server"),
    args=("0", "--bind", "127.0.0.1"),
    timeouts=Timeouts(stop_s=2),
)


def test_a_killed_step_is_attached_to_again_and_a_terminated_one_cancels(stack: Stack, gateway: SparkGateway) -> None:
    def step() -> subprocess.Popen[str]:
        """A step that has shown the first line of the log."""
        command = [sys.executable, "-c", FOLLOWS, STACK, SLEEPS.model_dump_json()]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert process.stdout is not None
        assert "Serving HTTP" in process.stdout.readline()
        return process

    with step() as killed:
        killed.kill()
    with step() as again:
        assert len(gateway.list(name="followed")) == 1
        os.kill(again.pid, signal.SIGINT)
    [job] = gateway.list(name="followed")
    assert job.state is JobState.CANCELLED


def test_a_job_of_a_scope_that_succeeded_is_not_run_again(gateway: SparkGateway, tmp_path: Path) -> None:
    spec = JobSpec(name="once", application=PythonModule(module="this"))
    first, second = (follow(gateway, spec, scope="run/once") for _ in range(2))
    assert first.execution_id == second.execution_id
    assert textwrap.shorten(str(first.state), 20) == "succeeded"
