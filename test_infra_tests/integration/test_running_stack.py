"""A stack for the time of a block, as a user's own tests take it: with each backend, however the block ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from test_infra.base.backend import Backend
from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import NotReady
from test_infra.cdc.sources import postgres
from test_infra.runtime.docker_engine import STACK_LABEL, labels_found
from test_infra.stack import Stack, StackFolders, StackNotRunning, StackSpec, attach, registry
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.service import ServiceFailed, ServiceSpec
from test_infra.stack.services.postgres import PostgresSettings
from test_infra.stack.spec import Services
from test_infra.stack.sweep import leftovers, stack_tag
from test_infra.testing import running_stack

POSTGRES_ONLY = StackSpec(services=Services(kafka=None, connect=None))
MORE_THAN_ANY_MACHINE = PostgresSettings(shared_buffers_mib=8_000_000)
NEVER_ANSWERS_WITHIN_S = 8.0


@pytest.fixture(
    params=[Backend.LOCAL, pytest.param(Backend.DOCKER, marks=pytest.mark.ci(reason="a block's stack in containers"))]
)
def backend(request: pytest.FixtureRequest, test_home: Path) -> Backend:
    """Both, the second where there is an engine."""
    if request.param is Backend.DOCKER:
        request.getfixturevalue("docker_image")
    return request.param


def answer(stack: Stack) -> object:
    with postgres.connect(stack.endpoint("postgres"), "owner") as session:
        return session.execute("SELECT 40 + 2").fetchone()[0]


def assert_gone(stack_id: str, backend: Backend) -> None:
    """No process, no container, no network, no data; its logs are there."""
    folders = StackFolders(stack_id)
    with pytest.raises(StackNotRunning):
        attach(stack_id)
    assert not folders.data.exists()
    assert (folders.logs / "keeper.log").exists()

    def nothing_is_left() -> None:
        left = [process.pid for process in leftovers(stack_tag(stack_id))]
        if left or (backend is Backend.DOCKER and labels_found(STACK_LABEL, stack_tag(stack_id))):
            raise StillWaiting(f"processes {left}, or something on the engine")

    wait_for(nothing_is_left, Deadline(15), what=stack_id, awaited="nothing is left")


def newest_block() -> str:
    """The stack of the block that was entered last, for blocks that never began."""
    found = [path.name for path in StackFolders("any").root.parent.glob("block-*")]
    return max(found, key=lambda name: StackFolders(name).logs.stat().st_mtime_ns)


def test_a_block_has_a_usable_stack_that_is_gone_after_it(backend: Backend) -> None:
    with running_stack(POSTGRES_ONLY, backend=backend) as stack:
        assert stack.spec.backend == backend
        assert stack.status().usable
        assert answer(stack) == 42
        assert attach(stack.id).endpoints == stack.endpoints
    assert_gone(stack.id, backend)


@pytest.mark.parametrize("raised", [ZeroDivisionError, KeyboardInterrupt])
def test_what_is_raised_in_the_block_comes_through_and_nothing_is_left(
    backend: Backend, raised: type[BaseException]
) -> None:
    with pytest.raises(raised, match="of the user's own"), running_stack(POSTGRES_ONLY, backend=backend) as stack:
        raise raised("of the user's own")
    assert_gone(stack.id, backend)


def test_a_service_that_dies_is_told_with_its_last_words_and_nothing_is_left(backend: Backend) -> None:
    spec = StackSpec(services=Services(postgres=MORE_THAN_ANY_MACHINE, kafka=None, connect=None))
    with pytest.raises(ServiceFailed) as failed, running_stack(spec, backend=backend):
        pytest.fail("the block began without its service")
    told = str(failed.value)
    assert told.startswith("postgres ")
    assert "could not map anonymous shared memory" in told
    assert_gone(newest_block(), backend)


def test_a_service_that_never_answers_is_told_with_its_last_words_and_nothing_is_left(
    test_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(_: Endpoint) -> str:
        raise StillWaiting("no answer to SELECT 1")

    real = registry.services_of(POSTGRES_ONLY)["postgres"]
    assert isinstance(real, ServiceSpec)
    monkeypatch.setattr(registry, "services_of", lambda _: {"postgres": replace(real, probe=silent)})
    block = running_stack(POSTGRES_ONLY, timeout_s=NEVER_ANSWERS_WITHIN_S)
    with pytest.raises(NotReady) as late, block:
        pytest.fail("the block began without its service")
    told = str(late.value)
    assert told.startswith("postgres is not usable after")
    assert "no answer to SELECT 1" in told
    assert "database system is ready to accept connections" in told
    assert_gone(newest_block(), Backend.LOCAL)


def test_blocks_within_each_other_never_meet(test_home: Path) -> None:
    with running_stack(POSTGRES_ONLY) as outer:
        with running_stack(POSTGRES_ONLY) as inner:
            assert inner.id != outer.id
            assert inner.endpoint("postgres").port != outer.endpoint("postgres").port
        assert_gone(inner.id, Backend.LOCAL)
        assert answer(outer) == 42
    assert_gone(outer.id, Backend.LOCAL)


def test_a_block_leaves_no_open_file_behind(test_home: Path) -> None:
    with running_stack(POSTGRES_ONLY):
        pass  # what is opened once per process is open now
    before = psutil.Process().num_fds()
    with running_stack(POSTGRES_ONLY):
        pass
    assert psutil.Process().num_fds() == before
