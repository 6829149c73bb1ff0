"""How one kind of source writes its values and positions into change events; PostgreSQL's is the first dialect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from test_infra.cdc.types.families import postgres_rule

if TYPE_CHECKING:
    import pyarrow as pa

    from test_infra.cdc.types.rule import TypeRule
    from test_infra.cdc.types.table import Column, TableSchema


@dataclass(frozen=True)
class Dialect:
    """Rules that the parser, the tables and the judge ask for.

    Args:
        rule_for: the rule of a column's type; raises `UnsupportedColumn` where there is none.
        position_paths: JSON paths of an event's position.
        position_sql: from the texts at these paths to the stored position, NULL where they are none.
        position_problem: what is wrong when it is NULL.
        position_arrow: name of the Arrow type of a stored position, as `pyarrow.type_for_alias` knows it.
        tx_id_path: JSON path of an event's transaction id.
        tx_order_path: JSON path of an event's number in its transaction; in events of tables without a key only.
    """

    rule_for: Callable[[Column], TypeRule]
    position_paths: tuple[str, ...]
    position_sql: Callable[[Sequence[str]], str]
    position_problem: str
    position_arrow: str
    tx_id_path: str
    tx_order_path: str = "$.transaction.total_order"

    def position_type(self) -> pa.DataType:
        """Arrow type of a stored position."""
        import pyarrow as pa

        return pa.type_for_alias(self.position_arrow)


POSTGRES = Dialect(
    rule_for=postgres_rule,
    position_paths=("$.source.lsn",),
    position_sql=lambda texts: f"TRY_CAST({texts[0]} AS BIGINT)",
    position_problem="source.lsn is missing or no integer",
    position_arrow="int64",
    tx_id_path="$.source.txId",
)

DIALECTS = {"postgres": POSTGRES}
"""Kind of a source -> its dialect."""


def rule_for(column: Column) -> TypeRule:
    """The rule of a column's type, in the dialect of its source.

    Raises:
        UnsupportedColumn: no rule; the message names column, type, reason and what is supported.
    """
    return DIALECTS[column.dialect].rule_for(column)


def dialect_of(schema: TableSchema) -> Dialect:
    """The dialect of a table's source."""
    return DIALECTS[schema.dialect]


def check_supported(schema: TableSchema) -> None:
    """Every column of the table has a rule.

    Raises:
        UnsupportedColumn: the first column without one.
    """
    for column in schema.columns:
        rule_for(column)
