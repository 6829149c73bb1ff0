"""What a service is: its settings, and how it is prepared, started, probed and reached."""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError
from test_infra.runtime.process import Restart
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.ports import LOOPBACK


class ServiceFailed(InfrastructureError):
    """A service died while starting, or never became usable."""


class ServiceSettings(Document):
    """What users may set for a service in YAML. Every service derives its own model from this one."""


@dataclass(frozen=True)
class User:
    """An account of this machine that a service drops to."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class ServicePlace:
    """Folders, ports and neighbours of one service in one stack.

    Args:
        stack_id: the stack.
        config: folder of its configuration files, 0700.
        data: folder of its data.
        secrets: folder of the stack's secrets, 0700.
        ports: port name -> port.
        endpoints: services it depends on, already usable, as it reaches them.
        listen: the address it listens on.
        network_name: its name in the containers' network; None where there is none.
    """

    stack_id: str
    config: Path
    data: Path
    secrets: Path
    ports: Mapping[str, int]
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    listen: str = LOOPBACK
    network_name: str | None = None


@dataclass(frozen=True)
class Command:
    """The process of a service.

    Args:
        argv: program and arguments.
        env: its whole environment.
        user: account to drop to; None stays.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    user: User | None = None


@dataclass(frozen=True)
class ServiceSpec:
    """One long-running program.

    Args:
        name: unique in a stack.
        ports: names of the ports it listens on; the first is the clients'.
        fixed_port: the clients' port when the user wants a certain one.
        depends_on: services that must be usable before it starts.
        prepare: writes its configuration and initial data; runs before every start, so it must leave alone what is
            there already.
        command: the process to run, once it is prepared.
        endpoint: how clients reach it, version still empty; makes the service's secrets when they are missing.
        probe: a real query; returns the version. Raises `StillWaiting` while the service is not usable yet, and an
            `InfrastructureError` when waiting would not help.
        memory_limit_mib: resident memory beyond which it is killed, MiB.
        restart: what follows when it ends by itself.
        stop_timeout_s: patience between its stop signal and SIGKILL, seconds.
        secrets: names of the stack's secrets that it is given.
        stop_signal: how it is asked to end.
        end_signal: how it is ended with the whole stack; None: ``stop_signal``.
        on_host: it drives the backend itself, so it stays a process of this machine whatever the backend is.
    """

    name: str
    ports: tuple[str, ...]
    prepare: Callable[[ServicePlace], None]
    command: Callable[[ServicePlace], Command]
    endpoint: Callable[[ServicePlace], Endpoint]
    probe: Callable[[Endpoint], str]
    fixed_port: int | None = None
    depends_on: tuple[str, ...] = ()
    memory_limit_mib: int | None = None
    restart: Restart = Restart.ALWAYS
    stop_timeout_s: float = 5.0
    secrets: tuple[str, ...] = ()
    stop_signal: int = signal.SIGTERM
    end_signal: int | None = None
    on_host: bool = False


@dataclass(frozen=True)
class ExternalService:
    """A service that is already there: attached to, never started or stopped.

    Args:
        name: unique in a stack.
        endpoint: how clients reach it, given the folder for secrets.
        probe: a real query; returns the version.
    """

    name: str
    endpoint: Callable[[Path], Endpoint]
    probe: Callable[[Endpoint], str]
    depends_on: tuple[str, ...] = ()


def no_exports(_: Endpoint) -> dict[str, str]:
    """No environment variables."""
    return {}


@dataclass(frozen=True)
class ServiceDefinition:
    """A service that stacks can have. Every file of a service, built-in or of a package, ends in one.

    Args:
        name: its key below ``services`` in YAML: lower-case letters, digits and underscores.
        description: one sentence, shown with the YAML schema.
        settings: what users may set; every field has a default, or the service must be named in YAML.
        build: settings -> the service, or the external one that the settings name.
        on_by_default: whether a stack that does not mention it has it, with default settings.
        asset_kinds: icons of its asset in Dagster's UI.
        exports: endpoint -> environment variables that ``test-infra env`` prints, secrets in the clear.
    """

    name: str
    description: str
    settings: type[ServiceSettings]
    build: Callable[[Any], ServiceSpec | ExternalService]
    on_by_default: bool = False
    asset_kinds: frozenset[str] = frozenset()
    exports: Callable[[Endpoint], Mapping[str, str]] = no_exports


def unprivileged_user() -> User | None:
    """The account that services drop to when this process is root; None when it is not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return User(name, entry.pw_uid, entry.pw_gid)
    raise InfrastructureError(
        "PostgreSQL refuses to run as root and there is no user to drop to",
        details={"looked for": "postgres, nobody in the password file"},
        hint="useradd --system nobody",
    )
