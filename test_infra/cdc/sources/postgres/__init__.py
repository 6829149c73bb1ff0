"""PostgreSQL as the source of a pipeline: connect, prepare, describe, freeze and read."""

from test_infra.cdc.sources.errors import LockNotTaken, SourceUnreachable
from test_infra.cdc.sources.postgres.catalogue import NoPrimaryKey, NoSuchTable, SourceTable, tables
from test_infra.cdc.sources.postgres.connection import Role, connect, conninfo
from test_infra.cdc.sources.postgres.lsn import Lsn
from test_infra.cdc.sources.postgres.preparation import run_ddl
from test_infra.cdc.sources.postgres.snapshot import Frozen, Part, Snapshot, emit_marker, freeze

__all__ = [
    "Frozen",
    "LockNotTaken",
    "Lsn",
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
    "run_ddl",
    "tables",
]
