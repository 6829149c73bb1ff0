"""Which tables a pipeline captures, and that they are told apart on their way."""

from __future__ import annotations

from collections.abc import Iterable

from test_infra.base.errors import UsageError
from test_infra.cdc.pipeline.names import debezium_topic
from test_infra.cdc.types.table_id import TableId


def refuse_clashes(tables: Iterable[TableId]) -> None:
    """Refuse a table that is given twice, and two tables whose changes would lie in one topic.

    Debezium writes an underscore for what Kafka does not take, and Kafka refuses a topic that differs from another one
    only by dots and underscores.

    Raises:
        UsageError: names both.
    """
    of_topic: dict[str, TableId] = {}
    for table in tables:
        topic = debezium_topic(table.schema, table.name)
        other = of_topic.setdefault(topic.replace(".", "_"), table)
        if other is table:
            continue
        if other == table:
            raise UsageError(f"table {table.qualified} is captured twice", hint="name it once under `tables:`")
        raise UsageError(
            f"tables {other.qualified} and {table.qualified} would share a topic: both end in {topic!r}, once what "
            "Kafka does not take is an underscore, and Kafka takes . and _ for the same",
            hint="rename one of them, or capture it by a pipeline of its own",
        )
