"""What the stream's driver reads: a config at its submission, and a release when its source is ready."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError
from test_infra.base.paths import write_private
from test_infra.cdc.lake.location import TableLocation
from test_infra.cdc.pipeline.origin import Origin
from test_infra.cdc.sources.source import CaptureNames
from test_infra.cdc.types.table import TableSchema
from test_infra.cdc.types.table_id import CapturedTable
from test_infra.stack.endpoint import Endpoint
from test_infra.stack.services.connect_address import ConnectAddress
from test_infra.stack.services.kafka_clients import Brokers

if TYPE_CHECKING:
    from test_infra.cdc.stream.apply import Targets
    from test_infra.cdc.stream.beats import Beats
    from test_infra.cdc.stream.follow import Follower


class StreamConfig(Document):
    """Known at the submission, before there is a topic or a table.

    Args:
        release_path: file that says what to read; the driver waits for it with its session open.
        release_timeout_s: longest wait for it, seconds.
        max_offsets_per_trigger: most records of a micro-batch.
        trigger_interval_ms: shortest time between two micro-batches, milliseconds.
        mirror_interval_ms: shortest time between two merges into a mirror, milliseconds.
    """

    release_path: Path
    release_timeout_s: float = 900.0
    max_offsets_per_trigger: int
    trigger_interval_ms: int
    mirror_interval_ms: int


class TopicOfTable(Document):
    """A topic, its table and where the table's rows go.

    Args:
        topic: of the table's change events.
        table: the captured table.
        changes: where its change log lies; a folder's path is one, too.
        mirror: where its mirror lies.
    """

    topic: str
    table: TableSchema
    changes: TableLocation
    mirror: TableLocation


class HeartbeatTopic(TopicOfTable):
    """The topic of messages, and where the pipeline's heart-beats among them go.

    Args:
        prefix: of the messages that are heart-beats.
    """

    prefix: str


class FollowedSource(Document):
    """How the stream asks the source what its tables are.

    Args:
        endpoint: of the source, with the capture role's password only.
        tables: the captured ones.
        names: by which the source knows the pipeline.
    """

    endpoint: Endpoint
    tables: tuple[CapturedTable, ...]
    names: CaptureNames


class Release(Document):
    """Known when the source is prepared: the driver may begin.

    Args:
        bootstrap: Kafka brokers.
        tables: what to read and where to write.
        heartbeat: the same for the pipeline's heart-beats.
        quarantine: where the table of the refused records lies.
        checkpoint: folder of Spark's checkpoint.
        origin: the source that the topics come from.
        source_kind: kind of that source.
        tx_id_reference: a 64-bit transaction id of the source, of about now.
        connect: Kafka Connect, asked now and then for the committed LSN; None: deletes are remembered for ever.
        connector: name of the connector.
        followed: the source whose schema changes are followed; None: they are refused.
    """

    bootstrap: Brokers
    tables: tuple[TopicOfTable, ...]
    heartbeat: HeartbeatTopic | None = None
    quarantine: TableLocation
    checkpoint: Path
    origin: Origin
    source_kind: str
    tx_id_reference: int
    connect: ConnectAddress | None
    connector: str
    followed: FollowedSource | None = None

    @property
    def schemas(self) -> dict[str, TableSchema]:
        """Topic -> captured table."""
        return {entry.topic: entry.table for entry in self.tables}

    @property
    def written(self) -> tuple[TopicOfTable, ...]:
        """The captured tables, and the one of the heart-beats."""
        return self.tables if self.heartbeat is None else (*self.tables, self.heartbeat)

    @property
    def beats(self) -> Beats | None:
        """How heart-beats are known; None: they are not read."""
        from test_infra.cdc.stream.beats import Beats

        return None if self.heartbeat is None else Beats(self.heartbeat.topic, self.heartbeat.prefix)

    @property
    def lake_dir(self) -> Path:
        """Folder that the tables lie in; the origin of the lake is written there.

        Raises:
            InfrastructureError: the lake is in an object store.
        """
        if (folder := self.quarantine.folder) is None:
            raise InfrastructureError(
                f"the lake must be in a folder, and {self.quarantine} is in none",
                hint="an object store can be read, but our stream does not write to one yet",
            )
        return folder.parent

    def follower(self) -> Follower | None:
        """Follows the schema changes of the source; None where they are refused.

        Raises:
            InfrastructureError: the source does not say what its tables are.
        """
        from test_infra.cdc.sources import source_of
        from test_infra.cdc.stream.follow import Follower

        if self.followed is None:
            return None
        source = source_of(self.source_kind, self.followed.endpoint, self.followed.tables, self.followed.names)
        return Follower(source, self.lake_dir, [entry.table for entry in self.tables])

    def targets(self) -> Targets:
        """Where the tables lie."""
        from test_infra.cdc.stream.apply import Targets

        return Targets(
            changes={entry.table.label: entry.changes for entry in self.written},
            mirror={entry.table.label: entry.mirror for entry in self.written},
            quarantine=self.quarantine,
        )


def write(document: StreamConfig | Release, path: Path) -> None:
    """Write a document whole or not at all, for the owner only."""
    write_private(path, document.model_dump_json())
