"""How the files of our Delta tables are written, and how long replaced ones are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import WriterProperties

STATISTICS = "delta.dataSkippingStatsColumns"
TARGET_FILE_SIZE = "delta.targetFileSize"
FILE_BYTES = 4 * 1024 * 1024
"""Larger files are split when written. Without a limit, each compaction would write the whole table again."""
ROWS_OF_ROW_GROUP = 32_768
DEFAULT_WRITE_BATCH = 1_024
ROW_GROUP_BYTES = 8 * 1024 * 1024
"""Of large rows, as they are in memory: a reader has a whole row group there."""
RETENTION = "delta.deletedFileRetentionDuration"
REPLACED_FILES_KEPT_MIN = 10
"""How long a version can still be read after the next one, minutes: longer than any cut takes. A mirror is merged
several times a second, and each merge replaces files."""


def configuration(schema: pa.Schema) -> dict[str, str | None]:
    """Properties of a new table."""
    return {
        STATISTICS: _with_statistics(schema),
        RETENTION: f"interval {REPLACED_FILES_KEPT_MIN} minutes",
        TARGET_FILE_SIZE: str(FILE_BYTES),
    }


def rows_of_row_group(rows: pa.Table) -> int:
    """How many rows like these a row group may have: fewer where they are large."""
    if not rows.num_rows:
        return ROWS_OF_ROW_GROUP
    fitting: int = ROW_GROUP_BYTES * rows.num_rows // max(1, rows.nbytes)
    return max(1, min(ROWS_OF_ROW_GROUP, fitting))


def writer_properties(row_group: int = ROWS_OF_ROW_GROUP) -> WriterProperties:
    """How a Parquet file is written. Tuned for fast reads and rewrites, not for size.

    A merge writes every file anew in which it changes a row, and most of that time went into dictionaries of values
    that hardly repeat. Small row groups are encoded and read by several threads at once, in little memory.

    Args:
        row_group: most rows of a row group.
    """
    from deltalake import ColumnProperties, WriterProperties

    return WriterProperties(
        compression="LZ4_RAW",
        max_row_group_size=row_group,
        # The writer looks at the size of its file after each of these.
        write_batch_size=min(row_group, DEFAULT_WRITE_BATCH),
        default_column_properties=ColumnProperties(dictionary_enabled=False),
    )


def _with_statistics(schema: pa.Schema) -> str:
    """The columns whose least and greatest value each commit notes, which a merge uses to skip files.

    Not the dates: readers (`DeltaTable.to_pyarrow_dataset`) fail on the statistics of a day before the year 1 or after
    9999. And nothing nested, which may hold dates too.
    """
    import pyarrow as pa

    without = (pa.types.is_date, pa.types.is_nested, pa.types.is_binary)
    names = [field.name for field in schema if not any(of_kind(field.type) for of_kind in without)]
    return ",".join("`" + name.replace("`", "``") + "`" for name in names)
