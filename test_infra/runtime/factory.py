"""The one place that knows which backends there are.

A backend is one file in this folder with a class that fits `RuntimeBackend`, and one line in `_BACKENDS`. What differs
between backends is asked of that object; nothing outside this folder compares a backend's name.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from test_infra.base.backend import Backend
from test_infra.base.errors import UsageError

if TYPE_CHECKING:  # the command line asks for the names, and must not pay for pydantic
    from test_infra.runtime.backend import Runtime
    from test_infra.runtime.local import LocalRuntime

_BACKENDS: dict[str, str] = {
    Backend.LOCAL: "test_infra.runtime.local_backend:LocalBackend",
    Backend.DOCKER: "test_infra.runtime.docker_backend:DockerBackend",
}
"""Name in YAML -> where its class is; a backend is imported only by who uses it."""


@dataclass(frozen=True)
class StackIdentity:
    """What a backend is told of the stack whose processes it runs.

    Args:
        id: the stack.
        tag: names it among the stacks of all homes of this machine.
        control: the keeper's folder of requests and states.
        image: that the stack asks for; None takes the backend's own.
        user: uid and gid that its processes run as where they do not run as this user; never root.
        job_folders: what its Spark jobs read and write beside their own folder.
        expires: when the stack ends by itself, epoch seconds; ``attached`` while it lives as long as its holder.
    """

    id: str
    tag: str
    control: Path
    image: str | None
    user: tuple[int, int]
    job_folders: tuple[Path, ...]
    expires: str


@dataclass(frozen=True)
class Readiness:
    """Whether a backend could run a stack on this machine now.

    Args:
        ready: whether it could.
        seen: what was found.
        hint: what would help; empty when nothing is needed.
    """

    ready: bool
    seen: str
    hint: str = ""


class RuntimeBackend(Protocol):
    """One way to run the processes of stacks."""

    @property
    def on_this_machine(self) -> bool:
        """Whether its processes use this machine's programs, paths and jars.

        Where they do not, an image has its own programs, a service prepares itself by `test_infra.stack.serve`, and a
        process sees only the paths that its spec names.
        """

    @property
    def client_variables(self) -> tuple[str, ...]:
        """Environment variables by which its clients find it."""

    def image(self, asked: str | None) -> str | None:
        """The image that a stack uses from its start to its end, given the one that it asks for."""

    def prepare(self, identity: Callable[[], StackIdentity]) -> None:
        """Make what a new stack needs before its first process.

        Raises:
            InfrastructureError: the backend cannot run it; says what is missing.
        """

    def runtime(self, kept: LocalRuntime, identity: Callable[[], StackIdentity]) -> Runtime:
        """What starts, observes and stops the stack's processes.

        Args:
            kept: the processes of this machine that the stack's keeper has.
            identity: the stack; asked only where it is needed.
        """

    def remove_all(self, tag: str) -> int:
        """Remove whatever is left of a stack beyond this machine's processes; returns how many processes that were.

        Raises:
            InfrastructureError: the backend does not answer.
        """

    def stacks(self, home: Path) -> list[str]:
        """Ids of the stacks of a home of which something is left; none where the backend does not answer."""

    def readiness(self) -> Readiness | None:
        """Whether it could run a stack now; None where it needs nothing that could be missing."""


def backend_names() -> tuple[str, ...]:
    """The backends as YAML and command line name them."""
    return tuple(map(str, _BACKENDS))


@cache
def _made(place: str) -> RuntimeBackend:
    module, _, name = place.partition(":")
    return cast("RuntimeBackend", getattr(importlib.import_module(module), name)())


def backend_of(name: str) -> RuntimeBackend:
    """The backend of a name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in _BACKENDS:
        raise UsageError(f"there is no backend {name!r}", details={"known": ", ".join(backend_names())})
    return _made(_BACKENDS[name])


def client_variables() -> tuple[str, ...]:
    """Environment variables by which the clients of any backend find it; for processes that start others."""
    return tuple(variable for name in backend_names() for variable in backend_of(name).client_variables)
