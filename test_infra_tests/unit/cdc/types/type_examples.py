"""One declared type for each way in which scalar values are stored and compared."""

from __future__ import annotations

_PLAIN = (
    "smallint", "integer", "bigint", "real", "double precision", "boolean", "text", "uuid", "date", "json", "jsonb",
    "bytea",
)  # fmt: skip
TYPES: dict[str, str] = {name: name for name in _PLAIN} | {
    "numeric(p<=38,s)": "numeric(12,2)",
    "varchar(n)": "character varying(10)",
    "char(n)": "character(5)",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
}
"""Name, as people write it -> as PostgreSQL's catalogue does."""
