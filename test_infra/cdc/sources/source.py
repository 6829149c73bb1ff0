"""What every kind of source database does for a pipeline; PostgreSQL is the first kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from test_infra.base.deadline import Deadline
    from test_infra.cdc.sources.constraints import TableConstraints
    from test_infra.cdc.sources.origin import Break, SourceOrigin
    from test_infra.cdc.sources.preflight import PreflightFinding
    from test_infra.cdc.sources.table_state import TableState
    from test_infra.cdc.types.generation import Generation
    from test_infra.cdc.types.position import Stored
    from test_infra.cdc.types.table import TableSchema
    from test_infra.cdc.types.table_id import TableId


@dataclass(frozen=True)
class CaptureNames:
    """Names by which a source knows one pipeline.

    Args:
        pipeline: name of the pipeline, for errors.
        connector: name of the connector in Kafka Connect.
        replication: name of what the source keeps for the connector; in PostgreSQL of its slot and its publication.
    """

    pipeline: str
    connector: str
    replication: str


@dataclass(frozen=True)
class SqlFile:
    """A SQL file of the user's.

    Args:
        path: of the file.
        encoding: of the file; None: as it says itself, else UTF-8.
        skip_owners: leave out what names roles of the server that a dump was made of.
    """

    path: Path
    encoding: str | None = None
    skip_owners: bool = False


class Position(Protocol):
    """A place in the source's order of events: comparable with others of the same source, and nothing else.

    Attributes:
        stored: the same place as the change log's position column holds it.
    """

    @property
    def stored(self) -> Stored:
        """As the change log stores it."""

    def __lt__(self, other: Any, /) -> bool: ...

    def __le__(self, other: Any, /) -> bool: ...


class Visibility(Protocol):
    """Which committed events a moment of the source contains, as SQL over the change log's transaction id."""

    def sees_sql(self, expr: str) -> str:
        """Whether it is visible."""

    def misses_sql(self, expr: str) -> str:
        """Whether it is not."""


class SourceTable(Protocol):
    """A captured table and which physical table it is. Two that are equal hold the same rows' history."""

    @property
    def schema(self) -> TableSchema:
        """Its columns."""

    @property
    def before_images(self) -> bool:
        """Whether every event carries the whole row before the change."""


class CaptureState(StrEnum):
    """Whether the connector reads from what the source keeps for it."""

    ACTIVE = "active"
    NOT_ACTIVE = "not active"
    NOT_THERE = "not there"


class FrozenSource(Protocol):
    """A moment of the source, held by several sessions that all see the same."""

    @property
    def snapshot(self) -> Visibility:
        """What the moment contains."""

    @property
    def tables(self) -> Sequence[SourceTable]:
        """The captured tables as they are in it."""

    @property
    def sessions(self) -> Sequence[Any]:
        """Sessions that may read side by side; each is handed to `rows` by one thread at a time."""

    def parts(self) -> Sequence[SourcePart]:
        """All tables, cut so that the sessions can share the work."""

    def rows(self, part: Any, session: Any) -> AbstractContextManager[pa.RecordBatchReader]:
        """All rows of a part, streamed for the time of the block."""


class SourcePart(Protocol):
    """Some rows of a table, read by one session at a time."""

    @property
    def schema(self) -> TableSchema:
        """The table."""


class SourceObserver(Protocol):
    """A session beside the one that reads: it sees what is committed now."""

    def not_capturing(self) -> str:
        """Why nothing captures yet, such as a slot without a confirmed position; empty when something does."""

    def emit_marker(self) -> Position:
        """Write a marker that the connector captures, in a transaction of its own; everything committed before lies
        before the returned position.
        """

    def emit_beat(self, text: str) -> Position:
        """Write a heart-beat of the pipeline, in a transaction of its own, into no table; see `Source.beat_prefix`."""

    def tables(self, labels: Sequence[str]) -> Sequence[SourceTable]:
        """The captured tables as they are now."""


