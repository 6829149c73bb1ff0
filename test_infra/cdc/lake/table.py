"""What the pipeline needs of a table of the lake, whatever its format and wherever it lies.

The stream writes and the judge reads through `LakeTable` only. Delta is its first format
(`test_infra.cdc.lake.delta`); `test_infra.cdc.lake.open` opens a table from its location.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from test_infra.base.errors import InfrastructureError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.dataset import Dataset, Expression

    from test_infra.cdc.lake.location import Location
    from test_infra.cdc.lake.versions import Applied, Commit


class TableMissing(InfrastructureError):
    """There is no table at this location yet."""

    def __init__(self, location: Location) -> None:
        super().__init__(f"there is no Delta table in {location}", hint="the stream makes its tables at its start")


class TableUnreadable(InfrastructureError):
    """The table uses a feature that its rows cannot be read with; read all the same, they would be wrong or NULL."""

    def __init__(self, location: Location, feature: str, hint: str) -> None:
        super().__init__(f"{location} cannot be read: it uses {feature}", hint=hint)
        self.feature = feature


@dataclass(frozen=True)
class MergeRule:
    """What a merge does with each pair of a table's row (``t``) and a given row (``s``), in SQL.

    Args:
        same: condition for a pair: both rows are about the same key.
        delete: condition for a pair whose row of the table goes.
        update: condition for a pair whose row of the table gets the ``values``.
        insert: condition for a given row without a pair that is added with the ``values``.
        values: column, quoted -> its value.
    """

    same: str
    delete: str
    update: str
    insert: str
    values: Mapping[str, str]


class LakeTable(Protocol):
    """A table, opened at one version or at its newest. One thread uses it at a time.

    Rows and columns are those of the opened version. `commits` and `newest_applied` look at the table as it is now.
    """

    @property
    def location(self) -> Location:
        """Where the table lies."""
        ...

    @property
    def version(self) -> int:
        """The opened version."""
        ...

    def schema(self) -> pa.Schema:
        """Columns, with the names and types that a reader sees; no large and no view types."""
        ...

    def refresh(self) -> None:
        """Go on to the newest version."""
        ...

    def commits(self, back_to: Mapping[int, int] | None = None) -> list[Commit]:
        """Every version that the table still knows of, newest last.

        Args:
            back_to: read back only to the newest version that does not cover these end offsets: a log is long, and
                what is looked for lies near its end.

        Raises:
            TableMissing: there is no table.
        """
        ...

    def newest_applied(self) -> Applied:
        """What the newest version contains.

        Raises:
            TableMissing: there is no table.
        """
        ...

    def has_batch(self, stream: str, batch: int) -> bool:
        """Whether a micro-batch of a stream is in the opened version: its application transaction says so."""
        ...

    def rows(self, columns: Sequence[str] | None = None, where: Expression | None = None) -> pa.RecordBatchReader:
        """Rows batch by batch, in no particular order; they can be read once.

        Args:
            columns: names of the columns wanted; None: all.
            where: condition for a row; None: all rows.

        Raises:
            TableUnreadable: the table uses a feature that it cannot be read with.
        """
        ...

    def dataset(self) -> Dataset:
        """Rows as an Arrow dataset: can be read again and again, with filters and columns pushed down to the files.

        Raises:
            TableUnreadable: Arrow does not read the table's files right (deletion vectors, column mapping);
                `rows` reads more tables than this.
        """
        ...

    def files(self) -> tuple[str, ...] | None:
        """Parquet files that hold the rows as they are, for an engine that reads files itself; None: use `rows`."""
        ...

    def append(self, rows: pa.Table, applied: Applied) -> None:
        """Add rows in one commit that says what the table contains then, and that the stream's micro-batch is in it."""
        ...

    def append_part(self, rows: pa.Table, applied: Applied) -> None:
        """Add rows of a micro-batch that goes on: as `append`, but the micro-batch is not said to be in it."""
        ...

    def merge(self, rows: pa.Table, rule: MergeRule, applied: Applied) -> None:
        """Merge rows, in a commit like that of `append`. When no row changes, there may be no commit."""
        ...

    def delete(self, where: str, begins: int) -> None:
        """Delete rows, in a commit that says that it begins a micro-batch: no cut is taken at its version.

        Args:
            where: condition in SQL.
            begins: the micro-batch.
        """
        ...

    def generation(self) -> int:
        """Generation of the columns in the opened version (`test_infra.cdc.types.generation`); 0 until `reshape`."""
        ...

    def reshape(self, rows: Callable[[], pa.RecordBatchReader], generation: int) -> None:
        """Replace all rows and the columns, in one commit that says the generation; applied offsets stay as they are.

        Args:
            rows: gives all rows, in the new columns, as the table is then; called again after another's commit.
            generation: of the new columns.
        """
        ...

    def compact(self) -> None:
        """Join small files and remove those replaced long ago; skipped when somebody else's commit comes between."""
        ...
