"""A pipeline's source made ready: tables, rights and publication, the rows of the snapshot, the pipeline on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.base.paths import private_dir, write_private
from test_infra.cdc.load.seed import seed_rows
from test_infra.cdc.load.shape import shapes_of
from test_infra.cdc.pipeline.captured import refuse_clashes, refuse_unmatched, resolve
from test_infra.cdc.pipeline.origin import Discontinuity, Origin
from test_infra.cdc.pipeline.running import ResolvedTables
from test_infra.cdc.pipeline.table_states import remember
from test_infra.cdc.sources.source import SqlFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.sources.origin import SourceOrigin
    from test_infra.cdc.types.table import TableSchema
    from test_infra.cdc.types.table_id import CapturedTable, TableId

WRITERS = 2
"""Sessions of the load."""


def prepare(pipeline: RunningPipeline) -> list[TableSchema]:
    """Make the source ready to be captured; afterwards the pipeline is on record.

    Done again it changes nothing. A table that is empty gets the rows that the pipeline's load asks for before the
    connector, and every one of them is in the history.

    Returns:
        The captured tables in the order of the pipeline.

    Raises:
        UsageError: the source or a table does not allow to capture it; says what to do.
        Discontinuity: the pipeline's lake is of another source, or of a table that was there before.
        SourceUnreachable: the source did not accept the owner or the capture role.
    """
    spec, folders = pipeline.spec, pipeline.folders
    made_by = spec.source
    ddl = None if made_by.ddl is None else SqlFile(made_by.ddl, made_by.encoding, made_by.skip_owners)
    captured = resolve_patterns(pipeline, ddl) if spec.has_patterns else pipeline.captured
    source = pipeline.source_with([table for tables in captured.values() for table in tables])

    def check_before_publishing(schemas: Sequence[TableSchema], origin: SourceOrigin) -> None:
        _check_excluded(captured, schemas)
        if spec.load is not None and spec.load.generated:
            _check_keys(schemas)
        _check_origin(pipeline, origin)

    schemas = source.prepare(ddl, check_before_publishing)
    private_dir(folders.record.parent)
    write_private(pipeline.document_path("tables"), ResolvedTables(entries=dict(captured)).model_dump_json(indent=1))
    remember(pipeline)
    if spec.load is not None and spec.load.generated:
        seed_rows(
            source.session,
            shapes_of(schemas, source.constraints(), spec.load.values),
            rows=spec.load.rows_before,
            seed=spec.load.seed,
            writers=WRITERS,
            history=folders.history,
        )
    write_private(folders.record, spec.model_dump_json(indent=1))
    return schemas


def resolve_patterns(pipeline: RunningPipeline, ddl: SqlFile | None) -> dict[str, tuple[CapturedTable, ...]]:
    """Label of a line under ``tables:`` -> the tables of the source that it means now.

    Args:
        pipeline: with patterns.
        ddl: is run when a pattern means no table, or a named one does not exist.

    Raises:
        UsageError: a pattern means no table, or two tables cannot be told apart.
    """
    spec, source = pipeline.spec, pipeline.source_with(())

    def found() -> tuple[list[TableId], dict[str, tuple[CapturedTable, ...]]]:
        available = source.table_ids(spec.source.schema_name)
        return available, resolve(spec.entries, spec.excluded, available)

    available, resolved = found()
    if ddl is not None and not all(
        tables and all(table.id in available for table in tables) for tables in resolved.values()
    ):
        source.run_ddl(ddl)
        available, resolved = found()
    refuse_unmatched(resolved, available)
    refuse_clashes(table.id for tables in resolved.values() for table in tables)
    return resolved


def _check_excluded(captured: Mapping[str, Sequence[CapturedTable]], schemas: Sequence[TableSchema]) -> None:
    """Every excluded column is one of its table, or of one of the tables of its pattern."""
    known = {schema.label: {*(column.name for column in schema.excluded), *schema.generated} for schema in schemas}
    for label, tables in captured.items():
        there = {name for table in tables for name in known[table.id.label]}
        if unknown := [name for table in tables for name in table.excluded if name not in there]:
            raise UsageError(
                f"{label} has no column {unknown[0]} that could be left out",
                hint="`columns: exclude:` takes names without double quotes; upper and lower case count",
            )


def _check_keys(schemas: Sequence[TableSchema]) -> None:
    """Every table has a key, by which a generated load knows the rows that it wrote."""
    if keyless := [schema for schema in schemas if not schema.key]:
        raise UsageError(
            f"table {keyless[0].qualified} has no key, and a generated load knows its rows by their keys",
            details={"without a key": ", ".join(schema.qualified for schema in keyless)},
            hint="traffic of your own (`load: {sql: [...]}`, `load: {command: [...]}`, `load: null`), or leave it "
            "out of the pipeline",
        )


def _check_origin(pipeline: RunningPipeline, now: SourceOrigin) -> None:
    for folder in (pipeline.folders.lake, pipeline.folders.checkpoint):
        recorded = Origin.read(folder)
        if recorded is not None and (found := recorded.breaks(Origin(source=now))):
            raise Discontinuity(pipeline.spec.name, found)
