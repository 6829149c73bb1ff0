"""`test-infra draft`: the YAML of a pipeline from a live database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from test_infra.base.errors import UsageError

if TYPE_CHECKING:
    from test_infra.cdc.sources.postgres.survey import Survey

FILE = "defs.yaml"


@click.command()
@click.option("--from", "url", required=True, metavar="URL", help="postgres://USER@HOST:PORT/DATABASE, of the owner.")
@click.option("--schema", "schemas", required=True, multiple=True, help="Schema of the tables; may be given again.")
@click.option("--name", help="Name of the pipeline; by default that of the first schema.")
@click.option("--write", is_flag=True, help="Into the project's defs folder, instead of on stdout.")
def draft(url: str, schemas: tuple[str, ...], name: str | None, *, write: bool) -> None:
    """Draft a pipeline of a live database: every table that can be captured, the others with the reason.

    Passwords are never written: PGPASSWORD or .pgpass gives one here, environment variables give them to the stack.
    """
    from test_infra.cdc.sources.postgres.survey import survey
    from test_infra.components.draft import pipeline_yaml, stack_yaml
    from test_infra.components.scaffold import plain_name

    called = plain_name(name or schemas[0])
    found = survey(url, list(dict.fromkeys(schemas)))
    _refuse_nothing(found)
    pipeline, stack = pipeline_yaml(called, found), stack_yaml(called, found)
    if write:
        _write(called, pipeline, stack)
    else:
        click.echo(f"{pipeline}---\n{stack}", nl=False)


def _refuse_nothing(found: Survey) -> None:
    if any(not table.fault for table in found.tables):
        return
    raise UsageError(
        f"no table of {', '.join(found.schemas)} can be captured",
        details={table.id.label: f"{table.fault}; {table.remedy}" for table in found.tables[:20]}
        or {"seen": "no table at all; upper and lower case count"},
    )


def _write(name: str, pipeline: str, stack: str) -> None:
    """Write both files; a stack that somebody has changed is left alone, and said to be."""
    from test_infra.components.scaffold import skeleton

    defs = _defs_folder()
    target = defs / name / FILE
    if target.parent.exists():
        raise UsageError(f"{target.parent} is there already, and nothing is overwritten", hint="--name another_one")
    target.parent.mkdir(parents=True)
    target.write_text(pipeline, encoding="utf-8")
    click.echo(f"made {target}")
    of_stack = defs / "stack" / FILE
    untouched = skeleton("service_stack.yaml", type="test_infra.components.ServiceStack")
    if not of_stack.exists() or of_stack.read_text(encoding="utf-8") == untouched:
        of_stack.parent.mkdir(exist_ok=True)
        of_stack.write_text(stack, encoding="utf-8")
        click.echo(f"made {of_stack}; it names the environment variables of the passwords")
    else:
        click.echo(f"{of_stack} is left as it is; the database as a service of the stack:\n\n{stack}", nl=False)


def _defs_folder() -> Path:
    from test_infra.base.project import find_project

    project = find_project()
    if project is None:
        raise UsageError("there is no project here to write into", hint="test-infra init FOLDER, then in that folder")
    package = project.definitions_module.rpartition(".")[0]
    folder = project.import_root.joinpath(*package.split("."), "defs")
    if not folder.is_dir():
        raise UsageError(f"the project has no folder {folder}", hint="without --write, the draft goes to stdout")
    return folder
