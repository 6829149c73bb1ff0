"""Source and lake in the same generation: a cut compares a table with a lake that has just its columns.

DDL comes to the lake a moment later than to the source, and to an idle table without any event. A lake that is not
there yet is waited for; a source that has gone on since its rows were read makes the cut void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from test_infra.base.deadline import StillWaiting, wait_for
from test_infra.base.errors import NotReady
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.schemas import changes_schema, mirror_schema, plain
from test_infra.cdc.lake.versions import first_covering
from test_infra.cdc.stream.follow import recorded
from test_infra.cdc.stream.stream import Covered
from test_infra.cdc.types.generation import not_followed

if TYPE_CHECKING:
    from test_infra.base.deadline import Deadline
    from test_infra.cdc.pipeline.running import RunningPipeline
    from test_infra.cdc.types.generation import Generation
    from test_infra.cdc.types.table import TableSchema

FOLLOWED_WITHIN_S = 30.0
"""The stream looks at the catalogue every second, and a large table takes some to be written anew."""


def of_another_generation(
    pipeline: RunningPipeline, schemas: Sequence[TableSchema], covered: Mapping[str, Covered]
) -> list[TableSchema]:
    """The tables whose lake, at the versions of a cut, has other columns than the source in it."""
    if pipeline.spec.schema_changes != "follow":
        return []
    # Read after the versions were found, and written before the lake is given the columns: a table with one generation
    # had no other one at these versions, and of a hundred tables not each has to be opened.
    known = recorded(pipeline.folders.lake)
    unchanged = {label for label, generations in known.items() if len(generations) == 1}
    return [
        schema
        for schema in schemas
        if schema.label in covered
        and not (schema.label in unchanged and known[schema.label][0].table == schema)
        and not _has_columns(pipeline, schema, covered[schema.label])
    ]


def follow(
    pipeline: RunningPipeline, schemas: Sequence[TableSchema], covered: Mapping[str, Covered], deadline: Deadline
) -> tuple[dict[str, Covered], dict[str, str]]:
    """Wait until the lake has the columns of these tables; one whose DDL the stream cannot follow is left as it is.

    Args:
        pipeline: whose tables are compared.
        schemas: tables of which the lake has other columns.
        covered: how far each table is, at the versions that were found before.
        deadline: of the cut.

    Returns:
        Label -> versions that have the columns, and label -> why there are none yet.
    """
    known, now = recorded(pipeline.folders.lake), pipeline.source.generations()
    waited = [schema for schema in schemas if _is_followed(known.get(schema.label, ()), now.get(schema.label))]
    found: dict[str, Covered] = {}
    behind: dict[str, str] = {}

    def look() -> None:
        for schema in waited:
            if schema.label not in found and (there := _newest(pipeline, schema, covered[schema.label])):
                found[schema.label] = there
        if lacking := [schema.label for schema in waited if schema.label not in found]:
            raise StillWaiting(f"not so: {', '.join(lacking)}")

    within = deadline.within(FOLLOWED_WITHIN_S)
    try:
        wait_for(look, within, what=pipeline.spec.name, awaited="the columns of now in its tables", interval_s=0.05)
    except NotReady:
        for schema in waited:
            if schema.label not in found:
                behind[schema.label] = (
                    f"the lake of {schema.label} has not the columns of the source after {within.timeout_s:.0f} s"
                )
    return {**covered, **found}, behind


def _is_followed(known: Sequence[Generation], now: Generation | None) -> bool:
    return bool(known) and now is not None and not any(not_followed(old, now) for old in known)


def _has_columns(pipeline: RunningPipeline, schema: TableSchema, covered: Covered) -> bool:
    mirror = open_table(pipeline.mirror(schema.label), covered.mirror_version).schema()
    changes = open_table(pipeline.changes(schema.label), covered.changes_version).schema()
    return bool(mirror.equals(plain(mirror_schema(schema))) and changes.equals(plain(changes_schema(schema))))


def _newest(pipeline: RunningPipeline, schema: TableSchema, covered: Covered) -> Covered | None:
    """The newest versions of mirror and change log, when both have the columns of a table."""
    mirror = open_table(pipeline.mirror(schema.label)).commits(back_to=covered.watermark)[-1]
    if mirror.begins or not mirror.applied.covers(covered.watermark):
        return None
    log = open_table(pipeline.changes(schema.label)).commits(back_to=mirror.offsets)
    if (changes := first_covering(log, mirror.offsets)) is None:
        return None
    found = Covered(covered.watermark, dict(mirror.offsets), mirror.version, changes.version)
    return found if _has_columns(pipeline, schema, found) else None
