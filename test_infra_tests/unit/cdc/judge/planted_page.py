"""`python -m test_infra_tests.unit.cdc.judge.planted_page` plants all faults and writes docs/planted-faults.md."""

from __future__ import annotations

from pathlib import Path

from test_infra_tests.unit.cdc.judge.planted import Planted
from test_infra_tests.unit.cdc.judge.planted_shapes import WHEN, in_shapes
from test_infra_tests.unit.cdc.judge.planted_types import PLACES, in_types

PAGE = Path(__file__).parents[4] / "docs" / "planted-faults.md"


def page(types: list[Planted], shapes: list[Planted]) -> str:
    """docs/planted-faults.md."""
    total = [*types, *shapes]
    places = [f"{place}, {when}" for place in ("mirror", "change log") for when in WHEN]
    lines = [
        "# Planted faults",
        "",
        "Made by `make planted`. Each fault is planted where nothing else is wrong and judged by the code that judges",
        "a cut. It counts as found only with the right verdict, at the right key and column, and when nothing else is",
        "found. A test compares this page with a new run. Faults in the real lake: `integration/test_parity.py`.",
        "",
        f"**{sum(one.found for one in total):,} of {sum(one.planted for one in total):,} found.**",
        "",
        "## Types",
        "Each value replaced by its neighbours: NULL, the smallest step, the other zero, one blank more, another case.",
        "",
        *_table("type", types, list(PLACES)),
        "",
        "## Shapes of transactions",
        "In the mirror: row lost, another value, row twice, or a row that must not be there. In the change log: each",
        "event of the key lost, and each with another value. *+n* made no difference at the cut, because a later event",
        "overwrites them. No comparison of states sees these; the gate `offsets` does when one is lost, and the chain",
        "of before-images does where the table has REPLICA IDENTITY FULL.",
        "",
        *_table("shape", shapes, places),
    ]
    return "\n".join([*lines, ""])


def _table(what: str, results: list[Planted], places: list[str]) -> list[str]:
    lines = [f"| {what} | {' | '.join(places)} |", f"|---|{'---|' * len(places)}"]
    for name in dict.fromkeys(one.what for one in results):
        cells = {one.place: _cell(one) for one in results if one.what == name}
        lines.append(f"| {name} | {' | '.join(cells[place] for place in places)} |")
    return lines


def _cell(one: Planted) -> str:
    found = f"{one.found} of {one.planted}" if one.planted else ""
    return f"{found} *+{one.harmless}*".strip() if one.harmless else found


if __name__ == "__main__":
    PAGE.write_text(page(list(in_types()), list(in_shapes())), encoding="utf-8")
