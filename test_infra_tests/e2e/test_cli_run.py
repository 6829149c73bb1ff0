"""`run --keep`, then `load`, `parity`, `lag`, `report` on the stack that was kept; a stream that is stopped is LAG; a
spoiled mirror is red and its report says where; no secret is anywhere.
"""

from __future__ import annotations

import base64
import itertools
import json
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import dagster as dg
import jsonschema
import pytest
import tenacity
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from test_infra.cdc.lake.delta_reading import dataset_of
from test_infra.cdc.pipeline.names import PipelineFolders, PipelineNames
from test_infra.cdc.pipeline.running import RunningPipeline
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.cdc.stream.stream import stream_of
from test_infra.stack import Stack, StackFolders, attach
from test_infra_tests.e2e import canary
from test_infra_tests.e2e.shell import PROJECT, Shell

CANARY = "canary-Zq7pX2vB9k"
"""A secret of whoever calls us; nothing that we start has a use for it."""


@dataclass(frozen=True)
class Kept(Shell):
    """The stack of a green smoke run, and what the run printed."""

    printed: str = ""


@pytest.fixture(scope="module")
def kept(shell: Shell) -> Kept:
    with_canary = replace(shell, more={"AWS_SECRET_ACCESS_KEY": CANARY, "PGPASSWORD": CANARY})
    ran = with_canary.run("run", "smoke", "--keep", "--ttl", "15m", timeout_s=700)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "GREEN  smoke" in ran.stdout
    return Kept(shell.home, shell.stack, printed=ran.stdout + ran.stderr, more=with_canary.more)


