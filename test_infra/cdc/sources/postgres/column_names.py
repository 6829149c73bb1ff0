"""Columns of one table that the way to the lake cannot keep apart: Debezium and Delta ignore the case of a name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from test_infra.base.errors import UsageError


def name_problems(
    table: str, columns: Iterable[str], excluded: Collection[str], of_mirror: Iterable[str]
) -> Iterator[UsageError]:
    """Why columns cannot be told apart, from each other or from those that a mirror has of its own.

    Args:
        table: qualified name, for the error.
        columns: all of the table, generated and excluded ones included: Debezium reads them, too.
        excluded: those that the pipeline leaves out; they are not in the mirror.
        of_mirror: columns that the mirror has of its own.
    """
    same: defaultdict[str, list[str]] = defaultdict(list)
    for name in columns:
        same[name.casefold()].append(name)
    for names in same.values():
        if len(names) > 1:
            yield UsageError(
                f"table {table} has the columns {' and '.join(names)}, which differ only by case: "
                "Debezium and Delta cannot tell them apart",
                hint="rename one of them, or leave the table out of the pipeline",
            )
    for own in of_mirror:
        for name in set(same.get(own, ())) - set(excluded):
            yield UsageError(
                f"table {table} has a column {name}, and {own} is a column that its mirror has of its own",
                hint="rename it, take it out with `columns: exclude:`, or leave the table out of the pipeline",
            )
