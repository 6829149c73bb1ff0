"""Rows that are there before the connector: the initial snapshot reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.base.errors import InfrastructureError
from test_infra.cdc.load.beginning import beginning, note_used
from test_infra.cdc.load.execute import Executor
from test_infra.cdc.load.history import History, Phase
from test_infra.cdc.load.plan import NothingToDo, Planner

if TYPE_CHECKING:
    import psycopg

    from test_infra.cdc.load.shape import Shape

ROWS_PER_TRANSACTION = 100
MOST_REFUSALS = 200
"""Refused rows of a table after which no more are tried."""


def seed_rows(
    session: Callable[[], AbstractContextManager[psycopg.Connection]],
    shapes: Sequence[Shape],
    *,
    rows: int,
    seed: int,
    writers: int,
    history: Path,
) -> dict[str, str]:
    """Insert rows into each table that is empty, parents first.

    What the source refuses is tried again with other values, row by row.

    Args:
        session: of the owner.
        shapes: the tables.
        rows: of each table.
        seed: same seed, same rows.
        writers: of the load that comes after, among whom the rows are shared out.
        history: where every row is written down.

    Returns:
        Table -> why it has fewer rows than asked for.

    Raises:
        InfrastructureError: a table took no row at all; says why in the source's own words.
    """
    with session() as connection:
        empty = [table for table, shape in enumerate(shapes) if rows and _is_empty(connection, shape)]
        if not empty:
            return {}
        written = History(history)
        try:
            found = beginning(connection, shapes, history, writers=writers)
            sources = [found.numbers(shapes, writer, session) for writer in range(writers)]
            planters = [
                _Planter(
                    connection,
                    Planner(
                        # Other values than the load's.
                        shapes,
                        seed=~seed,
                        writer=writer,
                        writers=writers,
                        source=source,
                        rows=found.rows[writer],
                    ),
                    Executor(shapes, written, Phase.SEED),
                )
                for writer, source in enumerate(sources)
            ]
            for table in empty:
                for writer, planter in enumerate(planters):
                    planter.plant(table, rows // writers + (writer < rows % writers))
            note_used(history, shapes, sources, ended=True)
        finally:
            written.close()
    fewer = {}
    for table in empty:
        there = sum(planter.committed[table] for planter in planters)
        if there < rows:
            name = shapes[table].schema.qualified
            why = next((planter.why[table] for planter in planters if table in planter.why), "")
            if not there:
                raise InfrastructureError(
                    f"the first rows of {name} were refused",
                    details={"seen": why},
                    hint=f"say under `load: values: {shapes[table].schema.label}:` what the columns may hold, or set "
                    "`load: null`",
                )
            fewer[name] = f"{there} of {rows} first rows: {why}"
    return fewer


class _Planter:
    """One writer's share of the first rows."""

    def __init__(self, connection: psycopg.Connection, planner: Planner, executor: Executor) -> None:
        self._connection = connection
        self._planner = planner
        self._executor = executor
        self.committed: Counter[int] = Counter()
        self.why: dict[int, str] = {}

    def plant(self, table: int, rows: int) -> None:
        """Insert rows until there are so many, parents that were made on the way counted with their own table."""
        at_once, refusals = ROWS_PER_TRANSACTION, 0
        while self.committed[table] < rows and refusals < MOST_REFUSALS:
            try:
                transaction = self._planner.births(table, min(at_once, rows - self.committed[table]))
            except NothingToDo as error:
                self.why[table] = str(error)
                return
            ran = self._executor.run(self._connection, transaction)
            self._planner.ended(transaction, committed=ran.committed, missed=ran.missed)
            if ran.committed:
                self.committed.update(
                    one.table for place, one in enumerate(transaction.operations) if place not in ran.no_row
                )
                refusals += len(ran.no_row)
                if ran.no_row:
                    self.why[table] = "a trigger or a rule kept rows from being written"
            else:
                refusals, at_once = refusals + 1, 1
                self.why[table] = ran.words


def _is_empty(connection: psycopg.Connection, shape: Shape) -> bool:
    from psycopg.sql import SQL, Identifier

    query = SQL("SELECT EXISTS (SELECT FROM {})").format(Identifier(shape.schema.schema, shape.schema.name))
    return connection.execute(query).fetchone() == (False,)
