"""What a container is told, without an engine; and the lock by which its first process knows that it may live."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from test_infra.base.backend import BACKEND_VARIABLE, Backend
from test_infra.base.errors import UsageError
from test_infra.runtime import run_child
from test_infra.runtime.container import ContainerDefaults, ContainerFiles, ContainerSpec, container_of
from test_infra.runtime.image import IMAGE_VARIABLE, PYTHON, image_name, source_digest
from test_infra.runtime.process import ProcessSpec
from test_infra.stack import StackSpec
from test_infra.stack.containers import with_backend
from test_infra.stack.endpoint import Address, Endpoint
from test_infra.stack.serve import Served
from test_infra.stack.services.kafka import server_properties

DEFAULTS = ContainerDefaults(
    image="ours:1", network="ti-x", labels={"stack": "x"}, user=(1234, 1234), folders=(Path("/lake"),)
)


def container(spec: ProcessSpec, folder: Path) -> ContainerSpec:
    return container_of(spec, DEFAULTS, ContainerFiles(folder, spec.name))


def test_a_job_gets_the_images_python_and_nothing_that_describes_this_machine(tmp_path: Path) -> None:
    environment = {"PATH": "/here", "JAVA_HOME": "/here", "PYTHONPATH": "/here", "XDG_CACHE_HOME": "/here", "MINE": "1"}
    spec = ProcessSpec(
        name="job", argv=(sys.executable, "-m", "this"), env=environment, cwd=Path("/job"), log_path=Path("/log")
    )
    made = container(spec, tmp_path)
    assert made.argv == (PYTHON, "-m", "this")
    assert made.env == {"MINE": "1"}
    assert made.user == "1234:1234"
    assert {str(mount.target) for mount in made.mounts if not mount.read_only} == {"/job", "/lake"}


def test_a_process_that_names_its_folders_sees_no_others(tmp_path: Path) -> None:
    spec = ProcessSpec(
        name="kafka", argv=("java",), cwd=Path("/data"), log_path=Path("/log"),
        writes=(Path("/data"),), reads=(Path("/secret"),),
    )  # fmt: skip
    seen = {str(mount.source): mount.read_only for mount in container(spec, tmp_path).mounts}
    assert {path: read_only for path, read_only in seen.items() if not path.startswith(str(tmp_path))} == {
        "/data": False,
        "/secret": True,
    }


def test_the_environment_names_backend_and_image(monkeypatch: pytest.MonkeyPatch) -> None:
    assert with_backend(StackSpec()) == StackSpec()
    monkeypatch.setenv(BACKEND_VARIABLE, "docker")
    chosen = with_backend(StackSpec())
    assert (chosen.backend, chosen.image) == (Backend.DOCKER, f"test-infra:{source_digest()}")
    monkeypatch.setenv(IMAGE_VARIABLE, "other:1")
    assert image_name() == "other:1"
    monkeypatch.setenv(BACKEND_VARIABLE, "podman")
    with pytest.raises(UsageError, match=BACKEND_VARIABLE):
        with_backend(StackSpec())


def test_an_endpoint_has_an_address_for_either_side() -> None:
    outside = Endpoint(service="kafka", host="127.0.0.1", port=4000, url="127.0.0.1:4000")
    assert outside.inside is outside
    both = outside.model_copy(update={"container": Address(host="kafka", port=29092, url="kafka:29092")})
    assert (both.url, both.inside.url, both.inside.inside.url) == ("127.0.0.1:4000", "kafka:29092", "kafka:29092")


def test_a_broker_in_a_container_sends_each_side_to_its_own_address(tmp_path: Path) -> None:
    served = Served(
        spec=StackSpec(), service="kafka", stack_id="x", config=tmp_path, data=tmp_path, secrets=tmp_path,
        ports={"client": 4000, "controller": 4001},
    )  # fmt: skip
    properties = server_properties(served.place())
    assert properties["advertised.listeners"] == "PLAINTEXT://127.0.0.1:4000,INSIDE://kafka:29092"
    assert "CONTROLLER://127.0.0.1:4001" in str(properties["listeners"])


def test_a_command_ends_when_nobody_holds_its_lock(tmp_path: Path) -> None:
    lock_path = tmp_path / "lock"
    lock_path.touch()
    with lock_path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = [sys.executable, "-I", run_child.__file__, "-", "--while-locked", str(lock_path), "--", "sleep", "60"]
        process = subprocess.Popen(command)
        time.sleep(0.6)
        assert process.poll() is None
    assert process.wait(10) == 128 + signal.SIGKILL


def test_a_command_whose_lock_is_free_already_ends_at_once(tmp_path: Path) -> None:
    lock_path = tmp_path / "lock"
    lock_path.touch()
    command = [sys.executable, "-I", run_child.__file__, "-", "--while-locked", str(lock_path), "--", "sleep", "60"]
    assert subprocess.run(command, timeout=20).returncode == 128 + signal.SIGKILL
