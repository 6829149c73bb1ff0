"""Gates with their evidence, as much of it as a page can hold."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from test_infra.verdict.evidence import Outcome
from test_infra.verdict.page.differences import LONGEST_PIECE, DifferingRow, differing_rows, is_difference
from test_infra.verdict.page.headline import anchor
from test_infra.verdict.page.words import cut, elapsed_s, number, seconds, visible
from test_infra.verdict.result import MISSING, GateResult

LONGEST_CELL = 2_000
LONGEST_DETAIL = 8_000
PAGE_CHARACTERS = 1_000_000
"""For the evidence of all gates together; escaping may lengthen it, and the page must stay below 2 MB."""
SECONDS = "_s"


@dataclass(frozen=True)
class Detail:
    """A text of the evidence; ``block`` when it has lines."""

    label: str
    text: str
    block: bool


@dataclass(frozen=True)
class GateView:
    """One gate as it is shown.

    Args:
        numbers: label -> value for reading.
        differing: rows of two sides.
        columns: of every other table of rows.
        rows: its cells.
        hidden: rows that the page has no room for.
    """

    anchor: str
    gate: str
    asset: str
    outcome: str
    passed: bool
    summary: str
    verdicts: tuple[str, ...] = ()
    promise: tuple[str, ...] = ()
    numbers: tuple[tuple[str, str], ...] = ()
    differing: tuple[DifferingRow, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    hidden: int = 0
    details: tuple[Detail, ...] = ()
    took: str = ""


def worst_first(gates: Iterable[GateResult]) -> list[GateResult]:
    """Gates in the order in which a reader wants them."""
    order = [Outcome.FAILED, Outcome.UNKNOWN, MISSING, Outcome.PASSED]
    return sorted(gates, key=lambda gate: order.index(gate.outcome))


def views(gates: Iterable[GateResult]) -> list[GateView]:
    """Gates that have evidence as they are shown, worst first; the first ones have the page's room."""
    room = _Room(PAGE_CHARACTERS)
    return [_view(gate, room) for gate in worst_first(gates) if gate.evidence is not None]


class _Room:
    """Characters that are left for evidence."""

    def __init__(self, characters: int) -> None:
        self._left = characters

    def cut(self, text: str, most: int) -> str:
        """The text, not longer than ``most`` and than what is left; a few characters are always there."""
        shown = visible(cut(text, max(min(most, self._left), 80)))
        # Five times as long where every character is escaped.
        self._left -= len(shown) + 4 * sum(map(shown.count, "<>&\"'"))
        return shown

    def is_left(self) -> bool:
        """Whether there is room for more."""
        return self._left > 0


def _view(gate: GateResult, room: _Room) -> GateView:
    shown = GateView(
        anchor=visible(cut(anchor(gate), LONGEST_CELL)),
        gate=room.cut(gate.gate, LONGEST_CELL),
        asset=room.cut(gate.asset, LONGEST_CELL),
        outcome=gate.outcome,
        passed=gate.passed,
        summary=room.cut(gate.summary, LONGEST_CELL),
    )
    evidence = gate.evidence
    if evidence is None:
        return shown
    if not room.is_left():
        return replace(shown, hidden=len(evidence.rows))
    rows = []
    for row in evidence.rows:
        if not room.is_left():
            break
        longest = LONGEST_PIECE if is_difference(row) else LONGEST_CELL
        rows.append({room.cut(column, 200): room.cut(text, longest) for column, text in row.items()})
    sides = [row for row in evidence.rows[: len(rows)] if is_difference(row)]
    others = [] if sides else rows
    columns = tuple(dict.fromkeys(column for row in others for column in row))
    return replace(
        shown,
        verdicts=tuple(room.cut(verdict, 200) for verdict in evidence.verdicts),
        promise=tuple(room.cut(paragraph, LONGEST_CELL) for paragraph in evidence.promise.split("\n\n") if paragraph),
        numbers=tuple((_label(name), _number(name, value)) for name, value in evidence.numbers.items()),
        differing=tuple(differing_rows(sides)),
        columns=columns,
        rows=tuple(tuple(row.get(column, "") for column in columns) for row in others),
        hidden=len(evidence.rows) - len(rows),
        details=tuple(_detail(label, text, room) for label, text in evidence.details.items()),
        took=seconds(elapsed_s(evidence.started_at, evidence.ended_at)),
    )


def _label(name: str) -> str:
    return visible(name.removesuffix(SECONDS).replace("_", " "))


def _number(name: str, value: float) -> str:
    return seconds(value) if name.endswith(SECONDS) else number(value)


def _detail(label: str, text: str, room: _Room) -> Detail:
    shown = room.cut(text, LONGEST_DETAIL)
    return Detail(room.cut(label, 200), shown, "\n" in shown)
