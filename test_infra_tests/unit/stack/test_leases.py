"""Leases: what holds, what does not, without any stack."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from test_infra.stack.lease import AttachedLease, DetachedLease, LeaseRecord, live_leases
from test_infra.stack.record import ProcessId


def test_an_attached_lease_holds_while_its_holder_lives_however_late_it_is(tmp_path: Path) -> None:
    lease = AttachedLease()
    lease.take(tmp_path)
    (record,) = live_leases(tmp_path, time.time() + 10**9)
    assert (record.kind, record.holder.pid, record.expires_at) == ("attached", os.getpid(), None)
    lease.release()
    assert live_leases(tmp_path, time.time()) == []


def test_an_attached_lease_ends_with_a_killed_holder(tmp_path: Path) -> None:
    code = """
import pathlib, sys
from test_infra.stack.lease import AttachedLease
lease = AttachedLease()
lease.take(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert len(live_leases(tmp_path, time.time())) == 1
    holder.kill()
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    assert live_leases(tmp_path, time.time()) == []
    assert list(tmp_path.glob("*.json")) == []


def test_a_detached_lease_ends_at_its_expiry_and_is_only_ever_extended(tmp_path: Path) -> None:
    DetachedLease(ttl_s=100).take(tmp_path)
    DetachedLease(ttl_s=10).take(tmp_path)
    now = time.time()
    assert len(live_leases(tmp_path, now + 90)) == 1
    assert live_leases(tmp_path, now + 101) == []


@pytest.mark.parametrize("text", ["", "{", '{"kind": "forever"}', "[]"])
def test_a_torn_lease_holds_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "attached-x.json").write_text(text)
    assert live_leases(tmp_path, time.time()) == []


def test_a_lease_file_without_its_lock_holds_nothing(tmp_path: Path) -> None:
    record = LeaseRecord(kind="attached", holder=ProcessId.of(os.getpid()), taken_at=time.time())
    (tmp_path / "attached-x.json").write_text(record.model_dump_json())
    assert live_leases(tmp_path, time.time()) == []
