"""A stack without services: its keeper alone, which is all that a suite's process needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.runtime import namespace
from test_infra.stack import AttachedLease, Stack, StackFolders, StackSpec
from test_infra.stack.record import ProcessId, StackRecord, write_record


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEST_INFRA_HOME", str(tmp_path_factory.mktemp("home")))
        folders = StackFolders("suites")
        folders.make()
        lease = AttachedLease()
        lease.take(folders.leases)
        record = StackRecord(id=folders.id, spec=StackSpec())
        write_record(folders, record)
        prefix = namespace.entering()
        namespaced = ["--namespaced"] if prefix else []
        keeper = subprocess.Popen([*prefix, sys.executable, "-m", "test_infra.stack.keeper", folders.id, *namespaced])

        def supervising() -> None:
            if not (folders.control / "processes.json").exists():
                raise StillWaiting

        wait_for(supervising, Deadline(20), what="the keeper", awaited="its first state")
        pid = psutil.Process(keeper.pid).children()[0].pid if prefix else keeper.pid
        record = record.model_copy(update={"keeper": ProcessId.of(pid)})
        write_record(folders, record)
        yield Stack(folders, record)
        lease.release()
        keeper.wait(timeout=20)
