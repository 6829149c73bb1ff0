"""The Dagster project around a folder, as its configuration file describes it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from test_infra.base.errors import UsageError

BUILT_IN = "test_infra.definitions"
"""Module with the definitions of the project that runs where there is no other."""
TYPES = ("project", "workspace")
"""Values of ``directory_type``."""


@dataclass(frozen=True)
class Project:
    """A Dagster project: a folder whose ``pyproject.toml`` has ``[tool.dg]``, or which has a ``dg.toml``.

    Args:
        root: the folder.
        config: the configuration file.
        definitions_module: the module that holds the project's definitions.
        location_name: what Dagster calls the project.
    """

    root: Path
    config: Path
    definitions_module: str
    location_name: str

    @property
    def import_root(self) -> Path:
        """The folder from which the project's modules are imported, as ``dg`` chooses it."""
        return self.root / "src" if (self.root / "src").is_dir() else self.root


def find_project(start: Path | None = None) -> Project | None:
    """The nearest Dagster project upwards; None when there is none.

    Raises:
        UsageError: the nearest configuration is no TOML, names no module, or is that of a workspace of projects.
    """
    for folder in _upwards(start):
        for config in (folder / "dg.toml", folder / "pyproject.toml"):
            settings = _dagster_settings(config)
            if settings is not None:
                module = _definitions_module(config, settings)
                return Project(folder, config, module, settings["project"].get("code_location_name") or folder.name)
    return None


def project_root(start: Path | None = None) -> Path:
    """The folder that stands for a project: of the nearest Dagster project, else of the nearest ``pyproject.toml``,
    else the start itself.
    """
    folders = list(_upwards(start))
    for is_root in (_is_dagsters, lambda folder: (folder / "pyproject.toml").is_file()):
        for folder in folders:
            if is_root(folder):
                return folder
    return folders[0]


def _upwards(start: Path | None) -> Iterator[Path]:
    begin = (start or Path.cwd()).resolve()
    yield begin
    yield from begin.parents


def _is_dagsters(folder: Path) -> bool:
    try:
        return any(_dagster_settings(folder / name) is not None for name in ("dg.toml", "pyproject.toml"))
    except UsageError:
        return False


def _dagster_settings(config: Path) -> Mapping[str, Any] | None:
    """What the file says to ``dg``; None when there is no such file, or it describes no project."""
    try:
        document = tomllib.loads(config.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except ValueError as error:
        raise UsageError(f"{config} is no TOML", details={"seen": str(error)}) from error
    settings: Mapping[str, Any] = document if config.name == "dg.toml" else document.get("tool", {}).get("dg", {})
    return settings if "project" in settings or settings.get("directory_type") in TYPES else None


def _definitions_module(config: Path, settings: Mapping[str, Any]) -> str:
    project = settings.get("project", {})
    if "code_location_target_module" in project:
        return str(project["code_location_target_module"])
    if "root_module" in project:
        return f"{project['root_module']}.definitions"
    if settings.get("directory_type") == "workspace":
        paths = [str(member.get("path", "")) for member in settings.get("workspace", {}).get("projects", [])]
        raise UsageError(
            f"{config.parent} is a workspace of Dagster projects, and this command is for one project",
            details={"projects": ", ".join(paths) or "none"},
            hint="run it in the folder of one of them",
        )
    raise UsageError(
        f"{config} describes no Dagster project",
        details={"missing": "root_module" if config.name == "dg.toml" else "root_module in [tool.dg.project]"},
        hint="test-infra init makes a project with everything in it",
    )
