"""Which index tells the rows of a table apart: its primary key, or else a unique index that no row can evade."""

from __future__ import annotations

KEY_INDEX = """
SELECT i.indexrelid, i.indisprimary, i.indimmediate, (i.indkey::int2[])[0:i.indnkeyatts - 1] AS attnums
FROM pg_index i
WHERE i.indrelid = {table} AND (i.indisprimary OR (
    i.indisunique AND i.indisvalid AND i.indimmediate AND NOT i.indisexclusion
    AND i.indpred IS NULL AND i.indexprs IS NULL
    AND NOT EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
            AND (NOT a.attnotnull OR a.attgenerated <> '')
    )
))
ORDER BY i.indisprimary DESC, i.indisreplident DESC, i.indnkeyatts, i.indkey::int2[]
LIMIT 1"""
"""Query of the key's index of ``{table}``, without the columns that it only includes: they are no part of the key.

Beside a primary key it takes what ``REPLICA IDENTITY USING INDEX`` takes: unique, not partial, without expressions,
checked at once, every column NOT NULL; and no generated column, because that is not replicated. Of several the one that
is the replica identity, then the one with the fewest columns, then the one whose columns come first in the table: that
stays the same when an index is built anew.
"""
