"""Whether source, topics, checkpoint and lake belong together, looked at before the first micro-batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.table import TableMissing
from test_infra.cdc.pipeline.origin import Discontinuity, Origin
from test_infra.cdc.sources.origin import Break
from test_infra.cdc.stream.checkpoint import Checkpoint, CheckpointDamaged, read_checkpoint

if TYPE_CHECKING:
    from test_infra.cdc.lake.versions import Applied
    from test_infra.cdc.pipeline.topics import TopicExtent
    from test_infra.cdc.stream.spec import Release


def check_continuity(release: Release, extents: Mapping[str, TopicExtent]) -> None:
    """Make sure that nothing was replaced since the stream's last run; a first run writes down where it comes from.

    Args:
        release: what the stream reads and writes.
        extents: topic -> its id and which offsets it has.

    Raises:
        Discontinuity: source, topics, checkpoint and lake do not belong together.
    """
    now = release.origin.model_copy(update={"topics": {topic: extents[topic].topic_id for topic in release.schemas}})
    changes = {entry.topic: entry.changes for entry in release.tables}
    beside = {entry.topic for entry in release.written} - set(changes)
    if found := breaks(now, release.lake_dir, release.checkpoint, changes, extents, beside):
        raise Discontinuity(release.connector, found)
    for folder in (release.lake_dir, release.checkpoint):
        if Origin.read(folder) is None:
            now.write(folder)


def breaks(
    now: Origin,
    lake_dir: Path,
    checkpoint_dir: Path,
    changes: Mapping[str, Location | Path],
    extents: Mapping[str, TopicExtent],
    beside: Collection[str] = (),
) -> list[Break]:
    """Where source, topics, checkpoint and lake do not belong together.

    Args:
        now: source and topics as they are.
        lake_dir: folder of the lake.
        checkpoint_dir: folder of Spark's checkpoint.
        changes: topic -> where its change log lies.
        extents: topic -> its id and offsets; a topic that does not exist is left out.
        beside: further topics that the stream reads: that of the heart-beats, of which none has to be kept.
    """
    found: list[Break] = []
    for place, folder in (("lake", lake_dir), ("checkpoint", checkpoint_dir)):
        recorded = Origin.read(folder)
        if recorded is not None:
            found += [item for item in recorded.breaks(now) if item not in found]
        elif place == "lake" and any(_applied(table) for table in changes.values()):
            found.append(Break("lake", f"{folder} holds changes, but nothing says where they come from"))
    try:
        checkpoint = read_checkpoint(checkpoint_dir)
    except CheckpointDamaged as error:
        return [*found, Break("checkpoint", str(error))]
    if others := checkpoint.topics - set(changes) - set(beside):
        found.append(Break("checkpoint", f"it is of another stream, which reads {', '.join(sorted(others))}"))
    for topic, table in changes.items():
        found += _table_breaks(topic, table, checkpoint, extents.get(topic))
    return found


def _table_breaks(
    topic: str, table: Location | Path, checkpoint: Checkpoint, extent: TopicExtent | None
) -> list[Break]:
    applied = _applied(table)
    offsets = applied.offsets if applied else {}
    found = []
    if applied and applied.stream != checkpoint.stream_id:
        ours = f"this checkpoint is of stream {checkpoint.stream_id or 'none'}"
        found.append(Break("checkpoint", f"the change log {table.name} was written by stream {applied.stream}; {ours}"))
    elif applied and applied.batch > checkpoint.planned:
        # Its micro-batch numbers would come again with other records, and be taken for replays.
        newest = f"it ends at micro-batch {checkpoint.planned}"
        found.append(Break("checkpoint", f"{newest}, but the change log {table.name} has {applied.batch}"))
    for part, end in checkpoint.ends.get(topic, {}).items():
        if offsets.get(part, 0) < end:
            read = f"the checkpoint has read partition {part} up to {end}"
            found.append(Break("lake", f"{read}, the change log {table.name} has it up to {offsets.get(part, 0)}"))
    if extent is None:
        return [*found, Break(f"topic {topic}", "it does not exist")]
    for part, start in extent.starts.items():
        if start > offsets.get(part, 0):
            gone = f"offsets {offsets.get(part, 0)} to {start - 1} of partition {part} are gone"
            found.append(Break(f"topic {topic}", f"{gone} (deleted or past its retention) and were never read"))
    for part, end in offsets.items():
        there = extent.ends.get(part, 0)
        if there < end:
            ends = f"partition {part} ends at {there}, but the change log has it up to {end}"
            found.append(Break(f"topic {topic}", f"{ends}: the topic was cut or made again"))
    return found


def _applied(table: Location | Path) -> Applied | None:
    """What a change log has applied; None when there is none or it never applied anything."""
    try:
        applied = open_table(table).newest_applied()
    except TableMissing:
        return None
    return applied if applied.batch >= 0 else None
