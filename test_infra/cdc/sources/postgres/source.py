"""PostgreSQL as the source of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from test_infra.base.deadline import Deadline, StillWaiting, wait_for
from test_infra.base.errors import InfrastructureError, TestInfraError
from test_infra.cdc.sources.debezium import exact, key_columns
from test_infra.cdc.sources.origin import Break, SourceOrigin
from test_infra.cdc.sources.postgres import preflight, preparation, publication, row_filters, slot
from test_infra.cdc.sources.postgres.catalogue import list_tables, missing_tables, tables
from test_infra.cdc.sources.postgres.connection import Role, connect
from test_infra.cdc.sources.postgres.constraints import constraints
from test_infra.cdc.sources.postgres.generation import fingerprint, generations
from test_infra.cdc.sources.postgres.lsn import Lsn, committed_lsn
from test_infra.cdc.sources.postgres.observer import PostgresObserver
from test_infra.cdc.sources.postgres.origin_now import origin_now
from test_infra.cdc.sources.postgres.row_security import hidden_rows
from test_infra.cdc.sources.postgres.session_settings import OURS, WITHOUT_LIMITS, options
from test_infra.cdc.sources.postgres.shape import problem, shapes
from test_infra.cdc.sources.postgres.slot_blockers import slot_blockers
from test_infra.cdc.sources.postgres.snapshot import Frozen, freeze
from test_infra.cdc.sources.postgres.table_state import table_states
from test_infra.cdc.sources.preflight import PreflightFinding, refuse_errors
from test_infra.cdc.sources.source import CaptureNames, CaptureState, Position, SqlFile
from test_infra.cdc.types import identifier
from test_infra.stack.services.postgres_address import HOSTS, debezium

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from test_infra.cdc.sources.constraints import TableConstraints
    from test_infra.cdc.sources.table_state import TableState
    from test_infra.cdc.types.generation import Generation
    from test_infra.cdc.types.table import TableSchema
    from test_infra.cdc.types.table_id import CapturedTable, TableId
    from test_infra.stack import Endpoint

HEARTBEAT_PREFIX = "test_infra_heartbeat"
BEAT_PREFIX = "test_infra_beat_"
LEFT_OUT_MESSAGES = "logical.message.prefix.exclude.list"
DRIVER_OPTIONS = "driver.options"
KEY_COLUMNS = "message.key.columns"
TRANSACTIONS = "provide.transaction.metadata"
LARGEST_ROW_WITHIN_MS = 10_000


class PostgresSource:
    """The tables of one pipeline in one PostgreSQL database; see `test_infra.cdc.sources.source.Source`.

    Args:
        endpoint: of the service that holds the tables.
        captured: the captured tables.
        names: by which the server knows the pipeline: ``replication`` names slot and publication.
    """

    kind: ClassVar[str] = "postgres"
    connector_class: ClassVar[str] = "io.debezium.connector.postgresql.PostgresConnector"
    value_forms: ClassVar[Mapping[str, str]] = {
        # Values arrive exactly and in one form, whatever the precision of the column.
        "decimal.handling.mode": "string",
        "time.precision.mode": "microseconds",
        # JSON is base64 anyway; in the mode of that name a value that was not sent (TOAST) arrives as null.
        "binary.handling.mode": "bytes",
        "interval.handling.mode": "string",
        # Without it a column of a type that Debezium does not know would be missing from the events in silence.
        "include.unknown.datatypes": "true",
    }
    kept_properties: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            (DRIVER_OPTIONS, "database.options"),
            "the settings of the connector's sessions decide how values are written",
        ),
        **dict.fromkeys(
            (LEFT_OUT_MESSAGES, "logical.message.prefix.include.list"),
            "markers and heart-beats, by which it is judged, are logical messages",
        ),
        KEY_COLUMNS: "a row is known in the lake by its key in the source",
        **dict.fromkeys(
            (TRANSACTIONS, "topic.transaction"),
            "it is set where a table has no key, whose events are known by their place in the transaction",
        ),
    }

    def __init__(self, endpoint: Endpoint, captured: Sequence[CapturedTable], names: CaptureNames) -> None:
        self._endpoint = endpoint
        self._tables = {table.id.label: table for table in captured}
        self._names = names

    @property
    def _captured(self) -> list[TableId]:
        return [table.id for table in self._tables.values()]

    @staticmethod
    def committed_position(offset: Mapping[str, Any] | None) -> Lsn | None:
        """The LSN up to which Kafka has acknowledged everything; None before streaming began."""
        return committed_lsn(offset)

    def connector_properties(self, schemas: Sequence[TableSchema], password: str) -> dict[str, str]:
        """Connection, slot, publication, and the value modes whose results `test_infra.cdc.types` reads."""
        inside = self._endpoint.inside
        # The stream never has generated columns; without this the snapshot would. Those that are left out would come
        # with both: why they are not taken out of the publication is in docs/decisions/0050.
        left_out = [
            exact(schema.schema, schema.name, name)
            for schema in schemas
            for name in (*schema.generated, *(column.name for column in schema.excluded))
        ]
        # Of itself Debezium takes the first unique index for a key, also a partial or nullable one, with what that
        # includes (docs/decisions/0057).
        keys = [
            key_columns(schema.schema, schema.name, schema.key_names) for schema in schemas if not schema.key_is_primary
        ]
        return {
            **debezium(inside, self._primary()),
            "database.dbname": inside.properties["database"],
            "database.user": inside.properties["capture_user"],
            "database.password": password,
            # Of every session of the connector, the walsender's too: that one writes the streamed values as text.
            DRIVER_OPTIONS: options(OURS, self._endpoint.version),
            "plugin.name": "pgoutput",
            "slot.name": self._names.replication,
            "publication.name": self._names.replication,
            "publication.autocreate.mode": "disabled",
            # A slot that is ahead of the committed offset was made again: fail, where the default would go on from it.
            "offset.mismatch.strategy": "trust_offset",
            "snapshot.mode": "initial",
            "snapshot.locking.mode": "none",
            # Debezium's own heart-beats, one a second, would give an idle stream a micro-batch each: it reads messages.
            LEFT_OUT_MESSAGES: HEARTBEAT_PREFIX,
            **self.value_forms,
            **({"column.exclude.list": ",".join(left_out)} if left_out else {}),
            **({KEY_COLUMNS: ";".join(keys)} if keys else {}),
            **({} if all(schema.key for schema in schemas) else {TRANSACTIONS: "true"}),
            **row_filters.snapshot_properties(schemas),
        }

    def heartbeat_properties(self) -> dict[str, str]:
        """Moves the confirmed LSN of an idle source; the capture role may call it, and it writes into no table."""
        return {"heartbeat.action.query": f"SELECT pg_logical_emit_message(false, '{HEARTBEAT_PREFIX}', '')"}

    @property
    def beat_prefix(self) -> str:
        """Prefix of the messages that are the pipeline's heart-beats; a message goes to every slot of its database."""
        return f"{BEAT_PREFIX}{self._names.replication}"

    def prepare(
        self, ddl: SqlFile | None, before_publishing: Callable[[Sequence[TableSchema], SourceOrigin], None]
    ) -> list[TableSchema]:
        """Make tables, publication and the capture role's rights.

        Tables that exist are left as they are, so that doing it again changes nothing.

        Raises:
            NoSuchTable: a table does not exist and no SQL file makes it.
            NoPrimaryKey: a table has none, no unique index that stands for one, and takes more than inserts.
            UsageError: ``wal_level``, slots, roles, publication, a table's kind, identity or column do not allow to
                capture it; says what to do.
            SourceUnreachable: the source did not accept the owner or the capture role.
        """
        name, captured = self._names.pipeline, list(self._tables.values())
        with self.session() as connection:
            replication = self._names.replication
            refuse_errors(name, self._findings(connection, None if ddl is None else ddl.path))
            if ddl is not None and missing_tables(connection, self._captured):
                with connect(self._endpoint, "owner", WITHOUT_LIMITS) as users:
                    preparation.run_ddl(users, ddl)
                refuse_errors(name, preflight.findings_on_tables(connection, self._endpoint, captured, None))
            found = self._schemas(connection)
            before_publishing(found, origin_now(connection, self._captured, self.names()))
            with connection.transaction():
                preparation.publish(connection, replication, found)
                row_filters.check_identities(connection, replication, found)
                preparation.grant(connection, self._endpoint.properties["capture_user"], found)
            preparation.check_publication(connection, replication, captured)
            preparation.check_capture(self._endpoint, found)
        return found

    def preflight(self, made_by: Path | None) -> list[PreflightFinding]:
        """Everything that keeps the tables from being captured, found without changing anything.

        Args:
            made_by: SQL file that will make the tables which do not exist; None: nothing will.

        Raises:
            SourceUnreachable: the source did not accept the owner or the capture role.
        """
        with self.session() as connection:
            return self._findings(connection, made_by)

    def table_ids(self, default_schema: str) -> list[TableId]:
        """Every table of the database that holds rows of its own name: no partitions, no views, none of the system."""
        with self.session() as connection:
            return list_tables(connection, default_schema)

    def run_ddl(self, ddl: SqlFile) -> None:
        """Run a SQL file in a session of its own.

        Raises:
            UsageError: the file is refused, or a statement of it failed.
        """
        with connect(self._endpoint, "owner", WITHOUT_LIMITS) as users:
            preparation.run_ddl(users, ddl)

    def schemas(self) -> list[TableSchema]:
        """The captured tables in the order of the pipeline, as the catalogue describes them now."""
        with self.session() as connection:
            return self._schemas(connection)

    def table_states(self, known: Mapping[str, str]) -> dict[str, TableState]:
        """What the captured tables are now, by their oid where that is known; see `table_state.table_states`."""
        with self.session() as connection:
            return table_states(connection, self._captured, known)

    def generations(self) -> dict[str, Generation]:
        """What the captured tables are now, as the capture role sees them; see `generation.generations`."""
        with self.session("capture") as connection:
            return generations(connection, self._endpoint, "capture", list(self._tables.values()))

    def fingerprint(self) -> str:
        """A text that is another one after DDL on a captured table."""
        with self.session("capture") as connection:
            return fingerprint(connection, list(self._tables.values()))

    def constraints(self) -> list[TableConstraints]:
        """Keys, conditions, defaults, triggers and rules of the captured tables, in the order of the pipeline."""
        with self.session() as connection:
            return constraints(connection, self._schemas(connection))

    def session(self, role: Role = "owner") -> psycopg.Connection:
        """A session in autocommit; a context manager that closes it."""
        return connect(self._endpoint, role)

    def origin(self) -> SourceOrigin:
        """Cluster, database, slot, publication and tables as they are now; tables that do not exist are left out."""
        with self.session() as connection:
            return origin_now(connection, self._captured, self.names())

    def breaks(self, committed: Callable[[], Position | None]) -> list[Break]:
        """What is missing, of a shape that cannot be captured, left out by the publication, or lost with the slot."""
        with self.session() as connection:
            there = origin_now(connection, self._captured, self.names()).tables
            missing = [table.qualified for table in self._captured if table.qualified not in there]
            return [
                *(Break(f"table {table}", "it does not exist any more") for table in missing),
                *(
                    Break(f"table {shape.table.qualified}", error.what)
                    for shape in shapes(connection, self._captured)
                    if (error := problem(shape))
                ),
                *(
                    Break("publication", fault)
                    for fault in publication.faults(connection, self._names.replication, list(self._tables.values()))
                ),
                *self._hidden(connection),
                *slot.slot_breaks(connection, self._names, committed),
            ]

    def capture_breaks(self, committed: Callable[[], Position | None]) -> list[Break]:
        """What is wrong with the slot of a connector that has committed an offset before."""
        with self.session() as connection:
            return slot.slot_breaks(connection, self._names, committed)

    def wait_capturing(self, deadline: Deadline, meanwhile: Callable[[], object]) -> None:
        """Wait until a walsender reads from the slot and the slot has a confirmed position.

        Args:
            deadline: when to give up.
            meanwhile: called at each look; may raise what makes further waiting useless.

        Raises:
            NotReady: it was not active in time; names the transactions for whose end it waits.
        """
        name = self._names.replication
        with self.session() as connection:

            def active() -> None:
                meanwhile()
                found = slot.find_slot(connection, name)
                if found is None:
                    waits = "; ".join(map(str, slot_blockers(connection)))
                    raise StillWaiting(f"there is no such slot{f', it waits for {waits}' if waits else ''}")
                if not found.active or found.confirmed_lsn is None:
                    raise StillWaiting(f"active: {found.active}, confirmed: {found.confirmed_lsn or 'nothing'}")

            wait_for(active, deadline, what=f"slot {name}", awaited="a walsender on it")

    def remove_capture(self) -> None:
        """Drop slot and publication; what is not there is fine.

        Raises:
            InfrastructureError: the server refused, such as for a slot that is still read from.
        """
        import psycopg

        name = self._names.replication
        try:
            # By the role that made it: the owner of the tables may have no right to replicate.
            with self.session("capture") as capture:
                slot.drop_slot(capture, name)
            with self.session() as connection:
                connection.execute(f"DROP PUBLICATION IF EXISTS {identifier(name)}".encode())
        except psycopg.Error as error:
            raise InfrastructureError(
                f"slot and publication {name} were not dropped: {' '.join(str(error).split())}",
                hint=f"SELECT pg_drop_replication_slot('{name}')",
            ) from error

    def capture_state(self) -> tuple[str, CaptureState]:
        """The slot, and whether a walsender reads from it now."""
        with self.session() as connection:
            found = slot.find_slot(connection, self._names.replication)
        if found is None:
            state = CaptureState.NOT_THERE
        else:
            state = CaptureState.ACTIVE if found.active else CaptureState.NOT_ACTIVE
        return f"slot {self._names.replication}", state

    def names(self) -> dict[str, str]:
        """Names of slot and publication."""
        return {"slot": self._names.replication, "publication": self._names.replication}

    @contextmanager
    def observe(self) -> Iterator[PostgresObserver]:
        """A session of the owner that observes, for the time of the block."""
        with self.session() as connection:
            yield PostgresObserver(connection, self._tables, self._names.replication, self.beat_prefix)

    def freeze(self, labels: Sequence[str], moment: Callable[[], str] | None = None) -> AbstractContextManager[Frozen]:
        """Hold a moment of the source for the time of the block; see `snapshot.freeze`."""
        return freeze(self._endpoint, [self._tables[label] for label in labels], moment)

    def newest_tx_id(self) -> int:
        """The server's newest 64-bit transaction id, without using one up."""
        with self.session() as connection:
            row = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()
        if row is None:
            raise InfrastructureError("PostgreSQL gave no transaction id")
        return int(row[0])

    def largest_row(self, table: str) -> str | None:
        """Key and size as text of the largest row of a table now; None when there is none or it takes too long."""
        import psycopg
        from psycopg.sql import SQL, Identifier

        try:
            with self.session() as connection:
                (found,) = tables(connection, [self._tables[table]])
                names = found.schema.key_names or ("ctid",)
                connection.execute(f"SET statement_timeout = {LARGEST_ROW_WITHIN_MS}")
                row = connection.execute(
                    SQL(
                        "SELECT row({key})::text, octet_length(t::text) FROM {table} AS t ORDER BY 2 DESC LIMIT 1"
                    ).format(
                        key=SQL(", ").join(map(Identifier, names)),
                        table=Identifier(found.schema.schema, found.schema.name),
                    )
                ).fetchone()
        except (psycopg.Error, TestInfraError):
            return None
        if row is None:
            return None
        return f"{', '.join(names)} = {row[0]}, {row[1]:,} bytes as text"

    def _primary(self) -> tuple[str, int]:
        """Host and port of the primary; of one host only, it is that."""
        if HOSTS not in self._endpoint.properties:
            return self._endpoint.host, self._endpoint.port
        with self.session() as connection:
            return connection.info.host, connection.info.port

    def _findings(self, connection: psycopg.Connection, made_by: Path | None) -> list[PreflightFinding]:
        return [
            *preflight.findings_on_server(connection, self._endpoint, self._names.replication),
            *preflight.findings_on_tables(connection, self._endpoint, list(self._tables.values()), made_by),
        ]

    def _hidden(self, connection: psycopg.Connection) -> list[Break]:
        """Rows that a policy hides from one of our roles since it was switched on."""
        with self.session("capture") as capture:
            return [
                Break("row level security", error.what)
                for session, does in ((connection, "reads them for parity"), (capture, "captures them"))
                for error in hidden_rows(session, self._captured, does)
            ]

    def _schemas(self, connection: psycopg.Connection) -> list[TableSchema]:
        return [table.schema for table in tables(connection, list(self._tables.values()))]
