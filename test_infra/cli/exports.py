"""The environment by which other programs find the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.stack import Stack


def exports(stack: Stack, pipeline: str | None, table: str | None) -> dict[str, str]:
    """Variable -> value, what each service of the stack says of itself; passwords in the clear.

    Args:
        stack: the running stack.
        pipeline: whose topic and tables; None is the first of the project.
        table: which of its tables; None is the first.

    Raises:
        UsageError: no such pipeline or table.
    """
    from test_infra.base.paths import HOME_VARIABLE, STACK_VARIABLE, home
    from test_infra.cli.instance import VARIABLE, dagster_home
    from test_infra.cli.project import choose_pipeline

    return {
        HOME_VARIABLE: str(home()),
        STACK_VARIABLE: stack.id,
        VARIABLE: str(dagster_home()),
        **_of_services(stack),
        **_of_pipeline(choose_pipeline(stack, pipeline), table),
    }


def _of_services(stack: Stack) -> dict[str, str]:
    from test_infra.stack.registry import known_services, services_of

    known = known_services()
    exported: dict[str, str] = {}
    for name in services_of(stack.spec):
        exported.update(known[name].exports(stack.endpoint(name)))
    return exported


def _of_pipeline(pipeline: RunningPipeline, table: str | None) -> dict[str, str]:
    known, folders = pipeline.tables, pipeline.folders
    meant = pipeline.tables_called(table) if table else known
    if not meant:
        raise UsageError(f"pipeline {pipeline.spec.name} has no table {table!r}", details={"known": ", ".join(known)})
    chosen = meant[0]
    return {
        "KAFKA_TOPIC": pipeline.topic(chosen),
        "DELTA_TABLE_PATH": str(folders.mirror(chosen)),
        "DELTA_CHANGES_PATH": str(folders.changes(chosen)),
        "CHECKPOINT_LOCATION": str(folders.checkpoint),
    }
