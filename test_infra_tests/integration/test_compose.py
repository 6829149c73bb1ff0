"""docker/compose.yaml: written from the specs, current, and it comes up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_infra.runtime.docker_engine import engine
from test_infra.runtime.image import IMAGE_VARIABLE
from test_infra.stack.compose import compose
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.services.connect import worker_answers
from test_infra.stack.services.kafka import broker_answers
from test_infra.stack.spec import StackSpec

FILE = Path(__file__).parents[2] / "docker" / "compose.yaml"
PROJECT = "ti-compose-test"


def compose_command() -> list[str] | None:
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    old = shutil.which("docker-compose")
    return [old] if old else None


@pytest.fixture(scope="module")
def project(docker_image: str) -> Iterator[list[str]]:
    command = compose_command()
    if command is None:
        pytest.skip("docker: there is neither `docker compose` nor docker-compose")
    environment = {**os.environ, IMAGE_VARIABLE: docker_image, "COMPOSE_HTTP_TIMEOUT": "200"}
    arguments = [*command, "--project-name", PROJECT, "--file", str(FILE)]

    def run(*verb: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*arguments, *verb], env=environment, capture_output=True, text=True, timeout=250)

    try:
        brought_up = run("up", "--detach")
        assert brought_up.returncode == 0, brought_up.stderr + run("logs", "--tail", "30").stdout
        yield arguments
    finally:
        run("down", "--volumes", "--timeout", "3")


def test_it_is_what_the_specs_say() -> None:
    assert FILE.read_text() == compose(StackSpec()), "make compose"


@pytest.mark.ci(reason="Compose and testcontainers bring our image up")
def test_it_comes_up_healthy_and_answers_from_outside(project: list[str]) -> None:
    # Connect starts when the others are healthy; the same probes as everywhere ask from outside.
    from test_infra.base.deadline import Deadline, wait_for

    worker = Endpoint(service="connect", host="127.0.0.1", port=35435, url="http://127.0.0.1:35435")
    assert "Debezium" in wait_for(lambda: worker_answers(worker), Deadline(90), what="connect", awaited="an answer")
    broker_answers(Endpoint(service="kafka", host="127.0.0.1", port=35433, url="127.0.0.1:35433"))
    client = engine()
    label = {"label": f"com.docker.compose.project={PROJECT}"}
    health = {
        one.labels["com.docker.compose.service"]: one.attrs["State"] for one in client.containers.list(filters=label)
    }
    client.close()
    assert set(health) == {"postgres", "kafka", "connect"}
    assert health["postgres"]["Health"]["Status"] == health["kafka"]["Health"]["Status"] == "healthy", json.dumps(
        health
    )
