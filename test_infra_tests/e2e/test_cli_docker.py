"""The whole run with every service and the stream in containers: the same command, the same gates, no secret told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from test_infra.cdc.stream.control import CAPTURE_PASSWORD
from test_infra.cdc.stream.follow import DOCUMENT
from test_infra.definitions import defs
from test_infra.resources.run_folder import expected_gates
from test_infra.runtime.docker_engine import PROCESS_LABEL, STACK_LABEL, engine
from test_infra_tests.e2e import canary
from test_infra_tests.e2e.shell import Shell

if TYPE_CHECKING:
    from docker.models.containers import Container


@dataclass
class Seen:
    """What was seen of a stack's containers while it ran.

    Args:
        names: of the processes in them.
        password: of the capture role, as the driver's container has it.
        rights: mode and owner of the password's file, and the user of the driver's container.
        followed: whether the driver wrote down what it learned from the source's catalogue.
        told: what the engine tells of the driver's container, and what that printed.
    """

    names: set[str] = field(default_factory=set)
    password: str = ""
    rights: set[tuple[int, int, int]] = field(default_factory=set)
    followed: bool = False
    told: dict[str, bytes] = field(default_factory=dict)

    def look(self, container: Container, folder: Path) -> None:
        """Look at one container of the stack in a folder."""
        name = container.labels[PROCESS_LABEL].partition("-")[0]
        self.names.add(name)
        self.followed |= any(folder.glob(f"lake/*/{DOCUMENT}"))
        secrets = list(folder.glob(f"pipelines/secrets/*.{CAPTURE_PASSWORD}"))
        if name != "spark" or not secrets:
            return
        (path,) = secrets
        read = container.exec_run(["cat", str(path)])
        if read.exit_code == 0:
            found, user = path.stat(), container.attrs["Config"]["User"]
            self.password = read.output.decode()
            self.rights.add((found.st_mode & 0o777, found.st_uid, int(user.partition(":")[0])))
            self.told[f"inspect {container.name}"] = json.dumps(container.attrs).encode()
            self.told[f"logs {container.name}"] = container.logs()


@contextmanager
def containers_seen(tag: str, folder: Path) -> Iterator[Seen]:
    """What is seen of a stack's containers during the block."""
    from docker.errors import APIError

    seen = Seen()
    over = Event()

    def look() -> None:
        with closing(engine()) as client:
            while not over.wait(1.0):
                for one in client.containers.list(filters={"label": f"{STACK_LABEL}={tag}"}, ignore_removed=True):
                    with suppress(APIError, FileNotFoundError):  # it ended meanwhile
                        seen.look(one, folder)

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
    with containers_seen(tag, shell.home / "stacks" / shell.stack) as seen:
        ran = shell.run("run", "e2e", "--backend", "docker", "--json", timeout_s=800)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert seen.names >= {"postgres", "kafka", "connect", "spark"}
    assert seen.followed
    ((mode, owner, user),) = seen.rights
    assert (mode, owner) == (0o600, user)
    said = [*seen.told.items(), ("run", ran.stdout.encode() + ran.stderr.encode())]
    left = [*canary.files(shell.home), *canary.databases(shell.home)]
    assert seen.password
    assert canary.leaks({CAPTURE_PASSWORD: seen.password}, iter([*said, *left])) == []
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
