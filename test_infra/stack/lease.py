"""Leases: a stack lives as long as one of them holds.

An attached lease is a file lock held by its holder: the kernel lets go of it the moment the holder dies, however it
dies, and a keeper in a PID namespace, which cannot see its holder, can still test it. A detached lease is an expiry.
See docs/decisions/0001.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from test_infra.base.document import Document
from test_infra.base.file_lock import FileLock, create_locked, is_held
from test_infra.base.paths import write_private
from test_infra.stack.record import ProcessId

DETACHED = "detached"


class LeaseRecord(Document):
    """A lease as it stands in its file.

    Args:
        kind: ``attached`` or ``detached``.
        holder: who took it.
        taken_at: epoch seconds.
        expires_at: epoch seconds; None for an attached one.
    """

    kind: Literal["attached", "detached"]
    holder: ProcessId
    taken_at: float
    expires_at: float | None = None


@dataclass
class AttachedLease:
    """Lives as long as this process, or until `release`."""

    _path: Path | None = field(default=None, repr=False)
    _lock: FileLock | None = field(default=None, repr=False)

    def take(self, leases: Path) -> None:
        """Hold the stack alive. The file appears under its name only when it is locked."""
        record = LeaseRecord(kind="attached", holder=ProcessId.of(os.getpid()), taken_at=time.time())
        self._path = leases / f"attached-{uuid.uuid4().hex[:12]}.json"
        self._lock = create_locked(self._path, record.model_dump_json())

    def release(self) -> None:
        """Let go; without another lease the keeper ends the stack."""
        if self._path is not None and self._lock is not None:
            self._path.unlink(missing_ok=True)
            self._lock.release()
            self._path = self._lock = None


@dataclass(frozen=True)
class DetachedLease:
    """Lives until its expiry, whoever took it.

    Args:
        ttl_s: seconds from taking to expiry.
    """

    ttl_s: float = 3_600.0

    def take(self, leases: Path) -> None:
        """Extend the stack's life to at least now + ``ttl_s``."""
        now = time.time()
        expires_at = now + self.ttl_s
        path = leases / f"{DETACHED}.json"
        if path.exists():
            expires_at = max(expires_at, LeaseRecord.model_validate_json(path.read_text()).expires_at or 0)
        record = LeaseRecord(kind="detached", holder=ProcessId.of(os.getpid()), taken_at=now, expires_at=expires_at)
        write_private(path, record.model_dump_json())

    def release(self) -> None:
        """Does nothing: a detached lease ends by its expiry or by `down`."""


Lease = AttachedLease | DetachedLease


def live_leases(leases: Path, now: float) -> list[LeaseRecord]:
    """The leases that still hold at ``now``, epoch seconds; files of the others are removed."""
    live = []
    for path in sorted(leases.glob("*.json")):
        try:
            record = LeaseRecord.model_validate_json(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError, ValueError):
            continue
        held = now < record.expires_at if record.expires_at is not None else is_held(path)
        if held:
            live.append(record)
        else:
            path.unlink(missing_ok=True)
    return live
