"""`test-infra dev`: Dagster's UI and daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import click

from test_infra.base.errors import InfrastructureError, UsageError
from test_infra.base.project import BUILT_IN, find_project, project_root
from test_infra.cli.interrupts import interrupts

ENDS_WITHIN_S = 25.0
"""The daemon's gRPC child may take 20 s."""


@click.command()
@click.option("--port", default=3000, show_default=True, help="Port of the UI on loopback.")
def dev(port: int) -> int:
    """Start Dagster's UI and daemon on loopback; Ctrl-C ends both."""
    from test_infra.cli.instance import dagster_home

    if find_spec("dagster_webserver") is None:
        raise UsageError("Dagster's UI is not installed", hint="pip install 'test-infra[ui]', or make setup")
    dagster_home()
    argv = [
        sys.executable,
        "-m",
        "dagster",
        "dev",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        *_code_location(project_root()),
    ]
    # A session of its own: Dagster copies an ignored SIGINT from whoever started us and then hears neither SIGINT nor
    # SIGTERM; and Ctrl-C must reach it once, through us.
    process = subprocess.Popen(argv, start_new_session=True, preexec_fn=_hear_signals)  # noqa: PLW1509
    with interrupts.before_hard_end(lambda: _kill(process)):
        try:
            code = process.wait()
        except KeyboardInterrupt:
            _end(process)
            raise
    if code:
        raise InfrastructureError(
            f"dagster dev ended with {code}", hint=f"its lines above say why; is port {port} taken?"
        )
    return code


def _code_location(root: Path) -> list[str]:
    workspace = root / "workspace.yaml"
    if workspace.is_file():
        return ["-w", str(workspace)]
    project = find_project()
    if project is None:
        return ["-m", BUILT_IN]
    return ["-m", project.definitions_module, "-d", str(project.import_root)]


def _hear_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
