"""A backend that nobody has heard of runs a stack's services and drivers: the seam takes a third one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from test_infra.base.backend import BACKEND_VARIABLE, Backend
from test_infra.base.deadline import Deadline
from test_infra.base.errors import UsageError
from test_infra.runtime import factory
from test_infra.runtime.factory import Readiness, backend_names, backend_of, client_variables
from test_infra.runtime.local import UnknownProcess
from test_infra.runtime.process import ProcessSpec, ProcessState
from test_infra.spark.gateway.backend import Attempt
from test_infra.spark.gateway.processes import ProcessBackend
from test_infra.spark.job.spec import JobSpec
from test_infra.stack import Stack, StackFolders, StackSpec, registry
from test_infra.stack.containers import with_backend
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.ensure import ensure_services
from test_infra.stack.record import ProcessId, StackRecord, read_record
from test_infra.stack.service import Command, ServicePlace, ServiceSpec


class ElsewhereRuntime:
    """Takes note of what it is asked to start."""

    def __init__(self) -> None:
        self.started: list[ProcessSpec] = []

    def start(self, spec: ProcessSpec) -> None:
        self.started.append(spec)

    def observe(self, name: str) -> ProcessState:
        if name not in [spec.name for spec in self.started]:
            raise UnknownProcess(name)
        return ProcessState(name=name, running=True, pid=1)

    def hand_over(self, *paths: Path) -> None:
        pass


class Elsewhere:
    on_this_machine = False
    client_variables = ("ELSEWHERE_TOKEN",)
    removed: list[str]

    def __init__(self) -> None:
        self.removed, self.made = [], ElsewhereRuntime()

    def image(self, asked):
        return asked or "elsewhere:1"

    def runtime(self, kept, identity):
        return self.made

    def remove_all(self, tag):
        self.removed.append(tag)
        return 1

    def readiness(self):
        return Readiness(ready=True, seen="it answers")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    backend = Elsewhere()
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "ti_elsewhere", SimpleNamespace(Elsewhere=lambda: backend))
    monkeypatch.setitem(factory._BACKENDS, "elsewhere", "ti_elsewhere:Elsewhere")
    yield backend
    factory._made.cache_clear()


@pytest.fixture
def stack(elsewhere: Elsewhere) -> Stack:
    folders = StackFolders("s1")
    folders.make()
    record = StackRecord(
        id="s1", keeper=ProcessId.of(os.getpid()), ports={"toy": {"client": 4000}},
        spec=with_backend(StackSpec(backend="elsewhere")),
    )  # fmt: skip
    return Stack(folders, record)


def toy(*, on_host: bool = False) -> ServiceSpec:
    def endpoint(place: ServicePlace) -> Endpoint:
        return Endpoint(service="toy", host="127.0.0.1", port=place.ports["client"], url="toy://")

    return ServiceSpec(
        name="toy", ports=("client",), prepare=lambda place: None, command=lambda place: Command(("toy",), {}),
        endpoint=endpoint, probe=lambda endpoint: "1.0", on_host=on_host,
    )  # fmt: skip


def test_yaml_environment_and_command_line_take_its_name(elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    assert backend_names() == (*Backend, "elsewhere")
    assert StackSpec(backend="elsewhere").backend == "elsewhere"
    monkeypatch.setenv(BACKEND_VARIABLE, "elsewhere")
    chosen = with_backend(StackSpec())
    assert (chosen.backend, chosen.image) == ("elsewhere", "elsewhere:1")
    assert "ELSEWHERE_TOKEN" in client_variables()


def test_a_service_prepares_itself_where_it_runs(
    stack: Stack, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "services_of", lambda _: {"toy": toy()})
    folders = StackFolders(stack.id)
    ensure_services(stack, folders, stack._record, Deadline(10), lambda _: None, None)
    (process,) = elsewhere.made.started
    assert process.argv[1:] == ("-m", "test_infra.stack.serve", str(folders.services / "toy" / "place.json"))
    assert process.ports == (4000,)
    assert read_record(folders).endpoints["toy"].version == "1.0"


def test_a_driver_is_started_by_the_entry_point_of_an_image(stack: Stack, elsewhere: Elsewhere, tmp_path: Path) -> None:
    spec = JobSpec.model_validate({"name": "totals", "application": {"module": "totals"}})
    attempt = Attempt("e1", 1, spec, tmp_path, tmp_path / "log")
    ProcessBackend(stack).start(attempt)
    (process,) = elsewhere.made.started
    assert "test_infra.spark.driver.container_entrypoint" in process.argv


def test_everything_of_a_stack_is_removed_from_it(stack: Stack, elsewhere: Elsewhere) -> None:
    stack.remove_containers()
    assert elsewhere.removed == [f"s1@{os.environ['TEST_INFRA_HOME']}"]


def test_a_backend_that_there_is_not_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="local, docker"):
        backend_of("podman")


@pytest.mark.parametrize("name", list(Backend))
def test_every_backend_that_ships_answers_every_question(name: str) -> None:
    asked = [member for member in vars(factory.RuntimeBackend) if not member.startswith("_")]
    assert [member for member in asked if not hasattr(backend_of(name), member)] == []
