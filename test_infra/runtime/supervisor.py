"""Supervision inside a keeper: starts the processes of a stack, sees each end, restarts by policy, ends all together.

One asyncio loop in one thread. Requests are files (docs/decisions/0002), ends are reaped at SIGCHLD
(docs/decisions/0041).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from test_infra.base.paths import write_private
from test_infra.runtime import out_of_memory, run_child
from test_infra.runtime.child import Child, resident_bytes
from test_infra.runtime.logfile import LogFile
from test_infra.runtime.process import LOG_MAX_BYTES, ProcessEvent, ProcessSpec, ProcessState, ended_as
from test_infra.runtime.restarts import Again, decide

LOOK_EVERY_S = 0.1
MEMORY_EVERY_S = 2.0
PATIENCE_AT_THE_END_S = 1.0
NOT_STARTED = 127
"""Exit code of a process whose program could not be started, as a shell has it."""
MIB = 1024 * 1024

log = logging.getLogger("test_infra.keeper")


class Supervisor:
    """The processes of one stack.

    Requests arrive as files in ``control/requests`` (a spec to start, a name to stop): a request survives a lost
    reply, needs no protocol version and is seen within 0.1 s. What is known of each process stands in
    ``control/processes.json``.

    Args:
        control_dir: folder for requests and state; 0700.
        event: called with (process name, event, detail) for everything worth reporting.
        namespaced: whether the kernel ends the tree with us; otherwise each process watches us itself.
    """

    def __init__(self, control_dir: Path, event: Callable[[str, ProcessEvent, str], None], *, namespaced: bool) -> None:
        self._control = control_dir
        self._event = event
        self._namespaced = namespaced
        self._specs: dict[str, ProcessSpec] = {}
        self._states: dict[str, ProcessState] = {}
        self._logs: dict[str, LogFile] = {}
        self._children: dict[str, Child] = {}
        self._restarts: dict[str, asyncio.TimerHandle] = {}
        self._unasked: dict[str, list[float]] = {}
        self._stopping: set[str] = set()
        self._stops: set[asyncio.Task[None]] = set()
        self._memory_seen = 0.0
        self._unwritten = False
        self._last_fault = ""
        self._asked_to_end = asyncio.Event()

    def run(self, every: Callable[[], None]) -> None:
        """Supervise until `stop` is called, then end every process; ``every`` is called ten times a second."""
        asyncio.run(self._supervise(every))

    def stop(self) -> None:
        """Leave `run` once every process has ended: asked to, and killed where that takes longer than 1 s.

        No longer patience: what they keep is thrown away with the stack.
        """
        self._asked_to_end.set()

    async def _supervise(self, every: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.stop)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._write_states()
        while not self._asked_to_end.is_set():
            for look in (every, self._reap, self._write_what_is_unwritten, self._take_requests, self._limit_memory):
                try:
                    look()
                except Exception as error:  # whatever it is, the other processes are kept
                    self._fault(error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked_to_end.wait(), LOOK_EVERY_S)
        await self._end_all()

    async def _end_all(self) -> None:
        self._stopping.update(self._specs)
        for name in list(self._restarts):
            self._cancel_restart(name)
        running = [(self._specs[name], child) for name, child in self._children.items()]
        ends = (
            child.end(spec.end_signal or spec.stop_signal, min(spec.stop_timeout_s, PATIENCE_AT_THE_END_S))
            for spec, child in running
        )
        for error in await asyncio.gather(*ends, return_exceptions=True):
            if error is not None:
                self._fault(error)

    def _take_requests(self) -> None:
        for path in sorted((self._control / "requests").glob("*.json")):
            try:
                self._carry_out(json.loads(path.read_text()))
            finally:
                self._write_states()  # whoever waits for the request to go finds the new state beside it
                path.unlink(missing_ok=True)  # its sender, tired of waiting, may have withdrawn it

    def _carry_out(self, request: dict[str, Any]) -> None:
        if request["verb"] == "start":
            self._start(ProcessSpec.model_validate(request["spec"]))
        elif request["verb"] == "stop":
            self._stop(request["name"], request["signal"])
        elif request["verb"] == "signal" and request["name"] in self._children:
            self._children[request["name"]].signal(request["signal"])

    def _start(self, spec: ProcessSpec) -> None:
        name = spec.name
        state = self._states.get(name)
        if state is not None and state.running:
            return
        self._specs[name] = spec
        self._logs[name] = LogFile(spec.log_path, LOG_MAX_BYTES, spec.log_backups)
        self._unasked.pop(name, None)
        self._stopping.discard(name)
        self._states[name] = ProcessState(name=name, running=True)
        if spec.exit_path is not None:
            spec.exit_path.unlink(missing_ok=True)
        self._spawn(name)

    def _spawn(self, name: str) -> None:
        spec = self._specs[name]
        self._restarts.pop(name, None)
        wrapper = self._wrapper(spec)
        try:
            child = Child(
                (*wrapper, *spec.argv),
                env=spec.env,
                cwd=spec.cwd,
                log=self._logs[name],
                user=None if wrapper else _user(spec),
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._logs[name].append(f"[keeper] not started: {error}\n".encode())
            self._logs[name].close()
            self._ended(name, NOT_STARTED)
            return
        self._children[name] = child
        self._states[name] = self._states[name].model_copy(
            update={"running": True, "pid": child.pid, "started_at": time.time()}
        )
        self._write_states()

    def _wrapper(self, spec: ProcessSpec) -> tuple[str, ...]:
        """What runs the command where its end must be written down, or no PID namespace ends it with us."""
        if spec.exit_path is None and self._namespaced:
            return ()
        options = [str(spec.exit_path or "-")] + ([] if self._namespaced else ["--with-parent"])
        if user := _user(spec):  # the wrapper drops to it: our Python may lie where that user cannot reach it
            options += ["--as", f"{user[0]}:{user[1]}"]
        return (sys.executable, "-I", run_child.__file__, *options, "--")

    def _reap(self) -> None:
        """Note every end, also of orphans: as the first process of a PID namespace we are their parent."""
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                name = next((name for name, child in self._children.items() if child.pid == pid), None)
                if name is not None:
                    exit_code = os.waitstatus_to_exitcode(status)
                    self._children.pop(name).reaped(exit_code)
                    self._ended(name, exit_code)

    def _ended(self, name: str, exit_code: int) -> None:
        spec, now = self._specs[name], time.time()
        state = self._states[name].model_copy(
            update={"running": False, "pid": None, "exit_code": exit_code, "ended_at": now}
        )
        self._states[name] = state
        if spec.exit_path is not None and not spec.exit_path.exists():
            with suppress(OSError):  # the disk is full; our own state tells the end as well
                run_child.write_exit(str(spec.exit_path), exit_code)
        if name not in self._stopping:
            why = out_of_memory.cause(spec.argv, exit_code, spec.log_path)
            self._event(name, ProcessEvent.ENDED, f"{ended_as(exit_code)}: {why}" if why else ended_as(exit_code))
            self._unasked.setdefault(name, []).append(now)
            answer = decide(spec.restart, exit_code, self._unasked[name])
            if isinstance(answer, Again):
                self._states[name] = state.model_copy(update={"restarts": state.restarts + 1, "running": True})
                self._event(name, ProcessEvent.RESTARTED, f"after {answer.delay_s:.1f} s")
                loop = asyncio.get_running_loop()
                self._restarts[name] = loop.call_later(answer.delay_s, self._spawn, name)
            elif answer.gave_up:
                self._states[name] = state.model_copy(update={"given_up": True})
                self._event(name, ProcessEvent.GIVEN_UP, answer.reason)
        self._write_states()

    def _stop(self, name: str, signum: int | None) -> None:
        self._stopping.add(name)
        if name in self._restarts:
            self._cancel_restart(name)
        elif name in self._children:
            spec = self._specs[name]
            self._in_background(self._children[name].end(signum or spec.stop_signal, spec.stop_timeout_s))

    def _cancel_restart(self, name: str) -> None:
        self._restarts.pop(name).cancel()
        self._states[name] = self._states[name].model_copy(update={"running": False})

    def _in_background(self, stop: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(stop)
        self._stops.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._stopped)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        self._stops.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fault(error)

    def _fault(self, error: BaseException) -> None:
        detail = f"{type(error).__name__}: {error}"
        if detail != self._last_fault:  # a fault that stays is met with every look
            log.error("a fault of the keeper", exc_info=error)
            self._event("keeper", ProcessEvent.FAULT, detail)
        self._last_fault = detail

    def _limit_memory(self) -> None:
        if time.monotonic() - self._memory_seen < MEMORY_EVERY_S:
            return
        self._memory_seen = time.monotonic()
        for name, child in self._children.items():
            limit_mib = self._specs[name].memory_limit_mib
            if limit_mib is None:
                continue
            used_mib = resident_bytes(child.pid) / MIB
            if used_mib > limit_mib:
                detail = f"{used_mib:.0f} MiB used, {limit_mib} MiB allowed"
                self._event(name, ProcessEvent.OVER_MEMORY_LIMIT, detail)
                child.signal(signal.SIGKILL)

    def _write_what_is_unwritten(self) -> None:
        if self._unwritten:
            self._write_states()

    def _write_states(self) -> None:
        states = {name: state.model_dump() for name, state in self._states.items()}
        try:
            write_private(self._control / "processes.json", json.dumps(states))
            self._unwritten = False
        except OSError:  # the disk is full: tried again with every look
            self._unwritten = True


def _user(spec: ProcessSpec) -> tuple[int, int] | None:
    if spec.uid is None:
        return None
    return spec.uid, spec.uid if spec.gid is None else spec.gid
