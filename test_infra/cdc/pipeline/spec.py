"""A pipeline as its user describes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from test_infra.base.document import Document
from test_infra.base.errors import UsageError
from test_infra.cdc.pipeline.captured import Entry, refuse_clashes, refuse_excluded
from test_infra.cdc.types.table_id import TableId
from test_infra.cdc.types.table_pattern import TablePattern, parse_selection

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


def _text(value: object) -> object:
    # Pydantic's own error for a path of another type is one that Dagster cannot give a file and a line.
    if not isinstance(value, str | Path):
        raise ValueError("must be a string")  # noqa: TRY004 - pydantic turns a ValueError into its own error
    return value


YamlPath = Annotated[Path, BeforeValidator(_text)]
"""A path as somebody writes it in YAML."""


class SourceSpec(Document):
    """Where the rows come from."""

    kind: Literal["postgres"] = Field(default="postgres", description="Kind of the source database.")
    service: Name = Field(default="postgres", description="Service of the stack that holds the tables.")
    schema_name: str = Field(default="public", description="Schema of the tables that are named without one.")
    ddl: YamlPath | None = Field(
        default=None,
        description="SQL file that creates the tables; relative to the YAML. None: the tables exist.",
    )
    encoding: str | None = Field(
        default=None, description="Encoding of that file. None: by its byte order mark or client_encoding, else UTF-8."
    )
    skip_owners: bool = Field(
        default=False,
        description="Leave out OWNER TO, GRANT, REVOKE and SET ROLE of that file, which name roles of another server.",
    )


class ConnectorSpec(Document):
    """How Debezium reads the source."""

    poll_interval_ms: int = Field(default=5, ge=1, le=10_000, description="Longest wait for new changes, milliseconds.")
    heartbeat_interval_ms: int = Field(
        default=1_000, ge=0, description="Heart-beat on an idle source, milliseconds; 0 is none."
    )
    max_batch_size: int = Field(default=2_048, ge=1, description="Changes handed to Kafka at once.")
    max_queue_size: int = Field(default=16_384, ge=2, description="Changes held in memory between reader and Kafka.")
    max_queue_mib: int = Field(default=64, ge=1, description="Bytes of changes held in memory there, MiB.")
    snapshot_fetch_size: int = Field(
        default=8,
        ge=1,
        description="Rows that a snapshot has in memory at once. Rows may have many MiB; a larger number is faster.",
    )
    partitions: int = Field(default=1, ge=1, le=64, description="Partitions of each table's topic.")
    config: dict[str, str] = Field(default_factory=dict, description="Further Debezium properties; they win over ours.")


class StreamSpec(Document):
    """How Spark reads the topics."""

    max_offsets_per_trigger: int = Field(default=60_000, ge=1, description="Most records of one micro-batch.")
    trigger_interval_ms: int = Field(
        default=0, ge=0, description="Shortest time between two micro-batches, milliseconds."
    )
    mirror_interval_ms: int = Field(
        default=100, ge=0, description="Shortest time between two merges into a mirror, milliseconds."
    )
    driver_memory_mib: int = Field(default=1_024, ge=512, description="Heap of the Spark driver, MiB.")
    conf: dict[str, str] = Field(default_factory=dict, description="Further Spark properties; they win over ours.")


class LagThresholds(Document):
    """The longest lag, commit in the source to the named place, that is still green, in seconds; and idle tables."""

    changes_p95_s: float = Field(default=5.0, gt=0, description="95th percentile until durable in the change log.")
    mirror_p95_s: float = Field(default=5.0, gt=0, description="95th percentile until visible in the mirror.")
    mirror_max_s: float = Field(default=60.0, gt=0, description="Longest until visible in the mirror.")
    idle: Literal["ok", "red"] = Field(
        default="ok",
        description="What a table is that had no change while the stream ran: ok where heart-beats of the pipeline "
        "were visible in time, or always red.",
    )


Scalar = int | float | bool | str


class ColumnValues(Document):
    """What the load writes into one column; exactly one of these."""

    choice: list[Scalar] | None = Field(default=None, min_length=1, description="One of these values.")
    range: list[int | float | str] | None = Field(
        default=None, min_length=2, max_length=2, description="A number, date or timestamp from the first to the last."
    )
    regex: str | None = Field(default=None, description="A text that matches.")
    constant: Scalar | None = Field(default=None, description="Always this value.")
    sql: str | None = Field(
        default=None, description="An SQL expression, computed for each row; `:n` is another number each time."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(value is not None for value in self.model_dump().values()) != 1:
            raise ValueError("give exactly one of choice, range, regex, constant, sql")
        return self


class LoadSpec(Document):
    """A seeded workload on the captured tables."""

    seed: int = Field(default=20_261_121, description="Same seed, same operations.")
    operations: int = Field(default=20_000, ge=1, description="Operations of the first, fast part.")
    rows_before: int = Field(
        default=500, ge=0, description="Rows per table that exist before the connector: the snapshot."
    )
    background_rate_per_s: float = Field(
        default=200, ge=0, description="Operations per second that go on while the gates look; 0 is none."
    )
    background_limit_s: float = Field(
        default=300, gt=0, description="The background load ends by itself after this time."
    )
    least_committed: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="Share of a table's operations that must commit, those not counted that are rolled back on "
        "purpose; with less the witness is red.",
    )
    values: dict[str, dict[str, ColumnValues]] = Field(
        default_factory=dict, description="Table -> column -> what to write, where the catalogue does not say it."
    )
    sql: list[YamlPath] | None = Field(
        default=None, min_length=1, description="SQL files that are the traffic, instead of a generated one."
    )
    command: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Program and arguments that are the traffic; PGHOST and the like are in its environment.",
    )
    folder: YamlPath = Field(default=Path(), description="Working folder of the command; relative to the YAML.")
    repeat: int = Field(
        default=1, ge=1, description="How often the SQL files or the command run before the gates look."
    )
    background: bool = Field(
        default=False, description="SQL files or the command are run again and again while the gates look."
    )
    history: bool = Field(
        default=False, description="The command writes down what it did, in the form of docs/load.md, for the witness."
    )
    timeout_s: float = Field(default=300, gt=0, description="Longest run of the SQL files or of the command.")

    @model_validator(mode="after")
    def _one_traffic(self) -> Self:
        if self.sql and self.command:
            raise ValueError("give sql or command, not both")
        if self.history and not self.command:
            raise ValueError("history: true is for a command that writes one")
        return self

    @property
    def generated(self) -> bool:
        """Whether the rows are made here, and not by SQL files or a command."""
        return not self.sql and not self.command

    @property
    def witnessed(self) -> bool:
        """Whether there is a history."""
        return self.generated or self.history


class ColumnsSpec(Document):
    """Which columns of a table are captured."""

    exclude: Sequence[str] = Field(min_length=1, description="Columns that are left out; never one of the key.")


class RowsSpec(Document):
    """Which rows of a table are captured."""

    where: str = Field(
        min_length=1,
        description="Condition in SQL, as PostgreSQL 15 takes it for a publication's row filter. Its columns must be "
        "in the replica identity.",
    )


class TableSpec(Document):
    """A table of which only a part is captured, or several of one pattern."""

    table: str = Field(description="As a name under `tables:`.")
    columns: ColumnsSpec | None = Field(default=None, description="Columns that are captured; all, when not given.")
    rows: RowsSpec | None = Field(default=None, description="Rows that are captured; all, when not given.")


class PipelineSpec(Document):
    """Source tables -> connector -> topics -> stream -> change log and mirror."""

    name: Name = Field(description="Name of the pipeline; unique in the project.")
    tables: Sequence[str | TableSpec] = Field(
        min_length=1,
        description="Captured tables: table, or schema.table. A name with a dot or a double quote in it is written in "
        'double quotes, as in SQL: sales."order.lines". Upper and lower case count. A pattern such as sales.* or '
        "public.order_* means every table it matches when the source is prepared. A mapping of table, columns, rows "
        "captures a part of it.",
    )
    exclude: Sequence[str] = Field(
        default_factory=list, description="Tables and patterns that no pattern under tables means."
    )
    source: SourceSpec = SourceSpec()
    connector: ConnectorSpec = ConnectorSpec()
    stream: StreamSpec = StreamSpec()
    lag: LagThresholds = LagThresholds()
    load: LoadSpec | None = Field(default=LoadSpec(), description="None: the pipeline has traffic of its own.")
    schema_changes: Literal["follow", "refuse"] = Field(
        default="follow",
        description="What DDL on a captured table does: change log and mirror get its columns, or it is red.",
    )
    description: str = Field(default="", description="What the pipeline is for; shown in the UI.")
    own_job: bool = Field(
        default=False,
        description="Run by a Dagster job of the pipeline's own name, and not by e2e, smoke and parity.",
    )

    @model_validator(mode="after")
    def _tables_are_told_apart(self) -> Self:
        try:
            named = [entry.selects for entry in self.entries if isinstance(entry.selects, TableId)]
            refuse_clashes(named)
            refuse_excluded(named, self.excluded)
            labels = [entry.label for entry in self.entries]
            if twice := [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
                raise ValueError(f"{twice[0]} is there twice under tables")
        except UsageError as error:
            raise ValueError(error.what) from error
        return self

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What is written under ``tables:``, read."""
        return tuple(_entry(given, self.source.schema_name) for given in self.tables)

    @property
    def excluded(self) -> tuple[TableId | TablePattern, ...]:
        """What is written under ``exclude:``, read."""
        return tuple(parse_selection(text, self.source.schema_name) for text in self.exclude)

    @property
    def has_patterns(self) -> bool:
        """Whether the source must be asked which tables are captured."""
        return any(isinstance(entry.selects, TablePattern) for entry in self.entries)


def _entry(given: str | TableSpec, default_schema: str) -> Entry:
    written = TableSpec(table=given) if isinstance(given, str) else given
    return Entry(
        parse_selection(written.table, default_schema),
        tuple(written.columns.exclude) if written.columns else (),
        written.rows.where if written.rows else "",
    )
