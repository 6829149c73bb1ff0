"""The `local` backend: processes of this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from test_infra.runtime.backend import Runtime
from test_infra.runtime.factory import Readiness, StackIdentity
from test_infra.runtime.local import LocalRuntime


class LocalBackend:
    """The keeper's own processes; what is left of them is found by the sweep, not here."""

    on_this_machine = True
    client_variables: tuple[str, ...] = ()

    def image(self, asked: str | None) -> str | None:
        """As it was asked for, and never used."""
        return asked

    def prepare(self, identity: Callable[[], StackIdentity]) -> None:
        """Nothing to make."""

    def runtime(self, kept: LocalRuntime, identity: Callable[[], StackIdentity]) -> Runtime:  # noqa: ARG002 - the interface's
        """The keeper's processes themselves."""
        return kept

    def remove_all(self, tag: str) -> int:  # noqa: ARG002 - the interface's
        """Nothing beyond this machine's processes."""
        return 0

    def stacks(self, home: Path) -> list[str]:  # noqa: ARG002 - the interface's
        """None: the folders of the home say it all."""
        return []

    def readiness(self) -> Readiness | None:
        """It needs no engine."""
        return None
