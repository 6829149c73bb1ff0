"""The traffic of a user's own, as a process: ``python -m test_infra.cdc.load.traffic CONFIG``.

SQL files or a program are run as often as asked for, and then again and again where they are to go on in the
background. The first failure ends it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from test_infra.base.document import Document
from test_infra.base.errors import TestInfraError
from test_infra.base.paths import write_private
from test_infra.base.redaction import redact
from test_infra.cdc.load.run import LoadStatus
from test_infra.cdc.sources import postgres
from test_infra.cdc.sources.postgres.session_settings import WITHOUT_LIMITS
from test_infra.cdc.sources.source import SqlFile
from test_infra.runtime.process import ended_as
from test_infra.stack import Endpoint

LAST_LINES = 20
LOOK_EVERY_S = 0.1
END_WITHIN_S = 5.0


class TrafficConfig(Document):
    """What the process is to run.

    Args:
        endpoint: of the source; its secrets stay in their files.
        sql: files to run.
        command: program and arguments; used where there are no files.
        folder: where the program works.
        env: its environment, beside the connection.
        repeat: how often, before the bulk counts as done.
        background: whether it goes on after that.
        timeout_s: longest run, seconds.
        limit_s: the background ends by itself after this time, seconds.
        pass_file: where the password is written for libpq.
        status: where `LoadStatus` is kept.
    """

    endpoint: Endpoint
    sql: list[Path] = []
    command: list[str] = []
    folder: Path
    env: dict[str, str]
    repeat: int
    background: bool
    timeout_s: float
    limit_s: float
    pass_file: Path
    status: Path


class Traffic(Protocol):
    """Something that can be run once."""

    def once(self, stop: threading.Event) -> str:
        """Why it failed; empty when it did not, or was stopped."""


class SqlTraffic:
    """SQL files, one after the other in one session."""

    def __init__(self, config: TrafficConfig) -> None:
        self._config = config

    def once(self, stop: threading.Event) -> str:
        """Run the files; a statement that takes too long is cancelled."""
        with postgres.connect(self._config.endpoint, "owner", WITHOUT_LIMITS) as connection:
            late = threading.Timer(self._config.timeout_s, connection.cancel)
            late.daemon = True
            late.start()
            try:
                for path in self._config.sql:
                    if stop.is_set():
                        break
                    postgres.run_ddl(connection, SqlFile(path))
            except TestInfraError as error:
                return "" if stop.is_set() else str(error)
            finally:
                late.cancel()
        return ""


class CommandTraffic:
    """A program; what it says is passed on without secrets."""

    def __init__(self, config: TrafficConfig) -> None:
        self._config = config

    def once(self, stop: threading.Event) -> str:
        """Run the program; it and its children are ended when it takes too long or the load is stopped."""
        config = self._config
        lines: deque[str] = deque(maxlen=LAST_LINES)
        try:
            child = subprocess.Popen(
                config.command,
                cwd=config.folder,
                env=environment(config),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            return f"{config.command[0]} could not be started: {error}"
        reader = threading.Thread(target=_passed_on, args=(child, lines), daemon=True)
        reader.start()
        ends_at = time.monotonic() + config.timeout_s
        while child.poll() is None and not stop.wait(LOOK_EVERY_S) and time.monotonic() < ends_at:
            pass
        late = child.poll() is None and not stop.is_set()
        _ended(child)
        reader.join(END_WITHIN_S)
        if stop.is_set() or (not late and child.returncode == 0):
            return ""
        how = f"was ended after {config.timeout_s:g} s" if late else ended_as(child.returncode)
        return "\n".join([f"{config.command[0]} {how}; its last lines:", *lines])


def environment(config: TrafficConfig) -> dict[str, str]:
    """The environment of the program: libpq's variables, those of ours, and what the stack's processes have."""
    endpoint = config.endpoint
    values = (endpoint.host, str(endpoint.port), endpoint.properties["database"], endpoint.properties["owner_user"])
    password = endpoint.secret("owner_password")
    line = ":".join(part.replace("\\", r"\\").replace(":", r"\:") for part in (*values, password))
    write_private(config.pass_file, f"{line}\n")
    host, port, database, user = values
    return {
        **config.env,
        "PGHOST": host,
        "PGPORT": port,
        "PGDATABASE": database,
        "PGUSER": user,
        "PGPASSFILE": str(config.pass_file),
        "PGPASSWORD": password,
        "PGAPPNAME": "test_infra_load",
    }


def run(config: TrafficConfig, stop: threading.Event) -> LoadStatus:
    """Run the traffic until everything is done or ``stop`` is set; the status file follows."""
    traffic: Traffic = SqlTraffic(config) if config.sql else CommandTraffic(config)
    started_at, runs, error, bulk_done_at = time.time(), 0, "", None

    def status(ended_at: float | None = None) -> LoadStatus:
        seen = LoadStatus(
            runs=runs, started_at=started_at, bulk_done_at=bulk_done_at, ended_at=ended_at, error=redact(error)
        )
        seen.write(config.status)
        return seen

    status()
    while not error and not stop.is_set():
        if bulk_done_at is not None and time.time() > bulk_done_at + config.limit_s:
            break
        error = traffic.once(stop)
        runs += not error
        if runs >= config.repeat and bulk_done_at is None:
            bulk_done_at = time.time()
        status()
        if bulk_done_at is not None and not config.background:
            break
    return status(time.time())


def _passed_on(child: subprocess.Popen[str], lines: deque[str]) -> None:
    assert child.stdout is not None
    with child.stdout as said:
        for line in said:
            shown = redact(line.rstrip("\n"))
            lines.append(shown)
            print(shown, file=sys.stderr, flush=True)  # noqa: T201 - the process's log


def _ended(child: subprocess.Popen[str]) -> None:
    """End a program and whatever it started; one that ended is left alone."""
    for signum in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signum)
        try:
            child.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            continue
        return


def main(arguments: list[str]) -> int:
    """Run the traffic of a configuration file; 0 when it ended as asked."""
    config = TrafficConfig.model_validate_json(Path(arguments[0]).read_bytes())
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    return 1 if run(config, stop).error else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
