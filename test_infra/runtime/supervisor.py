"""Supervision inside a keeper: circus starts, logs and stops the processes, and our policy says what follows an end.

Loaded only by the keeper process, so circus is imported here at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from circus import get_arbiter
from circus.exc import ConflictError
from circus.watcher import Watcher
from tornado import gen, ioloop, queues

from test_infra.base.paths import write_private
from test_infra.runtime import run_child
from test_infra.runtime.logfile import LogFile
from test_infra.runtime.process import LOG_MAX_BYTES, ProcessSpec, ProcessState, ended_as
from test_infra.runtime.restarts import Again, decide

LOOK_EVERY_S = 0.1
MEMORY_EVERY_S = 2.0
PATIENCE_AT_THE_END_S = 1.0
MIB = 1024 * 1024


log = logging.getLogger("test_infra.keeper")


class Supervisor:
    """The processes of one stack.

    Requests arrive as files in ``control/requests`` (a spec to start, a name to stop): a request survives a lost
    reply, needs no protocol version and is seen within 0.1 s. What is known of each
    process stands in ``control/processes.json``.

    Args:
        control_dir: folder for requests, sockets and state; 0700.
        event: called with (process name, event, detail) for everything worth reporting.
        namespaced: whether the kernel ends the tree with us; otherwise each process watches us itself.
    """

    def __init__(self, control_dir: Path, event: Callable[[str, str, str], None], *, namespaced: bool) -> None:
        self._control = control_dir
        self._event = event
        self._namespaced = namespaced
        self._specs: dict[str, ProcessSpec] = {}
        self._states: dict[str, ProcessState] = {}
        self._unasked: dict[str, list[float]] = {}
        self._stopping: set[str] = set()
        self._memory_seen = 0.0
        self._ending = False
        self._unwritten = False
        self._turns: queues.Queue[Callable[[], Awaitable[None]]] = queues.Queue()
        os.chdir(control_dir)  # socket names are relative: a unix socket path holds 107 bytes
        self._arbiter = get_arbiter(
            [],
            controller="ipc://circus.sock",
            pubsub_endpoint="ipc://events.sock",
            check_delay=-1,
            loop=None,
        )

    def run(self, every: Callable[[], None]) -> None:
        """Supervise until `stop` is called; ``every`` is called ten times a second."""

        def look() -> None:
            every()
            self._reap()
            if self._unwritten:
                self._write_states()
            self._take_requests()
            self._limit_memory()

        def begin() -> None:
            self._ticker = ioloop.PeriodicCallback(look, LOOK_EVERY_S * 1000)
            self._ticker.start()
            # In place of circus's own handlers, which would grant every process its whole patience.
            for signum in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(signum, self.stop)
            ioloop.IOLoop.current().add_callback(self._take_turns)
            self._write_states()

        ioloop.IOLoop.current().add_callback(begin)
        self._arbiter.start()

    def stop(self) -> None:
        """Ask every process to end, kill what does not within 1 s, and leave `run`.

        No longer patience: what they keep is thrown away with the stack.
        """
        if self._ending:
            return
        self._ending = True
        self._ticker.stop()
        self._stopping.update(self._specs)
        for watcher in self._arbiter.iter_watchers():
            watcher.graceful_timeout = min(watcher.graceful_timeout, PATIENCE_AT_THE_END_S)
            watcher.stop_signal = self._specs[watcher.name].end_signal or watcher.stop_signal
        self._turns.put_nowait(self._arbiter.stop)

    def _take_requests(self) -> None:
        for path in sorted((self._control / "requests").glob("*.json")):
            request = json.loads(path.read_text())
            try:
                self._carry_out(request)
            finally:
                self._write_states()  # whoever waits for the request to go finds the new state beside it
                path.unlink()

    def _carry_out(self, request: dict[str, Any]) -> None:
        if request["verb"] == "start":
            self._start(ProcessSpec.model_validate(request["spec"]))
        elif request["verb"] == "stop":
            self._stop(request["name"], request["signal"])
        elif request["verb"] == "signal":
            self._signal(request["name"], request["signal"])

    def _start(self, spec: ProcessSpec) -> None:
        name = spec.name
        state = self._states.get(name)
        if state is not None and state.running:
            return
        self._specs[name] = spec
        self._unasked.pop(name, None)
        self._stopping.discard(name)
        self._states[name] = ProcessState(name=name, running=True)
        if spec.exit_path is not None:
            spec.exit_path.unlink(missing_ok=True)
        self._spawn(name)

    def _spawn(self, name: str) -> None:
        spec = self._specs[name]

        async def replace_and_start() -> None:
            if name in self._stopping:
                return
            if self._watcher(name) is not None:
                await self._arbiter.rm_watcher(name)
            argv = self._command(spec)
            log = {"stream": LogFile(spec.log_path, LOG_MAX_BYTES, spec.log_backups)}
            watcher = self._arbiter.add_watcher(
                name,
                shlex.quote(argv[0]),
                args=argv[1:],
                working_dir=str(spec.cwd),
                env=spec.env,
                uid=spec.uid if argv[0] == spec.argv[0] else None,
                gid=spec.gid if argv[0] == spec.argv[0] else None,
                respawn=False,
                max_retry=1,
                stop_signal=spec.stop_signal,
                graceful_timeout=spec.stop_timeout_s,
                stdout_stream=log,
                stderr_stream=log,
                hooks={"after_spawn": (self._spawned, False), "after_reap": (self._reaped, True)},
            )
            await watcher.start()
            if not watcher.processes and self._states[name].running:
                self._ended(name, 127)

        self._turns.put_nowait(replace_and_start)

    async def _take_turns(self) -> None:
        """One change at a time: circus refuses a second one while the first is under way."""
        async for change in self._turns:
            try:
                await self._insist(change)
            except Exception as error:
                log.exception("a change of the processes failed")
                self._event("keeper", "fault", f"{type(error).__name__}: {error}")

    async def _insist(self, change: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await change()
            except ConflictError:
                await gen.sleep(0.02)

    def _reap(self) -> None:
        """Notice every end, also of orphans: in a PID namespace we are their parent.

        circus's own look (switched off by ``check_delay``) forgets a process that dies while it looks: measured, one
        kill of eight was never seen.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            name = next((name for name, state in self._states.items() if state.pid == pid), None)
            if name is not None:
                self._ended(name, os.waitstatus_to_exitcode(status))

    def _command(self, spec: ProcessSpec) -> list[str]:
        if spec.exit_path is None and self._namespaced:
            return list(spec.argv)
        options = [str(spec.exit_path or "-")] + ([] if self._namespaced else ["--with-parent"])
        if spec.uid is not None:  # the wrapper drops it: our Python may lie where that user cannot reach it
            options += ["--as", f"{spec.uid}:{spec.gid if spec.gid is not None else spec.uid}"]
        return [sys.executable, "-I", run_child.__file__, *options, "--", *spec.argv]

    def _spawned(self, watcher: Watcher, *, pid: int, **_: Any) -> bool:
        name = watcher.name
        state = self._states[name]
        self._states[name] = state.model_copy(update={"running": True, "pid": pid, "started_at": time.time()})
        self._write_states()
        return True

    def _reaped(self, watcher: Watcher, *, process_pid: int, exit_code: int | None = None, **_: Any) -> bool:
        # Called while circus stops a process; what `_reap` saw first has no pid any more.
        if self._states[watcher.name].pid == process_pid:
            self._ended(watcher.name, exit_code if exit_code is not None else -signal.SIGKILL)
        return True

    def _ended(self, name: str, exit_code: int) -> None:
        if not self._states[name].running:
            return
        spec, now = self._specs[name], time.time()
        state = self._states[name].model_copy(
            update={"running": False, "pid": None, "exit_code": exit_code, "ended_at": now}
        )
        self._states[name] = state
        if spec.exit_path is not None and not spec.exit_path.exists():
            with suppress(OSError):  # the disk is full; our own state tells the end as well
                run_child.write_exit(str(spec.exit_path), exit_code)
        if name not in self._stopping:
            self._event(name, "ended", ended_as(exit_code))
            self._unasked.setdefault(name, []).append(now)
            answer = decide(spec.restart, exit_code, self._unasked[name])
            if isinstance(answer, Again):
                self._states[name] = state.model_copy(update={"restarts": state.restarts + 1, "running": True})
                self._event(name, "restarted", f"after {answer.delay_s:.1f} s")
                ioloop.IOLoop.current().call_later(answer.delay_s, self._spawn, name)
            elif answer.gave_up:
                self._states[name] = state.model_copy(update={"given_up": True})
                self._event(name, "given up", answer.reason)
        self._write_states()

    def _stop(self, name: str, signum: int | None) -> None:
        self._stopping.add(name)
        watcher = self._watcher(name)
        if watcher is None:
            return
        if signum is not None:
            watcher.stop_signal = signum

        async def stop_and_forget() -> None:
            pids = list(watcher.processes)
            await self._arbiter.rm_watcher(name)
            state = self._states[name]
            if state.running and not pids:
                self._ended(name, 0)
            elif state.running:
                self._ended(name, -(signum or self._specs[name].stop_signal))

        self._turns.put_nowait(stop_and_forget)

    def _signal(self, name: str, signum: int) -> None:
        watcher = self._watcher(name)
        for pid in list(watcher.processes) if watcher is not None else []:
            os.kill(pid, signum)

    def _limit_memory(self) -> None:
        if time.monotonic() - self._memory_seen < MEMORY_EVERY_S:
            return
        self._memory_seen = time.monotonic()
        for name, state in list(self._states.items()):
            limit_mib = self._specs[name].memory_limit_mib
            if state.pid is None or limit_mib is None:
                continue
            used_mib = _resident_bytes(state.pid) / MIB
            if used_mib > limit_mib:
                self._event(name, "over its memory limit", f"{used_mib:.0f} MiB used, {limit_mib} MiB allowed")
                os.kill(state.pid, 9)

    def _watcher(self, name: str) -> Watcher | None:
        return next((watcher for watcher in self._arbiter.iter_watchers() if watcher.name == name), None)

    def _write_states(self) -> None:
        states = {name: state.model_dump() for name, state in self._states.items()}
        try:
            write_private(self._control / "processes.json", json.dumps(states))
            self._unwritten = False
        except OSError:  # the disk is full: tried again with every look
            self._unwritten = True


def _resident_bytes(pid: int) -> int:
    """Resident memory of a process tree; what children share (PostgreSQL's buffers) counts once."""
    try:
        process = psutil.Process(pid)
        children = process.children(recursive=True)
        total: int = process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0
    for child in children:
        try:
            memory = child.memory_info()
        except psutil.NoSuchProcess:
            continue
        total += memory.rss - getattr(memory, "shared", 0)
    return total
