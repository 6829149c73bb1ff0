"""PostgreSQL as the source of a pipeline: connect, prepare, describe, freeze and read."""

from test_infra.cdc.sources.postgres.catalogue import NoPrimaryKey, NoSuchTable, SourceTable, schemas, tables
from test_infra.cdc.sources.postgres.connection import Role, SourceUnreachable, connect, conninfo
from test_infra.cdc.sources.postgres.preparation import prepare
from test_infra.cdc.sources.postgres.snapshot import Frozen, LockNotTaken, Part, Snapshot, emit_marker, freeze

__all__ = [
    "Frozen",
    "LockNotTaken",
    "NoPrimaryKey",
    "NoSuchTable",
    "Part",
    "Role",
    "Snapshot",
    "SourceTable",
    "SourceUnreachable",
    "connect",
    "conninfo",
    "emit_marker",
    "freeze",
    "prepare",
    "schemas",
    "tables",
]