@pytest.fixture
def stack(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("TEST_INFRA_HOME", str(kept.home))
    return attach(kept.stack)


@pytest.fixture
def shop(kept: Kept) -> PipelineSpec:
    record = kept.home / "stacks" / kept.stack / "pipelines" / "shop.json"
    return PipelineSpec.model_validate_json(record.read_bytes())


def smoke_folder(shell: Shell) -> Path:
    folders = (path.parent for path in (shell.home / "runs").glob("*/run.json"))
    (folder,) = (folder for folder in folders if json.loads((folder / "run.json").read_text())["job"] == "smoke")
    return folder


def obeys_the_published_schema(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    jsonschema.Draft202012Validator(json.loads((PROJECT / "docs/result.schema.json").read_text())).validate(result)
    return result


@pytest.mark.timeout(900)
def test_a_green_run_leaves_its_report(kept: Kept) -> None:
    folder = smoke_folder(kept)

    again = kept.run("report", folder.name, "--json")

    result = json.loads(again.stdout)
    assert obeys_the_published_schema(folder) == result
    assert all(part in (folder / "report.html").read_text() for part in ("Lag", "Load", "Timeline", "seed 20261121"))
    lag = next(gate["evidence"] for gate in result["gates"] if gate["gate"] == "lag")
    assert {sum(item["counts"]) for item in lag["histograms"]} == {lag["numbers"]["changes_measured"]}
    assert sum(filter(None, lag["series"][0]["values"]["changes"])) == lag["numbers"]["changes_measured"]
    (pipeline,) = result["pipelines"]
    assert sum(map(sum, pipeline["load"]["values"].values())) == sum(pipeline["outcomes"].values()) > 0
    assert again.returncode == 0
    assert result["green"]
    assert {gate["outcome"] for gate in result["gates"]} == {"PASSED"}
    assert ET.parse(folder / "junit.xml").getroot().find("testsuite").get("failures") == "0"
    assert "<script" not in (folder / "report.html").read_text()


def test_lag_and_counts_are_numbers_in_the_check_history(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", kept.environment["DAGSTER_HOME"])
    mirror = dg.AssetKey(["shop", "mirror", "orders"])
    with dg.DagsterInstance.get() as instance:
        seen = {
            name: instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(mirror, name), limit=1)
            for name in ("lag", "parity", "witness")
        }
    metadata = {}
    for name, (execution, *_) in seen.items():
        assert execution.event is not None
        metadata[name] = execution.event.dagster_event.asset_check_evaluation_data.metadata
    assert isinstance(metadata["lag"]["commit_to_mirror_p95_s"], dg.FloatMetadataValue)
    assert isinstance(metadata["lag"]["changes_measured"], dg.IntMetadataValue)
    assert metadata["parity"]["source_rows"].value > 0
    assert isinstance(metadata["parity"]["source_rows"], dg.IntMetadataValue)
    assert isinstance(metadata["witness"]["keys_judged"], dg.IntMetadataValue)


def add(mirror: DeltaTable, row: int, amount: str) -> None:
    """Change one amount behind the stream's back, and in between its own commits."""
    mirror.update_incremental()
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(CommitFailedError),
        stop=tenacity.stop_after_attempt(5),
        before_sleep=lambda _: mirror.update_incremental(),
        reraise=True,
    )
    attempts(mirror.update, predicate=f"id = {row}", updates={"amount": f"amount + {amount}"})


@pytest.mark.timeout(500)
def test_a_spoiled_mirror_is_red_and_the_report_says_where(kept: Kept, stack: Stack, shop: PipelineSpec) -> None:
    mirror = DeltaTable(str(PipelineFolders(stack.dir, shop.name).mirror("orders")))
    # Not the first one: an idle table's first row is written again by the gate of lag, and that would mend it.
    row = max(dataset_of(mirror).to_table(columns=["id"])["id"].to_pylist())
    add(mirror, row, "0.01")
    try:
        ran = kept.run("run", "parity", "--json", timeout_s=450)
        told = kept.run("report", json.loads(ran.stdout)["run_id"])
    finally:
        add(mirror, row, "-0.01")

    folder = kept.home / "runs" / json.loads(ran.stdout)["run_id"]
    page = (folder / "report.html").read_text()
    assert (ran.returncode, told.returncode) == (1, 1)
    assert not obeys_the_published_schema(folder)["green"]
    assert "Red: shop/mirror/orders parity" in page
    assert f"id={row}" in page
    assert "<mark>" in page
    *_, failed_first, verdict, where = told.stdout.splitlines()
    assert failed_first.startswith("failed first: shop/mirror/orders parity")
    assert verdict == "RED  parity: exit code 1"
    assert where == f"report: {folder / 'report.html'}"


@pytest.mark.timeout(300)
def test_no_secret_is_anywhere(kept: Kept, stack: Stack, shop: PipelineSpec) -> None:
    folders = StackFolders(stack.id)
    secrets = {path.name: path.read_text() for path in folders.secrets.iterdir()} | {"the caller's": CANARY}
    commands = ("status --json", "report latest", "logs connect")
    said = [(command, kept.run(*command.split()).stdout.encode()) for command in commands]
    connector = PipelineNames(stack.id, shop.name).connector

    assert {"owner_password", "capture_password"} <= set(secrets)
    places = list(
        itertools.chain(
            [("run", kept.printed.encode()), *said],
            canary.files(kept.home, folders.data),
            canary.databases(kept.home),
            canary.answers(stack, connector),
            canary.internal_topics(stack),
            canary.processes(stack),
        )
    )
    assert canary.leaks(secrets, iter(places)) == []
    looked_at = " ".join(place for place, _ in places)
    for expected in (
        "report.html",
        "connect.log",
        "driver.log",
        "runs.db",
        "GET /connectors",
        "connect-config",
        "java",
    ):
        assert expected in looked_at, expected


@pytest.mark.parametrize("way", [str, lambda secret: secret.encode("utf-16-le"), lambda secret: secret.encode().hex()])
def test_a_planted_secret_is_found(tmp_path: Path, way: Callable[[str], str | bytes]) -> None:
    planted = way("s3cr3t-value-123")
    content = planted if isinstance(planted, bytes) else planted.encode()
    (tmp_path / "some.log").write_bytes(b"user:" + content + b"\n")
    assert canary.leaks({"it": "s3cr3t-value-123"}, canary.files(tmp_path)) == [f"it in {tmp_path / 'some.log'}"]


@pytest.mark.parametrize("before", ["", "u:", "us:", "user:"])
def test_a_secret_in_a_header_or_a_compressed_snapshot_is_found(tmp_path: Path, before: str) -> None:
    header = base64.b64encode(f"{before}s3cr3t-value-123@host".encode())
    with closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        connection.execute("CREATE TABLE snapshots (body BLOB)")
        connection.execute("INSERT INTO snapshots VALUES (?)", [zlib.compress(b"Basic " + header)])
        connection.commit()
    assert canary.leaks({"it": "s3cr3t-value-123"}, canary.databases(tmp_path))


@pytest.mark.timeout(500)
def test_load_then_parity_then_lag(kept: Kept) -> None:
    loaded = kept.run("load", "shop", "--operations", "300")
    compared, measured = kept.run("parity", "shop", "--json"), kept.run("lag", "shop", "--json")

    assert loaded.returncode == 0, loaded.stderr
    assert "operations committed" in loaded.stderr
    assert compared.returncode == 0, compared.stdout
    assert set(json.loads(compared.stdout)["tables"]) == {"customers", "orders", "order_items"}
    assert json.loads(compared.stdout)["green"]
    assert json.loads(measured.stdout)["tables"]["orders"]["numbers"]["commit_to_mirror_p95_s"] > 0


@pytest.mark.ci(reason="more ways to be behind")
@pytest.mark.timeout(700)
def test_a_stopped_stream_is_lag_and_never_missing(kept: Kept, stack: Stack, shop: PipelineSpec) -> None:
    stream_of(RunningPipeline(stack, shop)).stop()
    loaded = kept.run("load", "shop", "--operations", "50")

    behind = kept.run("parity", "shop", "--timeout", "3s", "--json")

    stream_of(RunningPipeline(stack, shop)).submit()
    caught_up = kept.run("parity", "shop", timeout_s=450)
    tables = json.loads(behind.stdout)["tables"]
    assert loaded.returncode == 0, loaded.stderr
    assert behind.returncode == 1
    assert {verdict for table in tables.values() for verdict in table["verdicts"]} == {"LAG"}
    assert caught_up.returncode == 0, caught_up.stdout + caught_up.stderr


@pytest.mark.timeout(180)
def test_a_table_that_the_pipeline_has_not_is_refused(kept: Kept) -> None:
    refused = kept.run("parity", "shop", "--table", "nothing")

    assert refused.returncode == 2
    assert "known:     customers, orders, order_items" in refused.stderr
