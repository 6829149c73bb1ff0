"""`test-infra dev`: Dagster's UI and daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
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
    with tempfile.TemporaryDirectory(prefix="test_infra-dev-") as folder:
        argv = [sys.executable, "-m", "dagster", "dev", "--host", "127.0.0.1", "--port", str(port)]
        return _run([*argv, *_code_location(Path(folder))], port)


def _run(argv: list[str], port: int) -> int:
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


def _code_location(folder: Path) -> list[str]:
    """Arguments that name the project to Dagster; a file of theirs, if need be, is made in ``folder``."""
    of_the_project = project_root() / "workspace.yaml"
    if of_the_project.is_file():
        return ["-w", str(of_the_project)]
    project = find_project()
    if project is None:
        return ["-m", BUILT_IN]
    # As dg does: of the options of the command line none gives the name by which the project is configured.
    module = {
        "module_name": project.definitions_module,
        "working_directory": str(project.import_root),
        "location_name": project.location_name,
    }
    made = folder / "workspace.yaml"
    made.write_text(json.dumps({"load_from": [{"python_module": module}]}), encoding="utf-8")  # JSON is YAML
    return ["-w", str(made)]


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
