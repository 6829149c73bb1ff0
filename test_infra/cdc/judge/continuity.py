"""Whether the way from the source to the lake still hangs together: nothing replaced, cut or lost on it.

Parity compares rows; this looks at what carries them. A slot that was dropped and made again, a table that left the
publication or a topic that was deleted can all leave every row equal - today.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from test_infra.cdc.pipeline.connector import ConnectClient
from test_infra.cdc.pipeline.names import PipelineFolders, PipelineNames
from test_infra.cdc.pipeline.origin import Break, Origin, origin_of
from test_infra.cdc.pipeline.topics import extents_of
from test_infra.cdc.sources import postgres
from test_infra.cdc.sources.postgres import publication
from test_infra.cdc.sources.postgres.shape import problem, shapes
from test_infra.cdc.sources.postgres.slot import slot_breaks
from test_infra.cdc.stream.writer_lock import breaks as lake_breaks

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.spec import PipelineSpec
    from test_infra.stack import Stack


def breaks(stack: Stack, spec: PipelineSpec) -> list[Break]:
    """Every place where a pipeline that has run does not hang together now; empty when it does.

    Raises:
        InfrastructureError: source, Connect or Kafka did not answer, so nothing could be told.
    """
    names, folders = PipelineNames(stack.id, spec.name), PipelineFolders(stack.dir, spec.name)
    schema = spec.source.schema_name
    with postgres.connect(stack.endpoint(spec.source.service), "owner") as connection:
        source = origin_of(connection, spec, names)
        found = [
            Break(f"table {schema}.{table}", "it does not exist any more")
            for table in spec.tables
            if f"{schema}.{table}" not in source.tables
        ]
        found += [
            Break(f"table {schema}.{shape.table}", error.what)
            for shape in shapes(connection, schema, spec.tables)
            if (error := problem(shape, schema))
        ]
        found += [
            Break("publication", fault)
            for fault in publication.faults(connection, names.publication, schema, spec.tables)
        ]
        client = ConnectClient(stack.endpoint("connect").url)
        found += slot_breaks(connection, names, lambda: client.committed_lsn(names.connector))
    changes = {names.topic(schema, table): folders.changes(table) for table in spec.tables}
    extents = extents_of(stack.endpoint("kafka").url, changes)
    now = source.model_copy(update={"topics": {topic: extent.topic_id for topic, extent in extents.items()}})
    found += lake_breaks(now, folders.lake, folders.checkpoint, changes, extents)
    for place, folder in (("lake", folders.lake), ("checkpoint", folders.checkpoint)):
        if Origin.read(folder) is None:
            found.append(Break(place, "nothing says which source and topics it comes from"))
    return found
