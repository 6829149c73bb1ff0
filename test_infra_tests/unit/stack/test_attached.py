"""Which keeper a stack has, for a client that outlives it and for a process of the stack itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from test_infra.base.errors import UsageError
from test_infra.runtime.process import ProcessState
from test_infra.stack import Stack, StackFolders, StackSpec, attached
from test_infra.stack.lifecycle import down, read_record_or_none
from test_infra.stack.record import ProcessId, StackRecord, write_record
from test_infra.stack.spec import Services
from test_infra.stack.status import ServiceState
from test_infra.stack.sweep import STACK_TAG, stack_tag

FORMER = ProcessId(pid=2**22 + 1, started_at=1.0, boot_id="former")
RECORD = StackRecord(id="s1", spec=StackSpec(services=Services(kafka=None, connect=None)), keeper=FORMER)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackFolders:
    monkeypatch.setenv("TEST_INFRA_HOME", str(tmp_path / "home"))
    folders = StackFolders("s1")
    folders.make()
    write_record(folders, RECORD)
    return folders


def test_the_status_of_a_stack_that_was_started_again_is_that_of_its_new_processes(folders: StackFolders) -> None:
    held = Stack(folders, RECORD)
    write_record(folders, RECORD.model_copy(update={"keeper": ProcessId.of(os.getpid())}))
    state = ProcessState(name="postgres", running=True, pid=os.getpid())
    (folders.control / "processes.json").write_text(json.dumps({"postgres": state.model_dump()}))
    (postgres,) = held.status().services
    assert (postgres.state, postgres.pid) == (ServiceState.NOT_STARTED, os.getpid())


def test_a_process_of_the_stack_takes_its_keeper_for_alive(
    folders: StackFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the keeper's PID namespace the id on record is another process or none; `up` must not sweep the stack."""
    above = ProcessId.of(os.getpid())
    monkeypatch.setattr(attached, "_keeper_above", lambda: above)
    outside = read_record_or_none(folders)
    monkeypatch.setenv(STACK_TAG, stack_tag("s1"))
    within = read_record_or_none(folders)
    assert outside is not None
    assert within is not None
    assert (outside.keeper, within.keeper) == (FORMER, above)


def test_a_keeper_that_cannot_be_seen_from_within_another_stack_counts_as_alive_and_is_never_ended(
    folders: StackFolders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suite's process sees its own PID namespace only; there `reap` must not take a living stack for a dead one."""
    elsewhere = ProcessId.of(os.getpid()).model_copy(update={"pid": 2**22 + 1, "pid_namespace": "pid:[1]"})
    write_record(folders, RECORD.model_copy(update={"keeper": elsewhere}))
    lease = folders.leases / "one.json"
    lease.write_text("{}")
    assert not elsewhere.alive  # from outside of any stack, where every process is seen
    monkeypatch.setenv(STACK_TAG, stack_tag("another"))
    assert elsewhere.alive
    with pytest.raises(UsageError, match="stack s1 cannot be ended from inside another stack"):
        down("s1")
    assert lease.exists()
