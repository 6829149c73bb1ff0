"""Where the values come from that no other row has: numbers of each writer, and how a key is made of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from test_infra.base.errors import UsageError
from test_infra.cdc.load.domains import NO_LIMITS
from test_infra.cdc.load.numbered import Numbered, numbered
from test_infra.cdc.load.rows import KeyValues

if TYPE_CHECKING:
    from test_infra.cdc.load.shape import Shape

LINES_PER_PARENT = 10


class Free:
    """Numbers that are free, endless.

    Args:
        first: of them.
        step: from one to the next.
    """

    def __init__(self, first: int, step: int = 1) -> None:
        self.upcoming = first
        self._step = step

    def take(self) -> int:
        """The next one."""
        number, self.upcoming = self.upcoming, self.upcoming + self._step
        return number


@dataclass(frozen=True)
class Numbers:
    """What one writer may use that no other one uses.

    Args:
        plain: of each table: each number gives another key and other unique values.
        sequences: table -> numbers of the sequence that fills its key; it ends when the sequence does.
        outside: ``schema.table.constraint`` of a foreign key -> values that it may point to, in a table that the load
            does not write.
    """

    plain: Sequence[Free]
    sequences: Mapping[int, Iterator[int]] = field(default_factory=dict)
    outside: Mapping[str, Sequence[KeyValues]] = field(default_factory=dict)


@dataclass(frozen=True)
class Counting:
    """How the columns of a key that the load gives count up together.

    Args:
        makers: of them.
        counter: the column that counts without end.
        lines: how many keys share a value of ``counter``.
    """

    makers: Mapping[str, Numbered]
    counter: str
    lines: int

    def values(self, number: int) -> dict[str, object]:
        """The values of a number.

        Raises:
            NoMoreValues: the counter has no more.
        """
        parent, line = divmod(number, self.lines)
        found: dict[str, object] = {}
        *between, last = [*(name for name in self.makers if name != self.counter), self.counter]
        for place, name in enumerate(between):
            capacity = self.makers[name].capacity
            # The last one has the lines, from the second value on where there are enough: lines begin with 1.
            within = (line + (capacity > self.lines)) if place == len(between) - 1 and self.lines > 1 else line
            found[name] = self.makers[name](within % capacity)
        found[last] = self.makers[last](parent)
        return {name: found[name] for name in self.makers}


def counting(shape: Shape, makers: Mapping[str, Numbered], missing: Sequence[str]) -> Counting:
    """How some columns of a key count up together."""
    from_source = [name for name in missing if name in shape.sequences]
    counter = from_source[0] if from_source else max(missing, key=lambda name: makers[name].capacity)
    others = [name for name in missing if name != counter]
    lines = 1 if from_source or not others else min(LINES_PER_PARENT, makers[others[-1]].capacity)
    return Counting({name: makers[name] for name in missing}, counter, lines)


def key_makers(shape: Shape) -> dict[str, Numbered]:
    """Key column -> another value for each number; columns that point to other rows may have none."""
    found = {}
    for column in shape.schema.key:
        try:
            limits = NO_LIMITS if column.name in shape.sequences else shape.domains.get(column.name, NO_LIMITS)
            found[column.name] = numbered(column, limits)
        except UsageError:
            if column.name not in shape.pointing:
                raise
    return found
