"""The whole run with every service and the stream in containers: the same command, the same gates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread

import pytest

from test_infra.definitions import defs
from test_infra.resources.run_folder import expected_gates
from test_infra.runtime.docker_engine import PROCESS_LABEL, STACK_LABEL, engine
from test_infra_tests.e2e.shell import Shell


@contextmanager
def containers_seen(tag: str) -> Iterator[set[str]]:
    """Names of the processes that ran in containers of a stack during the block."""
    seen: set[str] = set()
    over = Event()

    def look() -> None:
        with closing(engine()) as client:
            while not over.wait(1.0):
                found = client.containers.list(filters={"label": f"{STACK_LABEL}={tag}"}, ignore_removed=True)
                seen.update(one.labels[PROCESS_LABEL].partition("-")[0] for one in found)

    looking = Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


@pytest.mark.ci(reason="whole runs by other ways than test-infra run")
def test_the_e2e_run_is_green_in_containers_and_leaves_nothing(docker_image: str, shell: Shell) -> None:
    tag = f"{shell.stack}@{shell.home}"
    with containers_seen(tag) as seen:
        ran = shell.run("run", "e2e", "--backend", "docker", "--json", timeout_s=800)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert seen >= {"postgres", "kafka", "connect", "spark"}
    verdict = json.loads(ran.stdout)
    assert verdict["exit_code"] == 0
    judged = [f"{gate['asset']}:{gate['gate']}" for gate in verdict["gates"]]
    assert sorted(judged) == expected_gates(defs().resolve_job_def("e2e"))
    wanted = {"label": f"{STACK_LABEL}={tag}"}
    with closing(engine()) as client:
        assert not client.containers.list(all=True, filters=wanted)
        assert not client.networks.list(filters=wanted)


def test_reap_finds_containers_of_a_stack_whose_folder_is_gone(docker_image: str, shell: Shell) -> None:
    with closing(engine()) as client:
        labels = {STACK_LABEL: f"gone@{shell.home}", "test_infra.home": str(shell.home), PROCESS_LABEL: "postgres"}
        client.containers.create(docker_image, ["python3", "-c", ""], labels=labels)
        reaped = shell.run("reap")
        assert "stack gone: 1 containers removed" in reaped.stderr + reaped.stdout
        assert not client.containers.list(all=True, filters={"label": f"{STACK_LABEL}={labels[STACK_LABEL]}"})
