"""What `dagster job execute` answers to a gate: the shell must see it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import test_infra

PROJECT = Path(test_infra.__file__).parent.parent
MORE_RED_RUNS = pytest.mark.ci(reason="more red runs of dagster job execute")
DEFINITIONS = """
from types import SimpleNamespace
from typing import Any

import dagster as dg

from test_infra.assets.verdict import verdict_asset
from test_infra.gates.gate import Gate, gate
from test_infra.resources.stack import StackResource
from test_infra.verdict.evidence import Finding, Outcome


class NoStack(StackResource):
    def attach(self) -> Any:
        return SimpleNamespace(endpoints={})


@dg.asset
def table() -> None: ...


@dg.asset(deps=[table])
def downstream() -> None:
    print("downstream ran")


def passes(scene, subjects):
    return {subject: Finding(outcome=Outcome.PASSED, summary="equal") for subject in subjects}


def fails(scene, subjects):
    return {subject: Finding(outcome=Outcome.FAILED, summary="1 row differs") for subject in subjects}


def raises(scene, subjects):
    raise OSError("no route to the lake")


def silent(scene, subjects):
    return {}


def checks(judge):
    key = table.key
    return [
        gate(Gate("first", "first_gate", "the gate under test", {"table": key}, judge)),
        gate(Gate("second", "second_gate", "its sibling", {"table": key}, passes)),
    ]


def project(judge):
    return dg.Definitions(
        assets=[table, downstream, verdict_asset([table.key])],
        asset_checks=checks(judge),
        jobs=[dg.define_asset_job("gated")],
        resources={"stack": NoStack(stack_id="s1")},
        executor=dg.in_process_executor,
    )
"""


@pytest.mark.parametrize(
    ("judge", "exit_code"),
    [
        ("passes", 0),
        ("fails", 1),
        pytest.param("raises", 1, marks=MORE_RED_RUNS),
        pytest.param("silent", 1, marks=MORE_RED_RUNS),
    ],
    ids=["green", "red", "raised", "silent"],
)
def test_exit_code_of_a_gated_job(tmp_path: Path, judge: str, exit_code: int) -> None:
    (tmp_path / "gated.py").write_text(f"{DEFINITIONS}\n\ndefs = project({judge})\n")
    done, runs = execute(tmp_path)
    assert done.returncode == exit_code, done.stderr
    assert "downstream ran" in done.stdout
    [run] = runs
    evidence = {path.name.rpartition(".")[0].split(".")[0] for path in (run / "evidence").iterdir()}
    assert evidence == {"table_3Afirst", "table_3Asecond"}
    assert (run / "report.html").is_file()


def test_a_gate_that_leaves_no_evidence_fails_the_job(tmp_path: Path) -> None:
    forget = "from test_infra.verdict import evidence\nkeep = evidence.write\n"
    forget += "evidence.write = lambda folder, item: keep(folder, item) if item.gate != 'first' else None\n"
    (tmp_path / "gated.py").write_text(f"{DEFINITIONS}\n\n{forget}\ndefs = project(passes)\n")
    done, [run] = execute(tmp_path)
    assert done.returncode == 1
    assert '"MISSING EVALUATION": 1' in (run / "result.json").read_text()


def execute(folder: Path) -> "tuple[subprocess.CompletedProcess[str], list[Path]]":
    dagster_home = folder / "dagster"
    dagster_home.mkdir()
    (dagster_home / "dagster.yaml").write_text((PROJECT / "docker" / "dagster.yaml").read_text())
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(dagster_home),
        "TEST_INFRA_HOME": str(folder / "home"),
        "PYTHONPATH": str(PROJECT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "job", "execute", "-f", "gated.py", "-j", "gated"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done, list((folder / "home" / "runs").iterdir())
