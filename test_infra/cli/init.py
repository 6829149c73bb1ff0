"""`test-infra init`: a small Dagster project, ready to run."""

from __future__ import annotations

import keyword
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from test_infra.base.errors import UsageError

if TYPE_CHECKING:
    import dagster as dg

PIPELINE = "billing"
SUITE = "billing_tests"
ROOT = "project"
"""Folder of the skeletons that only a whole project has."""
FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    ".gitignore": "gitignore.txt",
    ".github/workflows/e2e.yml": "e2e.yml.txt",
    "{module}/definitions.py": "definitions.py.txt",
    "{module}/defs/nightly.py": "nightly.py.txt",
    "{module}/defs/" + SUITE + "/test_billing_tests.py": "test_billing_tests.py.txt",
}
"""File of the project -> its skeleton."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=True))
def init(folder: Path) -> None:
    """Make a small Dagster project in FOLDER: a pipeline with its SQL, a suite, a workflow for CI."""
    made = make_project(folder)
    click.echo(f"made {folder} with {len(made)} files:")
    for path in made:
        click.echo(f"  {path}")
    click.echo(f"now: cd {folder} && test-infra run e2e")


def make_project(folder: Path) -> list[Path]:
    """Write a project into a folder that is empty or not there yet.

    Returns:
        The files, relative to the folder.

    Raises:
        UsageError: the folder is not empty or cannot be written, or its name makes no module of Python.
    """
    from test_infra.components import scaffold

    root = folder.absolute()
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(
            f"{folder} is there already, and nothing is overwritten",
            hint="name a new folder; in a project, dg scaffold defs test_infra.components.CdcPipeline NAME",
        )
    module = _module_of(root)
    try:
        for path, skeleton in FILES.items():
            target = root / path.format(module=module)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = scaffold.skeleton(f"{ROOT}/{skeleton}", project=module.replace("_", "-"), module=module)
            target.write_text(text, encoding="utf-8")
        defs = root / module / "defs"
        for package in (root / module, defs):
            (package / "__init__.py").touch()
        _components(defs)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written", details={"seen": str(error)}) from error
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


def _module_of(folder: Path) -> str:
    from test_infra.components.scaffold import plain_name

    module = plain_name(folder.name)
    if keyword.iskeyword(module) or find_spec(module) is not None:
        raise UsageError(
            f"the module of project {folder.name!r} cannot be called {module}: Python has one of that name",
            hint=f"test-infra init {folder.name}-e2e",
        )
    return module


def _components(defs: Path) -> None:
    from test_infra.components import scaffold

    for kind, name, scaffolder in (
        ("ServiceStack", "stack", scaffold.ServiceStackScaffolder()),
        ("CdcPipeline", PIPELINE, scaffold.CdcPipelineScaffolder()),
    ):
        scaffolder.scaffold(_request(kind, defs / name, scaffold.NoSettings()))
    suite = scaffold.TestSuiteScaffolder()
    suite.scaffold(_request("TestSuite", defs / SUITE, scaffold.OfPipeline(pipeline=PIPELINE)))


def _request(kind: str, folder: Path, params: Any) -> dg.ScaffoldRequest[Any]:
    """As `dg scaffold defs test_infra.components.<kind> <folder>` would ask."""
    import dagster as dg

    folder.mkdir(parents=True, exist_ok=True)
    return dg.ScaffoldRequest(
        type_name=f"test_infra.components.{kind}",
        target_path=folder,
        scaffold_format="yaml",
        project_root=None,
        params=params,
    )