class Source(Protocol):
    """One source database as one pipeline uses it. Making the object opens no connection."""

    kind: ClassVar[str]
    connector_class: ClassVar[str]
    value_forms: ClassVar[Mapping[str, str]]
    """Connector property -> the only value whose results `test_infra.cdc.types` reads."""
    kept_properties: ClassVar[Mapping[str, str]]
    """Connector property that a user cannot give -> why."""

    @staticmethod
    def committed_position(offset: Mapping[str, Any] | None) -> Position | None:
        """The position up to which Kafka has acknowledged everything, from a source offset of Kafka Connect; None
        before streaming began.
        """

    def connector_properties(self, schemas: Sequence[TableSchema], password: str) -> dict[str, str]:
        """Connector properties that are the source's alone.

        Args:
            schemas: the captured tables.
            password: what stands for the capture role's password in a configuration; never the password.
        """

    def heartbeat_properties(self) -> dict[str, str]:
        """Connector properties that make a heart-beat move the source's position, without writing into a table."""

    @property
    def beat_prefix(self) -> str:
        """By which the stream knows the pipeline's heart-beats among the messages."""

    def prepare(
        self, ddl: SqlFile | None, before_publishing: Callable[[Sequence[TableSchema], SourceOrigin], None]
    ) -> list[TableSchema]:
        """Make the tables and what the connector needs of the source; done again, it changes nothing.

        Args:
            ddl: SQL file that makes the tables; None: they exist.
            before_publishing: called with the tables and the origin once the tables are there, before anything else
                is changed; may raise.

        Raises:
            UsageError: the source or a table can not be captured; says why and what to do.
            SourceUnreachable: the owner or the capture role is refused.
        """

    def table_ids(self, default_schema: str) -> list[TableId]:
        """Every table of the source that a pattern may mean.

        Args:
            default_schema: schema of the names that are written without one.
        """

    def run_ddl(self, ddl: SqlFile) -> None:
        """Run a SQL file in a session of its own.

        Raises:
            UsageError: the file is refused, and nothing of it was executed; or a statement of it failed.
        """

    def schemas(self) -> list[TableSchema]:
        """The captured tables in the order of the pipeline, as the catalogue describes them now.

        Raises:
            UsageError: one does not exist or can not be captured.
            SourceUnreachable: the source did not accept a session.
        """

    def table_states(self, known: Mapping[str, str]) -> dict[str, TableState]:
        """Label -> what a captured table is now, also one that can not be captured any more; not those that are gone.

        Args:
            known: label -> identity that a table had before, by which a renamed one is found; may be empty.
        """

    def generations(self) -> dict[str, Generation]:
        """Label -> what a captured table is now, read by the capture role; not those that cannot be captured any more.

        Raises:
            InfrastructureError: the source did not say.
        """

    def fingerprint(self) -> str:
        """A text that is another one after DDL on a captured table; cheap.

        Raises:
            SourceUnreachable: the source did not accept a session.
        """

    def constraints(self) -> list[TableConstraints]:
        """What the catalogue says of the rows that each captured table takes, in the order of the pipeline."""

    def session(self, role: str = "owner") -> AbstractContextManager[Any]:
        """A session of the source's own client library, closed after the block.

        Args:
            role: ``owner`` creates and writes, ``capture`` reads as the connector does.
        """

    def origin(self) -> SourceOrigin:
        """Which source this is now; tables that do not exist are left out."""

    def breaks(self, committed: Callable[[], Position | None]) -> list[Break]:
        """What keeps changes of the captured tables from reaching the connector, or has lost some.

        Args:
            committed: asks Kafka Connect for the position that it has committed.
        """

    def capture_breaks(self, committed: Callable[[], Position | None]) -> list[Break]:
        """What is wrong with what the source keeps for the connector; a part of `breaks`."""

    def preflight(self, made_by: Path | None) -> list[PreflightFinding]:
        """Everything that keeps the tables from being captured, found without changing anything.

        Args:
            made_by: SQL file that will make the tables which do not exist; None: nothing will.

        Raises:
            SourceUnreachable: the source did not accept a session.
        """

    def wait_capturing(self, deadline: Deadline, meanwhile: Callable[[], object]) -> None:
        """Wait until the connector reads from the source.

        Args:
            deadline: when to give up.
            meanwhile: called at each look; may raise what makes further waiting useless.

        Raises:
            NotReady: it did not in time.
        """

    def remove_capture(self) -> None:
        """Take out what the source keeps for the connector, which reads no more; what is not there is fine.

        Raises:
            InfrastructureError: the source refused.
        """

    def capture_state(self) -> tuple[str, CaptureState]:
        """What the source keeps for the connector (``slot ti_...``), and whether the connector reads from it now."""

    def names(self) -> dict[str, str]:
        """What the source keeps for the connector: kind -> name."""

    def observe(self) -> AbstractContextManager[SourceObserver]:
        """A session that observes, for the time of the block."""

    def freeze(
        self, labels: Sequence[str], moment: Callable[[], str] | None = None
    ) -> AbstractContextManager[FrozenSource]:
        """Hold a moment of the source for the time of the block; it must be short, because it holds locks.

        Args:
            labels: of captured tables.
            moment: names an exported snapshot once all locks are held; None: the moment is now.

        Raises:
            LockNotTaken: a table stayed locked.
        """

    def newest_tx_id(self) -> int:
        """The source's newest transaction id, without using one up."""

    def largest_row(self, table: str) -> str | None:
        """Key and size of the largest row of a table now, in words; None when it cannot be told soon."""
