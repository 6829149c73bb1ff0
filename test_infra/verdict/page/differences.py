"""Differing values side by side: what is the same, and the piece that is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from test_infra.verdict.evidence import FROM_CHARACTER
from test_infra.verdict.page.words import cut, number, visible

SIDES = ("source", "mirror")
NEAR = 24
"""Characters of the same text that are shown on each side of a difference in a long value."""
LONGEST_PIECE = 600


@dataclass(frozen=True)
class Value:
    """One side: text before the difference, the differing piece, text after it."""

    before: str
    differing: str
    after: str


@dataclass(frozen=True)
class Place:
    """One differing column.

    Args:
        column: its name; empty when the whole row is concerned.
        source: what must be there.
        mirror: what is there.
        where: in which character long values begin to differ; empty for short ones.
    """

    column: str
    source: Value
    mirror: Value
    where: str


@dataclass(frozen=True)
class DifferingRow:
    """One row of a table and all its differing columns."""

    key: str
    verdict: str
    compared: str
    places: tuple[Place, ...]


def is_difference(row: Mapping[str, str]) -> bool:
    """Whether a row of evidence holds two sides."""
    return all(side in row for side in SIDES)


def differing_rows(rows: Sequence[Mapping[str, str]]) -> list[DifferingRow]:
    """Rows of evidence, one a column, brought together by key."""
    together: dict[tuple[str, str, str], list[Place]] = {}
    for row in rows:
        identity = (row.get("key", ""), row.get("verdict", ""), row.get("compared", ""))
        begins = row.get(FROM_CHARACTER, "1")
        skipped = int(begins) - 1 if begins.isdecimal() else 0
        together.setdefault(identity, []).append(place(row.get("column", ""), row["source"], row["mirror"], skipped))
    return [
        DifferingRow(visible(cut(key, LONGEST_PIECE)), visible(verdict), visible(compared), tuple(places))
        for (key, verdict, compared), places in together.items()
    ]


def place(column: str, source: str, mirror: str, skipped: int = 0) -> Place:
    """Two values with their differing piece set apart.

    A whole row beside no row has no piece that differs, and so has a value beside NULL.

    Args:
        column: its name; empty when the whole row is concerned.
        source: what must be there.
        mirror: what is there.
        skipped: characters before both, the same on both sides.
    """
    if not column or "NULL" in (source, mirror):
        return Place(visible(column), _whole(source), _whole(mirror), "")
    first = _same(source, mirror)
    same_end = _same(source[first:][::-1], mirror[first:][::-1])
    long = skipped + max(len(source), len(mirror)) > 2 * NEAR
    where = f"first difference at character {number(skipped + first + 1)}" if long else ""
    return Place(
        visible(cut(column, LONGEST_PIECE)),
        _value(source, first, len(source) - same_end, skipped),
        _value(mirror, first, len(mirror) - same_end, skipped),
        where,
    )


def _same(one: str, other: str) -> int:
    """How many characters are the same from the beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _whole(text: str) -> Value:
    return Value("", visible(cut(text, LONGEST_PIECE)), "")


def _value(text: str, first: int, last: int, skipped: int) -> Value:
    before, differing, after = text[:first], text[first:last], text[last:]
    if skipped or len(before) > 2 * NEAR:
        before = f"\u2026{before[-NEAR:]}"
    if len(after) > 2 * NEAR:
        after = f"{after[:NEAR]}\u2026"
    # Blanks that differ would be invisible.
    shown = differing.replace(" ", "\u2423") if not differing.strip() else differing
    return Value(visible(before), visible(cut(shown, LONGEST_PIECE)), visible(after))
