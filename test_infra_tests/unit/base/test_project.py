"""Which project a folder belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from test_infra.base.errors import UsageError
from test_infra.base.project import find_project, project_root

OWN = '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "my_tests"\n'


def write(folder: Path, text: str, name: str = "pyproject.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_the_nearest_project_upwards_is_found(tmp_path: Path) -> None:
    root = write(tmp_path / "repo", OWN)
    inner = write(root / "library", '[project]\nname = "a-library-without-dagster"\n')
    found = find_project(inner)
    assert found is not None
    assert (found.root, found.definitions_module, found.import_root) == (root, "my_tests.definitions", root)
    assert found.location_name == "repo"
    assert project_root(inner) == root


def test_modules_in_src_are_imported_from_there(tmp_path: Path) -> None:
    root = write(tmp_path, OWN)
    (root / "src").mkdir()
    found = find_project(root)
    assert found is not None
    assert found.import_root == root / "src"


def test_a_dg_toml_is_a_project_too(tmp_path: Path) -> None:
    write(tmp_path, '[project]\nroot_module = "a"\ncode_location_target_module = "a.here"\n', "dg.toml")
    found = find_project(tmp_path)
    assert found is not None
    assert found.definitions_module == "a.here"


@pytest.mark.parametrize("text", [None, '[project]\nname = "x"\n', "[tool.dg.cli]\nverbose = true\n"])
def test_a_folder_that_describes_no_project_has_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write(tmp_path, text)
    assert find_project(tmp_path) is None


def test_without_a_dagster_project_the_nearest_pyproject_is_the_root_and_else_the_folder(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert project_root(inner) == inner
    write(tmp_path / "a", '[project]\nname = "x"\n')
    assert project_root(inner) == tmp_path / "a"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("[tool.dg\n", "is no TOML"),
        ('[tool.dg]\ndirectory_type = "project"\n', "describes no Dagster project"),
        (
            '[tool.dg]\ndirectory_type = "workspace"\n[[tool.dg.workspace.projects]]\npath = "shop"\n',
            "is a workspace of Dagster projects",
        ),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, seen: str) -> None:
    write(tmp_path, text)
    with pytest.raises(UsageError, match=seen) as refused:
        find_project(tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert project_root(tmp_path) == tmp_path
