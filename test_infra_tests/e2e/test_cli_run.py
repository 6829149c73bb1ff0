"""`run --keep`, then `load`, `parity`, `lag`, `report` on the stack that was kept; a stream that is stopped is LAG."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from test_infra.cdc.pipeline import PipelineSpec
from test_infra.cdc.stream import control
from test_infra.stack import Stack, attach
from test_infra_tests.e2e.shell import Shell


@pytest.fixture(scope="module")
def kept(shell: Shell) -> Shell:
    """The stack of a green smoke run."""
    ran = shell.run("run", "smoke", "--keep", "--ttl", "15m", timeout_s=280)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "GREEN  smoke" in ran.stdout
    return shell


@pytest.fixture
def stack(kept: Shell, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("TEST_INFRA_HOME", str(kept.home))
    return attach(kept.stack)


@pytest.fixture
def shop(kept: Shell) -> PipelineSpec:
    record = kept.home / "stacks" / kept.stack / "pipelines" / "shop.json"
    return PipelineSpec.model_validate_json(record.read_bytes())


def report_folder(shell: Shell) -> Path:
    (folder,) = (shell.home / "runs").iterdir()
    return folder


@pytest.mark.timeout(400)
def test_a_green_run_leaves_its_report(kept: Shell) -> None:
    folder = report_folder(kept)

    again = kept.run("report", "latest", "--json")

    result = json.loads(again.stdout)
    assert again.returncode == 0
    assert result["green"]
    assert {gate["outcome"] for gate in result["gates"]} == {"PASSED"}
    assert ET.parse(folder / "junit.xml").getroot().find("testsuite").get("failures") == "0"
    assert "<script" not in (folder / "report.html").read_text()


@pytest.mark.timeout(200)
def test_load_then_parity_then_lag(kept: Shell) -> None:
    loaded = kept.run("load", "shop", "--operations", "300")
    compared, measured = kept.run("parity", "shop", "--json"), kept.run("lag", "shop", "--json")

    assert loaded.returncode == 0, loaded.stderr
    assert "operations committed" in loaded.stderr
    assert compared.returncode == 0, compared.stdout
    assert set(json.loads(compared.stdout)["tables"]) == {"customers", "orders", "order_items"}
    assert json.loads(compared.stdout)["green"]
    assert json.loads(measured.stdout)["tables"]["orders"]["numbers"]["commit_to_mirror_p95_s"] > 0


@pytest.mark.timeout(300)
def test_a_stopped_stream_is_lag_and_never_missing(kept: Shell, stack: Stack, shop: PipelineSpec) -> None:
    control.stop(stack, shop)
    loaded = kept.run("load", "shop", "--operations", "50")

    behind = kept.run("parity", "shop", "--timeout", "3s", "--json")

    control.submit(stack, shop)
    caught_up = kept.run("parity", "shop", timeout_s=150)
    tables = json.loads(behind.stdout)["tables"]
    assert loaded.returncode == 0, loaded.stderr
    assert behind.returncode == 1
    assert {verdict for table in tables.values() for verdict in table["verdicts"]} == {"LAG"}
    assert caught_up.returncode == 0, caught_up.stdout + caught_up.stderr


@pytest.mark.timeout(60)
def test_a_table_that_the_pipeline_has_not_is_refused(kept: Shell) -> None:
    refused = kept.run("parity", "shop", "--table", "nothing")

    assert refused.returncode == 2
    assert "known:     customers, orders, order_items" in refused.stderr
