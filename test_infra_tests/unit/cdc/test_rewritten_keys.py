"""A key written in another form of the same value: one key to PostgreSQL and to the lake, two texts to Debezium.

Its update comes as a delete and a create at one LSN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.types import UNAVAILABLE, UnsupportedColumn, rule_for
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.one_table import INVISIBLE, VISIBLE, OneTable

if TYPE_CHECKING:
    from pathlib import Path

    from test_infra_tests.unit.cdc.events import Message

# Type of the key, its value before and after as Debezium writes it, and what the source sends of the value after.
FORMS = {
    "numeric": ("numeric", "1", "1.00", "1"),
    "numrange": ("numrange", "[1,2)", "[1.00,2.0)", "[1.00,2.0)"),
    "nummultirange": ("nummultirange", "e1sxLDIpfQ==", "e1sxLjAwLDIuMCl9", "{[1.00,2.0)}"),
    "zero": ("double precision", 0.0, -0.0, -0.0),
    "a text of one collation key": ("text", "straße", "STRASSE", "STRASSE"),
    "interval": ("interval", "P0Y0M30DT0H0M0S", "P0Y1M0DT0H0M0S", [1, 0, 0]),
    "jsonb": ("jsonb", "1.0", "1.00", "1.00"),
}


def table(folder: Path, kind: str) -> OneTable:
    columns = (Column("k", kind, nullable=False, key_position=1), Column("v", "text"), Column("big", "text"))
    return OneTable(folder, TableSchema("public", "t", columns))


def source(*rows: tuple[Any, str, str]) -> pa.Table:
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(("k", "v", "big"))})


def row(k: Any, v: str = "old", big: str = "big") -> dict[str, Any]:
    return {"k": k, "v": v, "big": big}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> tuple[Any, ...]:
    return FORMS[request.param]


def test_the_row_has_the_values_of_the_update(tmp_path: Path, form: tuple[Any, ...]) -> None:
    kind, old, new, sent = form
    with table(tmp_path, kind) as made:
        made.feed(made.event("r", 5, row(old)))
        made.feed(*made.rewritten(10, row(old), row(new, "new")))
        assert [(found["v"], found["big"]) for found in made.mirror()] == [("new", "big")]
        parity = made.parity(source((sent, "new", "big")))
        assert parity.green, parity
        assert made.parity(source((sent, "old", "big"))).counts == {Verdict.VALUE: 1}


@pytest.mark.parametrize("cut", range(4))
def test_it_may_be_cut_anywhere_into_micro_batches(tmp_path: Path, form: tuple[Any, ...], cut: int) -> None:
    kind, old, new, sent = form
    with table(tmp_path, kind) as made:
        messages = [made.event("r", 5, row(old)), *made.rewritten(10, row(old), row(new, "new"))]
        for part in (messages[:cut], messages[cut:]):
            if part:
                made.feed(*part)
        assert made.parity(source((sent, "new", "big"))).green
        again = [message for message in messages if message[1] is not None]
        made.feed(*again)
        assert made.parity(source((sent, "new", "big"))).green


def test_values_that_were_not_sent_follow(tmp_path: Path, form: tuple[Any, ...]) -> None:
    kind, old, new, sent = form
    with table(tmp_path, kind) as made:
        made.feed(made.event("r", 5, row(old)))
        made.feed(*made.rewritten(10, row(old), row(new, "new", UNAVAILABLE)))
        made.feed(*made.rewritten(20, row(new), row(old, "newer", UNAVAILABLE)), made.event("u", 21, row(old, "last")))
        made.feed(*made.rewritten(30, row(old), row(new, "once more", UNAVAILABLE)))
        parity = made.parity(source((sent, "once more", "big")))
        assert parity.green, parity


@pytest.mark.parametrize("cut", range(1, 5))
@pytest.mark.parametrize("new", ["1.00", "2"], ids=["rewritten", "changed"])
def test_values_that_were_not_sent_follow_when_the_delete_was_merged_before(tmp_path: Path, new: str, cut: int) -> None:
    """Wherever a micro-batch ends: the mirror has no row of the old key any more, the change log has its events."""
    with table(tmp_path, "numeric") as made:
        made.feed(made.event("r", 5, row("0")), *made.rewritten(8, row("0"), row("1", "moved", UNAVAILABLE)))
        messages = [
            *made.rewritten(10, row("1"), row(new, "new", UNAVAILABLE)),
            made.event("u", 11, row(new, "newer", UNAVAILABLE)),
            made.event("c", 12, row("5", "other")),
        ]
        made.feed(*messages[:cut])
        made.feed(*messages[cut:])
        parity = made.parity(source((new.removesuffix(".00"), "newer", "big"), ("5", "other", "big")))
        assert parity.green, parity


def test_several_of_one_transaction_are_followed_in_their_order(tmp_path: Path) -> None:
    with table(tmp_path, "numeric") as made:
        made.feed(made.event("r", 5, row("1")))
        messages: list[Message] = []
        for number in range(1, 6):
            old, new = row("1." + "0" * (number - 1)), row("1." + "0" * number, f"v{number}")
            messages += made.rewritten(10 + number, old, new)
        made.feed(*messages)
        assert made.parity(source(("1", "v5", "big"))).green


def test_a_delete_afterwards_stays_one(tmp_path: Path) -> None:
    with table(tmp_path, "numeric") as made:
        made.feed(made.event("r", 5, row("1")), *made.rewritten(10, row("1"), row("1.0", "new")))
        gone = made.event("d", 20, row("1.0"))
        made.feed(gone, *made.rewritten(10, row("1"), row("1.0", "new")))
        made.feed(*made.rewritten(10, row("1"), row("1.0", "new")))
        assert made.mirror() == []


def test_a_thousand_keys_at_once_under_a_cut_between(tmp_path: Path) -> None:
    """The snapshot of the cut does not see the transaction: source and mirror are compared through the log."""
    with table(tmp_path, "numeric") as made:
        made.feed(*(made.event("r", 5, row(str(number))) for number in range(1_000)))
        moved: list[Message] = []
        for number in range(1_000):
            before, after = row(str(number)), row(f"{number}.00", "new")
            moved += made.rewritten(10 + number, before, after, tx_id=INVISIBLE if number % 2 else VISIBLE)
        made.feed(*moved)
        seen = source(*((str(number), "old" if number % 2 else "new", "big") for number in range(1_000)))
        parity = made.parity(seen)
        assert parity.green, parity
        assert parity.dirty_keys == 500
        wrong = source(*((str(number), "new", "big") for number in range(1_000)))
        assert made.parity(wrong).counts == {Verdict.VALUE: 500}


@pytest.mark.parametrize("kind", ["double precision", "real"])
def test_a_zero_with_the_wrong_sign_in_the_key_is_found(tmp_path: Path, kind: str) -> None:
    with table(tmp_path, kind) as made:
        made.feed(made.event("r", 5, row(0.0)))
        parity = made.parity(source((-0.0, "old", "big")))
        found = {
            (difference.column, difference.source_value, difference.mirror_value) for difference in parity.differences
        }
        assert found == {("k", "-0.0", "0.0")}


@pytest.mark.parametrize("kind", ["double precision[]", "real[]"])
def test_floats_in_an_array_are_refused_as_a_key_only(kind: str) -> None:
    rule_for(Column("k", kind))
    with pytest.raises(UnsupportedColumn, match="column k of type") as refused:
        rule_for(Column("k", kind, key_position=1))
    assert "{-0}" in refused.value.details["reason"]


def test_the_chain_of_rows_before_holds(tmp_path: Path) -> None:
    with table(tmp_path, "numeric") as made:
        made.feed(made.event("c", 5, row("1")), *made.rewritten(10, row("1"), row("1.0", "new")))
        made.feed(made.event("u", 20, row("1.0", "last"), before=row("1.0", "new")))
        assert made.parity(source(("1", "last", "big")), before_images=True).green
        made.feed(made.event("u", 30, row("1.0", "x"), before=row("1.0", "lost")))
        assert Verdict.MISSING in made.parity(source(("1", "x", "big")), before_images=True).counts
