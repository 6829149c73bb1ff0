"""A project whose stack has a service that an installed package adds: up, status, env, down, as a shell sees them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from test_infra.stack.sweep import leftovers
from test_infra_tests.e2e.shell import PROJECT, Shell

USER_PACKAGE = Path(__file__).parents[1] / "user_package"
DEFINITIONS = """\
from pathlib import Path
import dagster as dg
from test_infra.components.project import complete

@dg.definitions
def defs():
    return complete(dg.load_from_defs_folder(path_within_project=Path(__file__).parent / "defs"))
"""
STACK = """\
type: test_infra.components.ServiceStack
attributes:
  services:
    postgres: null
    kafka: null
    connect: null
    hello:
      greeting: good day
"""


@pytest.fixture
def project(shell: Shell, tmp_path: Path) -> Iterator[Shell]:
    """A user's project, and the package that adds the service, on the path."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "shop_tests"\n'
    )
    defs = tmp_path / "shop_tests" / "defs" / "stack"
    defs.mkdir(parents=True)
    (tmp_path / "shop_tests" / "definitions.py").write_text(DEFINITIONS)
    for folder in (tmp_path / "shop_tests", tmp_path / "shop_tests" / "defs"):
        (folder / "__init__.py").touch()
    (defs / "defs.yaml").write_text(STACK)
    path = os.pathsep.join(map(str, (tmp_path, USER_PACKAGE, PROJECT)))
    used = replace(
        shell, stack=f"{shell.stack}-{tmp_path.name}"[-40:].strip("-"), cwd=tmp_path, more={"PYTHONPATH": path}
    )
    yield used
    used.run("down")


def test_a_packages_service_is_brought_up_probed_exported_and_ended(project: Shell) -> None:
    started = project.run("up", "--ttl", "5m")
    assert started.returncode == 0, started.stderr
    status = project.run("status", "--json")
    (service,) = json.loads(status.stdout)["services"]
    assert (service["name"], service["state"]) == ("hello", "usable")
    assert service["endpoint"]["version"].startswith("SimpleHTTP")
    url = service["endpoint"]["url"]
    assert httpx.get(url).text == "good day"
    assert project.run("down").returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    assert leftovers(f"{project.stack}@{project.home}") == []


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        ("      greting: good day\n", "services.hello.greting"),
        ("    helo: {}\n", "services.helo: There is no such service; known: postgres, kafka, connect, gateway, hello"),
    ],
)
def test_a_mistake_in_it_is_refused_with_file_and_line(project: Shell, wrong: str, seen: str) -> None:
    defs = project.cwd / "shop_tests" / "defs" / "stack" / "defs.yaml"
    defs.write_text(STACK + wrong)
    refused = project.run("up")
    assert refused.returncode == 2
    assert f"{defs.relative_to(project.cwd)}:{len(defs.read_text().splitlines())}" in refused.stderr
    assert seen in refused.stderr
