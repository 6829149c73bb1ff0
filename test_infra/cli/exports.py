"""The environment by which other programs find the stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.stack import Stack


def exports(stack: Stack, pipeline: str | None, table: str | None) -> dict[str, str]:
    """Variable -> value, the owner's password in the clear.

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

    postgres = stack.endpoint("postgres")
    return {
        HOME_VARIABLE: str(home()),
        STACK_VARIABLE: stack.id,
        VARIABLE: str(dagster_home()),
        "KAFKA_BOOTSTRAP_SERVERS": stack.endpoint("kafka").url,
        "DEBEZIUM_URL": stack.endpoint("connect").url,
        "POSTGRES_HOST": postgres.host,
        "POSTGRES_PORT": str(postgres.port),
        "POSTGRES_DB": postgres.properties["database"],
        "POSTGRES_USER": postgres.properties["owner_user"],
        "POSTGRES_PASSWORD": postgres.secret("owner_password"),
        **_of_pipeline(choose_pipeline(stack, pipeline), table),
    }


def _of_pipeline(pipeline: RunningPipeline, table: str | None) -> dict[str, str]:
    known, folders = pipeline.tables, pipeline.folders
    chosen = table or known[0]
    if chosen not in known:
        raise UsageError(f"pipeline {pipeline.spec.name} has no table {chosen!r}", details={"known": ", ".join(known)})
    return {
        "KAFKA_TOPIC": pipeline.topic(chosen),
        "DELTA_TABLE_PATH": str(folders.mirror(chosen)),
        "DELTA_CHANGES_PATH": str(folders.changes(chosen)),
        "CHECKPOINT_LOCATION": str(folders.checkpoint),
    }
