"""Where a lake and a checkpoint come from: written down at the first start, compared at every later one.

A change log continues one slot of one database and one topic per table. When any of them was replaced meanwhile,
going on would leave rows of the old one behind, or leave out what happened between, and look healthy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from test_infra.base.document import Document
from test_infra.base.errors import InfrastructureError
from test_infra.base.paths import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from test_infra.cdc.pipeline.names import PipelineNames
    from test_infra.cdc.pipeline.spec import PipelineSpec

FILE = "origin.json"

BEGIN_ANEW = "begin anew: `test-infra down`, then up - or another name for the pipeline; see docs/continuity.md"


@dataclass(frozen=True)
class Break:
    """A place where the way from the source to the lake does not hang together.

    Args:
        part: what is concerned, such as ``slot`` or ``topic``.
        what: what is wrong with it, in words.
    """

    part: str
    what: str


class Discontinuity(InfrastructureError):
    """Source, topics, checkpoint and lake do not belong together, so changes may be lost: nothing is started."""

    def __init__(self, pipeline: str, breaks: Iterable[Break]) -> None:
        found = list(breaks)
        super().__init__(
            f"pipeline {pipeline} cannot go on from where it was: {found[0].part}: {found[0].what}",
            details={item.part: item.what for item in found[1:]},
            hint=BEGIN_ANEW,
        )


class Origin(Document):
    """What a lake and a checkpoint were made from.

    Args:
        system_identifier: of the database cluster; another after a new initdb.
        database_oid: of the database; another after it was dropped and made again.
        slot: name of the replication slot.
        publication: name of the publication.
        tables: ``schema.table`` -> oid; another after the table was dropped and made again.
        topics: topic -> Kafka's id; another after the topic was deleted and made again. Empty until the topics exist.
    """

    system_identifier: str
    database_oid: int
    slot: str
    publication: str
    tables: dict[str, int]
    topics: dict[str, str] = {}

    def breaks(self, now: Origin) -> list[Break]:
        """What was replaced since this origin was written down; a table that is no longer captured is none."""
        found = []
        if now.system_identifier != self.system_identifier:
            found.append(
                Break(
                    "source",
                    f"database cluster {now.system_identifier} is not {self.system_identifier}, which it was made from",
                )
            )
        elif now.database_oid != self.database_oid:
            found.append(
                Break(
                    "source",
                    f"the database was dropped and made again: oid {now.database_oid}, not {self.database_oid}",
                )
            )
        found += [
            Break(part, f"{ours!r} is not {recorded!r}, which it was made from")
            for part, ours, recorded in (
                ("slot", now.slot, self.slot),
                ("publication", now.publication, self.publication),
            )
            if ours != recorded
        ]
        for table, oid in now.tables.items():
            if table not in self.tables:
                found.append(
                    Break(
                        f"table {table}",
                        "it was added later: Debezium reads only changes of an added table, none of its rows",
                    )
                )
            elif oid != self.tables[table]:
                found.append(
                    Break(
                        f"table {table}",
                        f"it was dropped and made again (oid {oid}, not {self.tables[table]}): the old one's rows "
                        "stay, and the new one's first changes may be lost",
                    )
                )
        found += [
            Break(f"topic {topic}", "it was deleted and made again: records that it had may never have been read")
            for topic, topic_id in now.topics.items()
            if self.topics.get(topic, topic_id) != topic_id
        ]
        return found

    def write(self, folder: Path) -> None:
        """Write it down in a folder, whole or not at all."""
        write_private(folder / FILE, self.model_dump_json(indent=1))

    @classmethod
    def read(cls, folder: Path) -> Origin | None:
        """What was written down in a folder; None when nothing was.

        Raises:
            InfrastructureError: the file is there and cannot be read.
        """
        path = folder / FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (ValidationError, OSError) as error:
            raise InfrastructureError(
                "the origin of a lake or checkpoint cannot be read",
                details={"file": str(path), "seen": str(error).splitlines()[0]},
                hint=BEGIN_ANEW,
            ) from error


def origin_of(connection: psycopg.Connection, spec: PipelineSpec, names: PipelineNames) -> Origin:
    """The source as it is now, without topics; tables that do not exist are left out.

    Args:
        connection: of the owner.
        spec: the pipeline.
        names: of this pipeline in this stack.
    """
    row = connection.execute(
        """SELECT (SELECT system_identifier::text FROM pg_control_system()),
            (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
            (SELECT coalesce(json_object_agg(n.nspname || '.' || c.relname, c.oid::bigint), '{}')
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = %s AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p'))""",
        [spec.source.schema_name, list(spec.tables)],
    ).fetchone()
    assert row is not None
    system_identifier, database_oid, tables = row
    return Origin(
        system_identifier=system_identifier,
        database_oid=database_oid,
        slot=names.slot,
        publication=names.publication,
        tables=tables,
    )
