"""What `test-infra dev` names to Dagster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from test_infra.cli.dev import _code_location


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my-tests"
    (folder / "src").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_a_project_is_named_with_its_own_name_and_the_folder_of_its_modules(project: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "mine"\ncode_location_name = "theirs"\n')
    option, file = _code_location(tmp_path)
    (location,) = json.loads(Path(file).read_text())["load_from"]
    assert option == "-w"
    assert location["python_module"] == {
        "module_name": "mine.definitions",
        "working_directory": str(project / "src"),
        "location_name": "theirs",
    }


def test_without_a_project_it_is_the_built_in_one(project: Path, tmp_path: Path) -> None:
    assert _code_location(tmp_path) == ["-m", "test_infra.definitions"]


def test_a_workspace_file_of_the_project_wins(project: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "mine"\n')
    (project / "workspace.yaml").write_text("load_from: []\n")
    assert _code_location(tmp_path) == ["-w", str(project / "workspace.yaml")]
