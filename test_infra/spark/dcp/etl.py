"""CoreETL jobs: the specification (sources, transformations, sinks), and how Spark carries each part out."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from test_infra.base.document import Document
from test_infra.base.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MODULE = "test_infra.spark.dcp.core_etl"
SOURCE = "source"
"""View of what has no name of its own: the only source, then the result of each transformation."""

ViewName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Format(StrEnum):
    """What a source or a sink is."""

    DELTA = "delta"
    PARQUET = "parquet"
    CSV = "csv"
    JSON = "json"
    ICEBERG = "iceberg"
    TABLE = "table"


class _Dataset(Document):
    """Files of a path, or a table of a catalogue."""

    type: Format = Field(description="delta, parquet, csv, json (by path) or iceberg, table (by name).")
    path: str | None = Field(default=None, description="Folder or URL; ${NAME} is an environment variable's value.")
    catalog: ViewName | None = Field(default=None, description="Catalogue; Spark's own when left out.")
    database: ViewName | None = Field(default=None, description="Database of the catalogue.")
    table: ViewName | None = Field(default=None, description="Table of the database.")
    options: dict[str, str] = Field(default_factory=dict, description="Options of Spark's reader or writer.")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        by_name = self.type in {Format.ICEBERG, Format.TABLE}
        if by_name and (self.table is None or self.path is not None):
            raise ValueError(f"type {self.type} is named by catalog, database and table, not by path")
        if not by_name and (self.path is None or self.table is not None):
            raise ValueError(f"type {self.type} is named by path, not by table")
        return self

    @property
    def identifier(self) -> str:
        """``catalog.database.table``, quoted for Spark."""
        return ".".join(f"`{part}`" for part in (self.catalog, self.database, self.table) if part)


class Source(_Dataset):
    """Where rows come from."""

    name: ViewName | None = Field(default=None, description="View by which transformations read it.")
    filter: str | None = Field(default=None, description="SQL condition on its rows.")


class Transformation(Document):
    """A query over the sources and the results before it."""

    type: Literal["sql"] = Field(description="sql")
    query: str = Field(min_length=1, description="One SELECT; FROM source reads the one source, or the last result.")
    name: ViewName | None = Field(default=None, description="View of the result for what follows.")


class SinkMode(StrEnum):
    """What happens to existing rows."""

    APPEND = "append"
    OVERWRITE = "overwrite"


class Sink(_Dataset):
    """Where the last result goes."""

    mode: SinkMode = Field(default=SinkMode.APPEND, description="append or overwrite.")
    partition_by: tuple[str, ...] = Field(default=(), alias="partitionBy", description="Columns.")

    model_config = ConfigDict(populate_by_name=True)


class EtlSpec(Document):
    """One CoreETL job."""

    name: str = Field(default="", description="Shown to people only.")
    sources: tuple[Source, ...] = Field(min_length=1, description="Read in order.")
    transformations: tuple[Transformation, ...] = Field(default=(), description="Applied in order.")
    sinks: tuple[Sink, ...] = Field(min_length=1, description="Each gets the last result.")

    @model_validator(mode="after")
    def _source_names_differ(self) -> Self:
        names = [source.name or SOURCE for source in self.sources]
        if len(set(names)) < len(names):
            raise ValueError(f"several sources are called {max(names, key=names.count)!r}; give each a name")
        return self

    @property
    def uses_delta(self) -> bool:
        """Whether Spark needs Delta's jars."""
        return any(part.type is Format.DELTA for part in (*self.sources, *self.sinks))

    def filled(self) -> EtlSpec:
        """The specification with the values of environment variables in its paths.

        Raises:
            UsageError: one is not set.
        """
        document = self.model_dump(mode="json", by_alias=True)
        for part in (*document["sources"], *document["sinks"]):
            if part["path"] is not None:
                part["path"] = _REFERENCE.sub(_variable, part["path"])
        return EtlSpec.model_validate(document)


DELTA_CONF = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
DELTA_JARS = "spark-delta"
"""Jar group."""


def read(spark: SparkSession, source: Source) -> DataFrame:
    """The rows of a source, as a view of its name; nothing is read yet."""
    if source.path is None:
        rows = spark.read.options(**_options(source)).table(source.identifier)
    else:
        rows = spark.read.format(source.type.value).options(**_options(source)).load(source.path)
    if source.filter is not None:
        rows = rows.where(source.filter)
    rows.createOrReplaceTempView(source.name or SOURCE)
    return rows


def transform(spark: SparkSession, transformation: Transformation) -> DataFrame:
    """The result of a query, as a view; nothing is computed yet."""
    view = transformation.name or SOURCE
    spark.sql(select(transformation)).createOrReplaceTempView(view)
    # Over Spark Connect the query itself would be resolved again, and could read the view that it just replaced.
    return spark.table(view)


def select(transformation: Transformation) -> str:
    """The query in parentheses, where only a query parses: any other statement fails and changes nothing."""
    return f"SELECT * FROM (\n{transformation.query.strip().rstrip(';')}\n)"  # noqa: S608 - it is the user's own query


def write(rows: DataFrame, sink: Sink) -> None:
    """Compute the rows and write them."""
    writer = rows.write.mode(sink.mode.value).options(**_options(sink)).partitionBy(*sink.partition_by)
    if sink.path is None:
        writer.saveAsTable(sink.identifier)
    else:
        writer.format(sink.type.value).save(sink.path)


def _options(part: _Dataset) -> dict[str, Any]:
    return dict(part.options)


def _variable(reference: re.Match[str]) -> str:
    value = os.environ.get(reference[1])
    if not value:
        raise UsageError(
            f"the job specification refers to ${{{reference[1]}}}, which is not set",
            hint='eval "$(test-infra env)" sets those of the running stack',
        )
    return value
