"""Names that a project cannot have are refused with file and line, however it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_infra.base.errors import BadDocument
from test_infra.components.names import RESERVED, DeclaredName, refuse_clashes

DEFINITIONS = """
from pathlib import Path

import dagster as dg

from test_infra.components.project import complete


@dg.definitions
def defs() -> dg.Definitions:
    return complete(dg.load_from_defs_folder(path_within_project=Path(__file__).parent / "defs"))
"""
PYPROJECT = """
[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "theirs"
registry_modules = ["test_infra.components"]
"""
WAYS = {
    "test-infra run": ["-c", "from test_infra.cli import main; main()", "run", "e2e"],
    "dg check defs": ["-c", "from dagster_dg_cli.cli import main; main()", "check", "defs"],
    "dagster job execute": ["-m", "dagster", "job", "execute", "-m", "theirs.definitions", "-j", "e2e"],
}


def pipeline(name: str, at: str = "/p/defs/a/defs.yaml:4", *, own_job: bool = False) -> DeclaredName:
    return DeclaredName("pipeline", name, at, own_job=own_job)


def suite(name: str, at: str = "/p/defs/s/defs.yaml:4") -> DeclaredName:
    return DeclaredName("suite", name, at)


def refusal(*declared: DeclaredName, other_jobs: tuple[str, ...] = ()) -> dict[str, str]:
    with pytest.raises(BadDocument) as refused:
        refuse_clashes(declared, other_jobs)
    return {Path(where).name: message for where, message in refused.value.details.items()}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_pipeline_with_a_reserved_name_is_refused(name: str) -> None:
    assert f"{name!r} is reserved" in refusal(pipeline(name))["defs.yaml:4"]


def test_the_reserved_names_are_those_of_the_graph() -> None:
    assert {"stack", "suites", "verdict", "spark", "default"} == RESERVED


def test_two_pipelines_of_one_name_are_both_refused() -> None:
    told = refusal(pipeline("shop", "/p/defs/a/defs.yaml:4"), pipeline("shop", "/p/defs/b/defs.yaml:9"))
    assert "defs/b/defs.yaml:9" in told["defs.yaml:4"]
    assert "defs/a/defs.yaml:4" in told["defs.yaml:9"]


def test_two_suites_of_one_name_are_both_refused() -> None:
    told = refusal(suite("it", "/p/defs/a/defs.yaml:4"), suite("it", "/p/defs/b/defs.yaml:9"))
    assert set(told) == {"defs.yaml:4", "defs.yaml:9"}


@pytest.mark.parametrize("name", ["e2e", "smoke", "parity", "weekly"])
def test_an_own_job_called_like_another_job_is_refused(name: str) -> None:
    told = refusal(pipeline(name, own_job=True), other_jobs=("weekly",))
    assert "Dagster job" in told["defs.yaml:4"]


def test_other_names_are_taken() -> None:
    """A suite may be called like a pipeline, and a pipeline without a job of its own like a job."""
    refuse_clashes([pipeline("shop"), suite("shop"), suite("stack"), pipeline("parity")], ["shop"])


def yaml(kind: str, name: str, more: str = "") -> str:
    return f"type: test_infra.components.{kind}\n\nattributes:\n  name: {name}\n{more}"


PIPELINE = "  tables: [invoices]\n"
FAULTS = {
    "reserved": yaml("CdcPipeline", "stack", PIPELINE),
    "shop": yaml("CdcPipeline", "shop", PIPELINE),
    "shop_again": yaml("CdcPipeline", "shop", PIPELINE),
    "suite": yaml("TestSuite", "it", "  pipeline: shop\n"),
    "suite_again": yaml("TestSuite", "it", "  pipeline: shop\n"),
    "own_job": yaml("CdcPipeline", "e2e", f"{PIPELINE}  own_job: true\n"),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_load_a_project_refuses_each_with_file_and_line(tmp_path: Path, way: str) -> None:
    root = tmp_path / "theirs"
    for folder in (root, root / "defs"):
        folder.mkdir()
        (folder / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (root / "definitions.py").write_text(DEFINITIONS)
    for folder, text in FAULTS.items():
        (root / "defs" / folder).mkdir()
        (root / "defs" / folder / "defs.yaml").write_text(text)
    refused = subprocess.run(
        [sys.executable, *WAYS[way]],
        cwd=tmp_path,
        env={**os.environ, "TEST_INFRA_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = refused.stdout + refused.stderr
    assert refused.returncode != 0
    assert "the YAML of this project is refused" in said
    assert [fault for fault in FAULTS if f"theirs/defs/{fault}/defs.yaml:4: name: " not in said] == [], said
    if way == "test-infra run":
        assert refused.returncode == 2
        assert "Traceback" not in said
