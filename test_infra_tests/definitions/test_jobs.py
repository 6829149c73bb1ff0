"""Dagster jobs, the schedule and the sensors."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from test_infra.definitions import defs
from test_infra.resources.run_folder import expected_gates
from test_infra.verdict.run import RunRecord, begin, run_dir


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return defs()


def gates(definitions: dg.Definitions, job: str) -> set[str]:
    return set(expected_gates(definitions.resolve_job_def(job)))


def test_e2e_has_every_gate(definitions: dg.Definitions) -> None:
    everything = {
        f"{key.asset_key.to_user_string()}:{key.name}" for key in definitions.resolve_asset_graph().asset_check_keys
    }
    own = {gate for gate in everything if gate.startswith("types/")}
    assert gates(definitions, "e2e") == everything - own
    tables = ("customers", "orders", "order_items")
    assert everything >= {f"shop/mirror/{table}:{gate}" for table in tables for gate in ("parity", "lag", "witness")}
    assert everything >= {f"shop/changes/{table}:offsets" for table in tables}
    assert everything >= {f"stack/{name}:service_stability" for name in ("postgres", "kafka", "connect")}
    assert everything >= {
        "shop/stream:quarantine",
        "shop/stream:stream",
        "shop/connector:connector",
        "suites/cdc_e2e:suite",
    }


def test_smoke_is_e2e_without_suites_and_with_a_small_load(definitions: dg.Definitions) -> None:
    assert gates(definitions, "e2e") - gates(definitions, "smoke") == {"suites/cdc_e2e:suite"}
    smoke = definitions.resolve_job_def("smoke")
    assert smoke.run_config == {"ops": {"shop__load": {"config": {"operations": 1_000}}}}


def test_a_pipeline_with_a_job_of_its_own_is_in_no_other(definitions: dg.Definitions) -> None:
    services = {f"stack/{name}:service_stability" for name in ("postgres", "kafka", "connect")}
    names = ("types", "derived")
    tables = {f"types/mirror/{table}:{gate}" for gate in ("parity", "lag", "witness") for table in names}
    tables |= {f"types/changes/{table}:offsets" for table in names}
    others = {
        "types/stream:quarantine",
        "types/stream:stream",
        "types/connector:connector",
        "types/connector:continuity",
        "types/load:load",
    }
    assert gates(definitions, "types") == services | tables | others
    assert not any(gate.startswith("types/") for job in ("e2e", "smoke", "parity") for gate in gates(definitions, job))


def test_parity_makes_nothing_but_the_verdict(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("parity")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {"verdict"}
    assert gates(definitions, "parity") == {
        gate
        for gate in gates(definitions, "e2e")
        if not gate.startswith(("stack/", "suites/")) and not gate.endswith("/load:load")
    }


def test_steps_run_in_process(definitions: dg.Definitions) -> None:
    for name in ("e2e", "smoke", "parity"):
        assert definitions.resolve_job_def(name).executor_def is dg.in_process_executor


def test_nightly_is_explicit_about_time_zone_and_status(definitions: dg.Definitions) -> None:
    nightly = definitions.resolve_schedule_def("nightly_e2e")
    assert nightly.execution_timezone == "UTC"
    assert nightly.default_status is dg.DefaultScheduleStatus.STOPPED
    assert nightly.job_name == "e2e"


def test_the_tick_asks_for_a_stack_of_its_own_that_ends_by_itself(definitions: dg.Definitions) -> None:
    nightly = definitions.resolve_schedule_def("nightly_e2e")
    with dg.DagsterInstance.ephemeral() as instance:
        tick = nightly.evaluate_tick(dg.build_schedule_context(instance=instance))
    [request] = tick.run_requests or []
    stack = request.run_config["resources"]["stack"]["config"]
    assert stack["stack_id"].endswith("-nightly")
    assert stack["ttl_s"] > 0
    assert request.tags["test_infra/nightly"] == stack["stack_id"]
    job = definitions.resolve_job_def("e2e")
    assert dg.validate_run_config(job, request.run_config)


@pytest.mark.parametrize("name", ["report_on_success", "report_on_failure", "end_nightly_stack"])
def test_sensors_are_on(definitions: dg.Definitions, name: str) -> None:
    assert definitions.resolve_sensor_def(name).default_status is dg.DefaultSensorStatus.RUNNING


def failed_run(
    instance: dg.DagsterInstance, job: str = "e2e", tags: dict[str, str] | None = None
) -> dg.ExecuteInProcessResult:
    """A run that failed before any step of ours began."""

    @dg.op
    def connector() -> None:
        raise RuntimeError("password=hunter2 refused")

    @dg.job(name=job, tags=tags)
    def failing() -> None:
        connector()

    return failing.execute_in_process(instance=instance, raise_on_error=False)


def reported(definitions: dg.Definitions, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> bool:
    """Whether the sensor writes a report of this run."""
    context = dg.build_run_status_sensor_context(
        "report_on_failure",
        result.get_run_failure_event(),
        instance,
        result.dagster_run,
        repository_def=definitions.get_repository_def(),
    ).for_run_failure()
    definitions.resolve_sensor_def("report_on_failure")(context)
    return (run_dir(result.run_id) / "report.html").exists()


OURS = {"test_infra/project": "test_infra.defs"}


def test_failure_sensor_reports_a_run_that_left_nothing(
    definitions: dg.Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        result = failed_run(instance, tags=OURS)
        assert reported(definitions, instance, result)
    folder = tmp_path / "runs" / result.run_id
    page = (folder / "report.html").read_text()
    assert "connector" in page
    assert "hunter2" not in page
    assert (folder / "junit.xml").is_file()
    assert '"exit_code": 1' in (folder / "result.json").read_text()


@pytest.mark.parametrize(
    ("job", "tags", "is_reported"),
    [
        ("e2e", OURS, True),
        ("types", OURS, True),  # the job of a pipeline with own_job
        ("e2e", None, False),
        ("e2e", {"test_infra/project": "theirs.defs"}, False),
        ("nightly_sales", OURS, False),
        ("__ASSET_JOB", None, False),
    ],
)
def test_sensors_report_every_job_of_the_project_and_no_foreign_one(
    definitions: dg.Definitions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    tags: dict[str, str] | None,
    is_reported: bool,
) -> None:
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        assert reported(definitions, instance, failed_run(instance, job, tags)) is is_reported


def test_a_job_that_the_project_defines_itself_is_reported_when_a_step_of_ours_ran(
    definitions: dg.Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path))
    with_own = dg.Definitions.merge(definitions, dg.Definitions(jobs=[dg.define_asset_job("weekly", selection="*")]))
    with dg.DagsterInstance.ephemeral() as instance:
        ours, foreign = failed_run(instance, "weekly"), failed_run(instance, "weekly")
        begin(run_dir(ours.run_id), RunRecord(run_id=ours.run_id, job="weekly", started_at=datetime.now(UTC)))
        assert reported(with_own, instance, ours)
        assert not reported(with_own, instance, foreign)


def test_every_job_of_the_project_names_it_in_its_runs(definitions: dg.Definitions) -> None:
    for name in ("e2e", "smoke", "parity", "types"):
        assert definitions.resolve_job_def(name).tags["test_infra/project"] == "test_infra.defs"


def test_the_nightly_stack_ends_once_and_only_the_nightlys(
    definitions: dg.Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path))
    ended: list[str | None] = []
    monkeypatch.setattr("test_infra.stack.down", lambda stack_id=None: ended.append(stack_id) or True)
    sensor = definitions.resolve_sensor_def("end_nightly_stack")
    with dg.DagsterInstance.ephemeral() as instance:
        failed_run(instance)
        failed_run(instance, tags={"test_infra/nightly": "abc-nightly"})
        first = sensor.evaluate_tick(dg.build_sensor_context(instance))
        assert ended == ["abc-nightly"]
        sensor.evaluate_tick(dg.build_sensor_context(instance, cursor=first.cursor))
    assert ended == ["abc-nightly"]
