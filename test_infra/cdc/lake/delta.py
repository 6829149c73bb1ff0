"""Delta tables, on a local disk or in an object store: the first kind of `test_infra.cdc.lake.table.LakeTable`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from test_infra.cdc.lake import delta_log
from test_infra.cdc.lake.delta_files import (
    ROWS_OF_ROW_GROUP,
    configuration,
    rows_of_row_group,
    writer_properties,
)
from test_infra.cdc.lake.delta_reading import Way, dataset_of, refused_feature, scanned, scanned_for, unreadable, way_of
from test_infra.cdc.lake.location import Location
from test_infra.cdc.lake.schemas import plain
from test_infra.cdc.lake.table import MergeRule, TableMissing, TableUnreadable
from test_infra.cdc.lake.versions import (
    BEGINS,
    Applied,
    Commit,
    Noted,
    commits_of,
    newest_of,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable
    from pyarrow.dataset import Dataset, Expression

GENERATION = "test_infra.generation"
"""Application transaction whose version is the generation of the columns."""
ATTEMPTS = 5
"""Of a write that somebody else's commit comes before."""


class DeltaLakeTable:
    """A Delta table. Its log is loaded when rows or columns are asked for, not before.

    Args:
        location: where it lies.
        version: version to open; None: the newest.
    """

    def __init__(self, location: Location, version: int | None = None) -> None:
        self._location = location
        self._version = version
        # Of the largest rows that were written: a compaction and a merge write them again.
        self._row_group = ROWS_OF_ROW_GROUP

    @classmethod
    def create(cls, location: Location, schema: pa.Schema, applied: Applied) -> DeltaLakeTable:
        """Make an empty table whose first version says what it contains."""
        from deltalake import DeltaTable

        made = cls(location)
        made._delta = DeltaTable.create(
            location.uri,
            schema=schema,
            commit_properties=_commit_properties(applied, transaction=False),
            configuration=configuration(schema),
            storage_options=location.storage_options() or None,
        )
        return made

    @classmethod
    def exists(cls, location: Location) -> bool:
        """Whether there is a Delta table at a location."""
        from deltalake import DeltaTable

        if location.folder is not None:
            return delta_log.exists_on_disk(location.folder)
        return DeltaTable.is_deltatable(location.uri, location.storage_options())

    @cached_property
    def _delta(self) -> DeltaTable:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        where = self._location.folder or self._location.uri
        try:
            return DeltaTable(
                str(where), version=self._version, storage_options=self._location.storage_options() or None
            )
        except DeltaError as error:
            if feature := refused_feature(str(error)):
                raise unreadable(self._location, feature) from error
            raise

    @property
    def location(self) -> Location:
        """Where the table lies."""
        return self._location

    @property
    def version(self) -> int:
        """The opened version."""
        return self._delta.version()

    def schema(self) -> pa.Schema:
        """Columns, with the names and types that a reader sees."""
        import pyarrow as pa

        return plain(pa.schema(self._delta.schema().to_arrow()))

    def refresh(self) -> None:
        """Go on to the newest version."""
        self._delta.update_incremental()

    def commits(self, back_to: Mapping[int, int] | None = None) -> list[Commit]:
        """Every version whose log is still there, newest last."""
        return commits_of(self._log(), back_to)

    def newest_applied(self) -> Applied:
        """What the newest version contains."""
        return newest_of(self._log())

    def has_batch(self, stream: str, batch: int) -> bool:
        """Whether a micro-batch of a stream is in the opened version."""
        version = self._delta.transaction_version(stream)
        return version is not None and version >= batch

    def rows(self, columns: Sequence[str] | None = None, where: Expression | None = None) -> pa.RecordBatchReader:
        """Rows batch by batch."""
        if way_of(self._delta, self._location) is Way.SCAN:
            return scanned(self._delta, columns, where)
        wanted = None if columns is None else list(columns)
        return dataset_of(self._delta).scanner(columns=wanted, filter=where).to_reader()

    def dataset(self) -> Dataset:
        """Rows as an Arrow dataset."""
        if way_of(self._delta, self._location) is Way.SCAN:
            features = " and ".join(scanned_for(self._delta))
            raise TableUnreadable(
                self._location,
                f"the Delta feature {features}, which an Arrow dataset does not read",
                "open_table(...).rows() reads it",
            )
        return dataset_of(self._delta)

    def files(self) -> tuple[str, ...] | None:
        """Parquet files that hold the rows as they are; None: use `rows`."""
        if way_of(self._delta, self._location) is not Way.FILES or self._location.folder is None:
            return None
        return tuple(unquote(uri) for uri in self._delta.file_uris())

    def append(self, rows: pa.Table, applied: Applied) -> None:
        """Add rows in one commit."""
        self._append(rows, _commit_properties(applied))

    def append_part(self, rows: pa.Table, applied: Applied) -> None:
        """Add rows of a micro-batch that goes on."""
        self._append(rows, _commit_properties(applied, transaction=False))

    def merge(self, rows: pa.Table, rule: MergeRule, applied: Applied) -> None:
        """Merge rows; when no row changes, delta-rs makes no commit."""
        self._write(lambda: self._merge_once(rows, rule, applied))

    def delete(self, where: str, begins: int) -> None:
        """Delete rows, in a commit that says that it begins a micro-batch."""
        from deltalake import CommitProperties

        properties = CommitProperties(custom_metadata={BEGINS: str(begins)})
        written = writer_properties(self._row_group)
        self._write(lambda: self._delta.delete(where, commit_properties=properties, writer_properties=written))

    def generation(self) -> int:
        """Generation of the columns in the opened version."""
        return self._delta.transaction_version(GENERATION) or 0

    def reshape(self, rows: Callable[[], pa.RecordBatchReader], generation: int) -> None:
        """Replace rows and columns in one commit, without a word about offsets: they stay what they were."""
        # The list of columns with statistics stays as it is: delta-rs gives a table whose properties are set the reader
        # feature variantType (seen with 1.6.6). A column that it does not name is merged without statistics.
        self._write(lambda: self._reshape_once(rows(), generation))

    def compact(self) -> None:
        """Join small files and remove those replaced long ago."""
        from deltalake.exceptions import CommitFailedError

        with suppress(CommitFailedError):
            self._delta.optimize.compact(writer_properties=writer_properties(self._row_group))
            self._delta.vacuum(dry_run=False)

    def _log(self) -> Iterator[Noted]:
        if self._location.folder is not None:
            return delta_log.of_files(self._location, self._location.folder)
        if not self.exists(self._location):
            raise TableMissing(self._location)
        newest = DeltaLakeTable(self._location)
        return delta_log.of_history(newest._delta)

    def _append(self, rows: pa.Table, properties: CommitProperties) -> None:
        from deltalake import write_deltalake

        self._row_group = min(self._row_group, rows_of_row_group(rows))
        self._write(
            lambda: write_deltalake(
                self._delta,
                rows,
                mode="append",
                commit_properties=properties,
                writer_properties=writer_properties(self._row_group),
            )
        )

    def _reshape_once(self, rows: pa.RecordBatchReader, generation: int) -> None:
        import pyarrow as pa
        from deltalake import CommitProperties, Transaction, write_deltalake

        first = next(iter(rows), None)
        if first is not None:
            self._row_group = min(self._row_group, rows_of_row_group(pa.Table.from_batches([first])))
        write_deltalake(
            self._delta,
            pa.RecordBatchReader.from_batches(rows.schema, rows if first is None else chain([first], rows)),
            mode="overwrite",
            schema_mode="overwrite",
            commit_properties=CommitProperties(app_transactions=[Transaction(GENERATION, generation)]),
            writer_properties=writer_properties(self._row_group),
        )

    def _merge_once(self, rows: pa.Table, rule: MergeRule, applied: Applied) -> None:
        values = dict(rule.values)
        self._row_group = min(self._row_group, rows_of_row_group(rows))
        merge = self._delta.merge(
            rows,
            rule.same,
            source_alias="s",
            target_alias="t",
            commit_properties=_commit_properties(applied),
            writer_properties=writer_properties(self._row_group),
        )
        merge = merge.when_matched_delete(rule.delete).when_matched_update(values, rule.update)
        merge.when_not_matched_insert(values, rule.insert).execute()

    def _write(self, write: Callable[[], Any]) -> None:
        """Write, and try again at the newest version when somebody else's commit came before ours."""
        import tenacity
        from deltalake.exceptions import CommitFailedError

        tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(CommitFailedError),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            before_sleep=lambda _: self.refresh(),
            reraise=True,
        )(write)


def _commit_properties(applied: Applied, *, transaction: bool = True) -> CommitProperties:
    """Metadata of a commit; the application transaction (stream, batch) makes a replay add nothing."""
    from deltalake import CommitProperties, Transaction

    transactions = [Transaction(applied.stream, applied.batch)] if transaction else None
    return CommitProperties(custom_metadata=applied.metadata(), app_transactions=transactions)
