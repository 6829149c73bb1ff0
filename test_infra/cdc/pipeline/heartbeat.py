"""The heart-beat of a pipeline: messages in the source's log that take a user's change's way and write into no table.

They are committed in the source, captured by the connector, sent to its topic of messages, and from there on they are
changes of a table of ours: parsed, logged and merged as every other. docs/decisions/0055 says why it is no table of
the source.
"""

from __future__ import annotations

from test_infra.cdc.types.table import Column, TableSchema

LABEL = "*heart-beat*"
"""No captured table is called so: a star outside of double quotes makes a pattern."""
BEAT, TOKEN = "beat", "token"


def heartbeat_table(dialect: str) -> TableSchema:
    """The table that a pipeline's heart-beats are changes of: one row, with the token of the newest.

    Args:
        dialect: kind of the source, which says how its positions are read.
    """
    columns = (
        Column(BEAT, "text", nullable=False, key_position=1, dialect=dialect),
        Column(TOKEN, "text", nullable=False, dialect=dialect),
    )
    return TableSchema("test_infra", "heartbeat", columns, label=LABEL)
