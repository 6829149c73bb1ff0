"""Every gate of the loaded definitions: its failure, its exception and its absence each fail the run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from test_infra.definitions import defs
from test_infra.resources.stack import StackResource
from test_infra.verdict import evidence
from test_infra.verdict.evidence import Finding, Outcome, read
from test_infra.verdict.report import verdict_on
from test_infra.verdict.result import MISSING
from test_infra.verdict.run import run_dir

GATES = {"parity", "lag", "witness", "offsets", "quarantine", "stream", "connector", "continuity", "load"}
GATES |= {"service_stability", "suite"}
"""Every kind of gate: what follows would prove nothing of one that the definitions had lost."""
PASSED = Finding(outcome=Outcome.PASSED, summary="planted")
FAILED = Finding(outcome=Outcome.FAILED, summary="planted", verdicts=("VALUE",))


class NoStack(StackResource):
    """A stack that is there in name only: the planted judges do not look at it."""

    def attach(self) -> Any:
        return SimpleNamespace(endpoints={})


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    loaded = defs()
    keys = sorted(loaded.resolve_asset_graph().asset_check_keys)
    return dg.Definitions(
        assets=loaded.assets,
        asset_checks=loaded.asset_checks,
        resources={"stack": NoStack(stack_id="s1")},
        jobs=[
            *(
                dg.define_asset_job(f"gate_{place}", selection=dg.AssetSelection.checks(key))
                for place, key in enumerate(keys)
            ),
            dg.define_asset_job(
                "all_gates",
                selection=dg.AssetSelection.checks(*keys) | dg.AssetSelection.assets("verdict"),
                executor_def=dg.in_process_executor,
            ),
        ],
    )


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path))


def plant(monkeypatch: pytest.MonkeyPatch, found: Finding | Exception | None) -> None:
    """Put a judge that finds this behind every gate."""

    def judge(gate: Any, scene: Any, subjects: Sequence[str]) -> Mapping[str, Finding]:
        if isinstance(found, Exception):
            raise found
        return {} if found is None else dict.fromkeys(subjects, found)

    monkeypatch.setattr("test_infra.gates.gate.judge", judge)


def jobs_of_one_gate(definitions: dg.Definitions) -> list[dg.JobDefinition]:
    keys = definitions.resolve_asset_graph().asset_check_keys
    assert {key.name for key in keys} == GATES
    return [definitions.resolve_job_def(f"gate_{place}") for place in range(len(keys))]


@pytest.mark.parametrize(
    ("found", "outcome"),
    [(FAILED, Outcome.FAILED), (OSError("planted"), Outcome.UNKNOWN), (None, Outcome.UNKNOWN)],
    ids=["failure", "exception", "absence"],
)
def test_every_gate_fails_the_run_and_keeps_its_evaluation(
    definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch, found: Finding | Exception | None, outcome: Outcome
) -> None:
    plant(monkeypatch, found)
    for job in jobs_of_one_gate(definitions):
        result = job.execute_in_process(raise_on_error=False)
        assert not result.success, job.name
        assert [event.passed for event in result.get_asset_check_evaluations()] == [False], job.name
        assert [item.outcome for item in read(run_dir(result.run_id))] == [outcome], job.name


def test_every_gate_can_pass(definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, PASSED)
    for job in jobs_of_one_gate(definitions):
        assert job.execute_in_process(raise_on_error=False).success, job.name


def test_all_gates_look_although_all_fail_and_the_verdict_comes_last(
    definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, FAILED)
    job = definitions.resolve_job_def("all_gates")
    result = job.execute_in_process(raise_on_error=False)
    assert not result.success
    assert len(result.get_asset_check_evaluations()) == len(definitions.resolve_asset_graph().asset_check_keys)
    started = [event.step_key for event in result.all_events if event.event_type_value == "STEP_START"]
    assert started[-1] == "verdict"
    assert result.filter_events(lambda event: event.step_key == "verdict" and event.is_step_failure)


def test_a_gate_whose_evaluation_is_missing_turns_the_verdict_red(
    definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, PASSED)
    result = definitions.resolve_job_def("all_gates").execute_in_process()
    folder = run_dir(result.run_id)
    assert verdict_on(folder).exit_code == 0
    for path in sorted((folder / "evidence").iterdir()):
        kept = path.read_text()
        path.unlink()
        verdict = verdict_on(folder)
        assert verdict.exit_code == 1
        assert [gate.outcome for gate in verdict.gates if not gate.passed] == [MISSING]
        path.write_text(kept)


def test_a_run_without_one_of_the_jobs_gates_is_red(
    definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its step left nothing behind, which Dagster alone would call a success."""
    plant(monkeypatch, PASSED)
    keep = evidence.write

    def forget_lag(folder: Path, item: evidence.Evidence) -> None:
        if item.gate != "lag":
            keep(folder, item)

    monkeypatch.setattr(evidence, "write", forget_lag)
    result = definitions.resolve_job_def("all_gates").execute_in_process(raise_on_error=False)
    assert not result.success
    failed = [event.step_key for event in result.all_events if event.is_step_failure]
    assert failed == ["verdict"]
