"""Continuity breaks: what was replaced, cut or lost on the way from the source to the lake.

Parity compares rows; this looks at what they travel through. A slot that was dropped and made again, a table that left
the publication or a topic that was deleted can all leave every row equal - today.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.cdc.pipeline.captured import resolve
from test_infra.cdc.pipeline.origin import Origin
from test_infra.cdc.pipeline.topics import extents_of
from test_infra.cdc.sources.origin import Break
from test_infra.cdc.stream.continuity import breaks as lake_breaks

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.running import RunningPipeline


def breaks(pipeline: RunningPipeline) -> list[Break]:
    """Every break of a pipeline that has run; empty when there is none.

    Raises:
        InfrastructureError: source, Connect or Kafka did not answer, so nothing could be told.
    """
    folders, source = pipeline.folders, pipeline.source
    found = [*source.breaks(pipeline.committed), *_uncaptured(pipeline)]
    changes = {pipeline.topic(table): folders.changes(table) for table in pipeline.tables}
    extents = extents_of(pipeline.bootstrap, changes)
    topics = {topic: extent.topic_id for topic, extent in extents.items()}
    now = Origin(source=source.origin(), topics=topics)
    found += lake_breaks(now, folders.lake, folders.checkpoint, changes, extents, {pipeline.names.message_topic})
    for part, folder in (("lake", folders.lake), ("checkpoint", folders.checkpoint)):
        if Origin.read(folder) is None:
            found.append(Break(part, "nothing says which source and topics it comes from"))
    return found


def _uncaptured(pipeline: RunningPipeline) -> list[Break]:
    """Tables that a pattern means now and did not when the source was prepared."""
    spec = pipeline.spec
    if not spec.has_patterns:
        return []
    meant = resolve(spec.entries, spec.excluded, pipeline.source.table_ids(spec.source.schema_name))
    return [
        Break(f"table {table.id.qualified}", f"{label} means it, and it is not captured: it was made later")
        for label, tables in meant.items()
        for table in tables
        if table.id.label not in pipeline.table_ids
    ]
