"""What is known of one captured table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from test_infra.cdc.types.table_id import TableId

MIRROR_COLUMNS = ("_lsn", "_tx_id", "_commit_ts", "_snapshot")
"""What a mirror says of each row beside the source's columns: where its newest event came from."""

ROW_ID = ("_row_tx_id", "_row_number")
"""Columns by which the mirror knows the rows of a table without a key: which event they came from. Of an insert the
transaction and the event's number in it; of a row of the initial snapshot -1 - partition and offset in Kafka."""


@dataclass(frozen=True)
class Column:
    """A column as the source's catalogue describes it.

    Args:
        name: column name, unquoted.
        type: the source's own full type text, such as ``numeric(12,2)`` or ``timestamp with time zone``.
        nullable: whether NULL is allowed.
        key_position: 1-based place in the key, which is the primary key or a unique index that stands for one; None
            outside it.
        base: what a type with a name of its own is made of: the type below all domains, ``enum``, ``composite``, ...;
            None where ``type`` says it.
        dialect: kind of the source, which says how the type is read.
    """

    name: str
    type: str
    nullable: bool = True
    key_position: int | None = None
    base: str | None = None
    dialect: str = "postgres"


@dataclass(frozen=True)
class TableSchema:
    """A captured table: its place in the source and its columns in order.

    Args:
        schema: of the source's database.
        name: of the table.
        columns: the captured ones.
        generated: names of generated columns. They follow from the others, are not replicated, and not captured.
        label: what the pipeline calls it (`test_infra.cdc.types.table_id`); everything is keyed by it. Its name when
            not given.
        excluded: columns that the pipeline leaves out.
        where: condition for the captured rows, in the source's SQL; empty: all rows.
        key_is_primary: the key is the table's primary key; else a unique index stands for one.
    """

    schema: str
    name: str
    columns: tuple[Column, ...]
    generated: tuple[str, ...] = ()
    label: str = ""
    excluded: tuple[Column, ...] = ()
    where: str = ""
    key_is_primary: bool = True

    def __post_init__(self) -> None:
        """A table of the pipeline's own schema is called by its name."""
        if not self.label:
            object.__setattr__(self, "label", self.name)

    @property
    def id(self) -> TableId:
        """Which table it is."""
        return TableId(self.schema, self.name, self.label)

    @property
    def dialect(self) -> str:
        """Kind of the source."""
        return self.columns[0].dialect

    @property
    def key(self) -> tuple[Column, ...]:
        """Key columns in key order; empty when the table has no key."""
        keyed = [(column.key_position, column) for column in self.columns if column.key_position is not None]
        return tuple(column for _, column in sorted(keyed, key=lambda pair: pair[0]))

    @property
    def key_names(self) -> tuple[str, ...]:
        """Names of the key columns, in key order."""
        return tuple(column.name for column in self.key)

    @property
    def in_lake(self) -> TableSchema:
        """The table as its mirror has it: one without a key gets `ROW_ID` for a key."""
        if self.key:
            return self
        ids = (
            Column(name, "bigint", nullable=False, key_position=place, dialect=self.dialect)
            for place, name in enumerate(ROW_ID, 1)
        )
        return replace(self, columns=(*self.columns, *ids))

    @property
    def left_out(self) -> dict[str, str]:
        """What the pipeline does not capture, in words: what it is -> which; empty when it captures everything."""
        said = {
            "columns left out": ", ".join(column.name for column in self.excluded),
            "rows captured": f"where {self.where}" if self.where else "",
        }
        return {what: which for what, which in said.items() if which}

    @property
    def qualified(self) -> str:
        """``schema.name``, quoted where it must be, for people."""
        return self.id.qualified
