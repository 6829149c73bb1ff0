"""What people get wrong ends with exit code 2 or 3 and a text that says what to do."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from test_infra_tests.e2e.shell import Shell

DEFINITIONS = """\
from pathlib import Path

import dagster as dg

from test_infra.components.project import complete


@dg.definitions
def defs() -> dg.Definitions:
    return complete(dg.load_from_defs_folder(path_within_project=Path(__file__).parent / "defs"))
"""
STACK = "type: test_infra.components.ServiceStack\n\nattributes:\n  services:\n"


@pytest.fixture
def project(shell: Shell, tmp_path: Path) -> Shell:
    """A Dagster project of somebody else's that uses our components."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "theirs"\n'
        'registry_modules = ["test_infra.components"]\n'
    )
    (tmp_path / "theirs" / "defs" / "stack").mkdir(parents=True)
    for package in ("theirs", "theirs/defs"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "theirs" / "definitions.py").write_text(DEFINITIONS)
    return Shell(shell.home, shell.stack, cwd=tmp_path, more={"PYTHONPATH": str(tmp_path)})


def write(project: Shell, place: str, yaml: str) -> None:
    path = project.cwd / "theirs" / "defs" / place / "defs.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml)


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        (STACK + "    kafka:\n      heap_mb: 512\n", ["stack/defs.yaml:6", "heap_mb"]),
        (STACK + "    kafka:\n      heap_mib: much\n", ["stack/defs.yaml:6", "heap_mib"]),
        ("type: test_infra.components.ServiceStck\n", ["ServiceStck"]),
        ("type: [unclosed\n", ["defs.yaml"]),
    ],
)
@pytest.mark.parametrize(
    "verb", [["up"], pytest.param(["run", "e2e"], marks=pytest.mark.ci(reason="the same refusals in another case"))]
)
def test_refused_yaml_is_exit_code_2_with_file_and_line(
    project: Shell, verb: list[str], yaml: str, words: list[str]
) -> None:
    write(project, "stack", yaml)

    refused = project.run(*verb)

    assert refused.returncode == 2, refused.stderr
    assert [word for word in words if word not in refused.stderr] == [], refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_job_that_does_not_exist_is_answered_with_the_known_ones(shell: Shell) -> None:
    refused = shell.run("run", "nightly")

    assert refused.returncode == 2
    assert "known:     e2e, parity, smoke" in refused.stderr


def test_a_fixed_port_that_is_taken_is_named(project: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        write(project, "stack", f"{STACK}    kafka:\n      port: {port}\n")

        refused, examined = project.run("up"), project.run("doctor")

    assert refused.returncode == 3
    assert f"port {port} for kafka is taken" in refused.stderr
    assert f"process {os.getpid()}" in refused.stderr
    assert examined.returncode == 3
    assert f"{port} is taken by process {os.getpid()}" in examined.stdout


def path_without_java(folder: Path) -> str:
    """A PATH with everything of this one but java."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in Path(place).glob("*") if Path(place).is_dir() else []:
            if program.name != "java" and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    return str(folder)


@pytest.mark.parametrize(
    "version", [None, pytest.param("11.0.2", marks=pytest.mark.ci(reason="the same refusals in another case"))]
)
def test_java_that_is_missing_or_too_old_is_one_clear_text(shell: Shell, tmp_path: Path, version: str | None) -> None:
    path = path_without_java(tmp_path / "bin")
    if version is not None:
        java = tmp_path / "bin" / "java"
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        java.chmod(0o755)
    without = Shell(shell.home, shell.stack, more={"PATH": path, "JAVA_HOME": ""})

    refused = without.run("up")

    assert refused.returncode == 3, refused.stderr
    assert "Java 17 or newer is missing" in refused.stderr
    assert "try:" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert without.run("doctor").returncode == 3
    assert shutil.which("java") is not None
