"""The `local` backend: processes of this machine, kept by a stack's keeper."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, NotReady
from test_infra.base.paths import write_private
from test_infra.runtime.namespace import outer_pids
from test_infra.runtime.process import ProcessSpec, ProcessState

TAKEN_WITHIN_S = 15.0


class UnknownProcess(InfrastructureError):
    """No process of that name was ever started here."""


class LocalRuntime:
    """Starts, observes and stops processes through the keeper that owns ``control_dir``.

    Args:
        control_dir: the keeper's folder of requests and states.
        keeper_pid: the keeper as this machine sees it; process ids are translated through it.
    """

    def __init__(self, control_dir: Path, keeper_pid: int) -> None:
        self._control = control_dir
        self._keeper_pid = keeper_pid

    def start(self, spec: ProcessSpec) -> None:
        """Start the process unless it runs already; returns when the keeper has it.

        Raises:
            NotReady: the keeper did not take the request.
        """
        self._request({"verb": "start", "spec": spec.model_dump(mode="json")}, f"start {spec.name}")

    def stop(self, name: str, *, timeout_s: float = 15.0, signum: int | None = None) -> ProcessState:
        """End a process for good: its stop signal (or ``signum``), then SIGKILL. Ending an ended one changes nothing.

        Raises:
            UnknownProcess: never started here.
            NotReady: it still runs after ``timeout_s``.
        """
        self.observe(name)
        self._request({"verb": "stop", "name": name, "signal": signum}, f"stop {name}")

        def ended() -> ProcessState:
            state = self._recorded()[name]  # until the keeper has recorded how it ended, not only until it is gone
            if state.running:
                raise StillWaiting(f"process {state.pid} runs")
            return state

        return wait_for(ended, Deadline(timeout_s), what=name, awaited=f"the end of {name}")

    def signal(self, name: str, signum: int) -> None:
        """Send a signal to a process; its restart policy stays in force.

        Raises:
            UnknownProcess: never started here.
        """
        self.observe(name)
        self._request({"verb": "signal", "name": name, "signal": signum}, f"signal {name}")

    def observe(self, name: str) -> ProcessState:
        """What the keeper last saw of a process.

        Raises:
            UnknownProcess: never started here.
        """
        states = self.observe_all()
        if name not in states:
            raise UnknownProcess(
                f"no process {name!r} in this stack", details={"known": ", ".join(sorted(states)) or "none"}
            )
        return states[name]

    def observe_all(self) -> dict[str, ProcessState]:
        """Every process ever started here, by name."""
        recorded = self._recorded()
        pids = outer_pids(self._keeper_pid)
        return {name: _seen_from_here(state, pids) for name, state in recorded.items()}

    def describe(self, name: str) -> dict[str, str]:  # noqa: ARG002 - the interface's
        """Nothing beyond the process's state."""
        return {}

    def hand_over(self, *paths: Path) -> None:
        """Nothing to do: jobs run as the user who started them."""

    def _recorded(self) -> dict[str, ProcessState]:
        """What the keeper last wrote down, process ids as it sees them."""
        try:
            recorded = json.loads((self._control / "processes.json").read_text())
        except FileNotFoundError:
            return {}
        return {name: ProcessState.model_validate(state) for name, state in recorded.items()}

    def _request(self, request: dict[str, object], what: str) -> None:
        path = self._control / "requests" / f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}.json"
        write_private(path, json.dumps(request))

        def taken() -> None:
            if path.exists():
                raise StillWaiting("the request lies untouched")

        try:
            wait_for(
                taken,
                Deadline(TAKEN_WITHIN_S),
                what=f"the keeper of {self._control.parent.name}",
                awaited=f"it takes the request to {what}",
                interval_s=0.02,
                hint="test-infra status",
            )
        except NotReady:
            path.unlink(missing_ok=True)  # nobody waits for it any more, so it must not be carried out later
            raise


def _seen_from_here(state: ProcessState, pids: dict[int, int]) -> ProcessState:
    if state.pid is None:
        return state
    outer = pids.get(state.pid)
    return state.model_copy(update={"pid": outer, "running": outer is not None or not pids})
