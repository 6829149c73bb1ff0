"""The same Dagster jobs by Dagster's own ways: `dagster job execute`, the UI over GraphQL, the schedule's tick."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import test_infra
from test_infra.base.deadline import Deadline, StillWaiting, wait_for

PROJECT = Path(test_infra.__file__).parent.parent
CLI = [sys.executable, "-c", "from test_infra.cli import main; main()"]
STACK = "dagster-ways"
SELECTOR = {"repositoryLocationName": "test_infra", "repositoryName": "__repository__"}
TICK = """
mutation ($selector: ScheduleSelector!, $at: Float) {
  scheduleDryRun(selectorData: $selector, timestamp: $at) {
    __typename
    ... on DryRunInstigationTick {
      evaluationResult { error { message } runRequests { runConfigYaml tags { key value } } }
    }
  }
}"""
LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
WHY = """
query ($id: ID!) {
  logsForRun(runId: $id, limit: 100000) {
    ... on EventConnection {
      events {
        ... on ExecutionStepFailureEvent { stepKey error { message cause { message } } }
        ... on RunFailureEvent { message error { message } }
        ... on AssetCheckEvaluationEvent { evaluation { checkName success description } }
      }
    }
  }
}"""
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A home of its own; its stacks end with the test."""
    settings = tmp_path / "dagster" / "dagster.yaml"
    settings.parent.mkdir()
    settings.write_text((PROJECT / "docker" / "dagster.yaml").read_text())
    variables = {
        **os.environ,
        "TEST_INFRA_HOME": str(tmp_path / "home"),
        "TEST_INFRA_STACK": STACK,
        "DAGSTER_HOME": str(settings.parent),
        "PYTHONPATH": str(PROJECT),
    }
    yield variables
    stacks = tmp_path / "home" / "stacks"
    for stack in sorted(stacks.iterdir()) if stacks.is_dir() else ():
        subprocess.run([*CLI, "down"], env={**variables, "TEST_INFRA_STACK": stack.name}, timeout=60, check=False)


def execute(job: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "dagster", "job", "execute", "-m", "test_infra.definitions", "-j", job]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=280, check=False
    )


def result_of(environment: dict[str, str], run_id: str) -> dict[str, Any]:
    path = Path(environment["TEST_INFRA_HOME"]) / "runs" / run_id / "result.json"
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def newest_run(environment: dict[str, str]) -> str:
    runs = Path(environment["TEST_INFRA_HOME"]) / "runs"
    return max(runs.iterdir(), key=lambda path: path.stat().st_mtime).name


def status(environment: dict[str, str], stack: str = STACK) -> dict[str, Any]:
    shown = subprocess.run(
        [*CLI, "status", "--json"],
        env={**environment, "TEST_INFRA_STACK": stack},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    answer: dict[str, Any] = json.loads(shown.stdout or "{}")
    return answer


@pytest.mark.ci(reason="whole runs by other ways than test-infra run")
@pytest.mark.timeout(600)
def test_job_execute_leaves_the_stack_up_until_its_expiry(environment: dict[str, str]) -> None:
    done = execute("smoke", environment)
    assert done.returncode == 0, done.stderr[-4_000:]
    assert result_of(environment, newest_run(environment))["green"]
    assert status(environment)["running"]
    again = execute("parity", environment)
    assert again.returncode == 0, again.stderr[-4_000:]


@pytest.mark.ci(reason="whole runs by other ways than test-infra run")
@pytest.mark.timeout(900)
def test_the_nightlys_tick_launched_from_the_ui(environment: dict[str, str], tmp_path: Path) -> None:
    with dagster_dev(environment, tmp_path) as ask:
        ticked = ask(TICK, selector={**SELECTOR, "scheduleName": "nightly_e2e"}, at=1_795_230_000.0)["scheduleDryRun"]
        [request] = ticked["evaluationResult"]["runRequests"]
        tags = {tag["key"]: tag["value"] for tag in request["tags"]}
        stack = tags["test_infra/nightly"]
        launched = ask(
            LAUNCH,
            params={
                "selector": {**SELECTOR, "jobName": "e2e"},
                "runConfigData": request["runConfigYaml"],
                "executionMetadata": {"tags": request["tags"]},
                "mode": "default",
            },
        )["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]

        def ended() -> str:
            seen = str(ask(STATUS, id=run_id)["runOrError"]["status"])
            if seen not in ENDED:
                raise StillWaiting(f"it is {seen}")
            return seen

        end = wait_for(ended, Deadline(420), what=f"run {run_id}", awaited="its end", interval_s=1)
        assert end == "SUCCESS", ask(WHY, id=run_id)
        assert result_of(environment, run_id)["green"]

        def reported() -> None:
            record = json.loads((tmp_path / "home" / "runs" / run_id / "run.json").read_text())
            if record["succeeded"] is None:
                raise StillWaiting("the sensor has not completed the record")

        wait_for(reported, Deadline(120), what="the report", awaited="the success sensor", interval_s=1)

        def gone() -> None:
            if status(environment, stack).get("running"):
                raise StillWaiting("it runs")

        wait_for(gone, Deadline(120), what=f"stack {stack}", awaited="its end by the nightly's sensor", interval_s=1)


class dagster_dev:  # noqa: N801 - used as a context manager
    """`test-infra dev` for the time of a block; gives a function that asks its GraphQL."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._environment, self._log = environment, folder / "dev.log"

    def __enter__(self) -> Any:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*CLI, "dev", "--port", str(self._port)],
                cwd=PROJECT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(
            lambda: self.ask("{ version }"),
            Deadline(120),
            what="the UI",
            awaited="an answer",
            not_yet=(OSError,),
            log=self._log,
            interval_s=0.5,
        )
        return self.ask

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            body = json.loads(answer.read())
        assert "errors" not in body, body
        data: dict[str, Any] = body["data"]
        return data
