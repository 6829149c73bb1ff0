"""Which source a lake was made from, and what was replaced since."""

from __future__ import annotations

from dataclasses import dataclass

from test_infra.base.document import Document


@dataclass(frozen=True)
class Break:
    """One thing on the way from the source to the lake that was replaced, cut or lost.

    Args:
        part: what is concerned, such as ``slot`` or ``topic``.
        what: what is wrong with it, in words.
    """

    part: str
    what: str


class SourceOrigin(Document):
    """What tells one source from another of the same address.

    Args:
        server_id: of the database server's data; another after it was initialized again.
        database_id: of the database; another after it was dropped and made again.
        capture: what the source keeps for the connector, such as ``slot`` -> its name.
        tables: ``schema.table`` -> id; another after the table was dropped and made again.
    """

    server_id: str
    database_id: str
    capture: dict[str, str]
    tables: dict[str, str]

    def breaks(self, now: SourceOrigin) -> list[Break]:
        """What was replaced since this origin was written down; a table that is no longer captured is none."""
        found = []
        if now.server_id != self.server_id:
            found.append(
                Break("source", f"database cluster {now.server_id} is not {self.server_id}, which it was made from")
            )
        elif now.database_id != self.database_id:
            what = f"the database was dropped and made again: id {now.database_id}, not {self.database_id}"
            found.append(Break("source", what))
        for part, recorded in self.capture.items():
            current = now.capture.get(part, "none")
            if current != recorded:
                found.append(Break(part, f"{current!r} is not {recorded!r}, which it was made from"))
        return [*found, *self._replaced_tables(now)]

    def _replaced_tables(self, now: SourceOrigin) -> list[Break]:
        found = []
        for table, table_id in now.tables.items():
            if table not in self.tables:
                what = "it was added later: Debezium reads only changes of an added table, none of its rows"
                found.append(Break(f"table {table}", what))
            elif table_id != self.tables[table]:
                what = (
                    f"it was dropped and made again (id {table_id}, not {self.tables[table]}): the old one's rows "
                    "stay, and the new one's first changes may be lost"
                )
                found.append(Break(f"table {table}", what))
        return found
