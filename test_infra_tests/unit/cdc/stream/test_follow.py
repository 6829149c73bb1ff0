"""DDL is followed: events of every generation, the lake and the verdict, without a service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from test_infra.base.errors import NotReady
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.reshape import reshape_mirror
from test_infra.cdc.stream import apply
from test_infra.cdc.stream.follow import Follower
from test_infra.cdc.stream.parse import memory_db
from test_infra.cdc.types import UNAVAILABLE
from test_infra.cdc.types.generation import Generation, not_followed, succeeding, unfollowed
from test_infra.cdc.types.table import Column
from test_infra_tests.unit.cdc.changing import (
    ADDED,
    BEGIN,
    DROPPED,
    FILLED,
    ID,
    RENAMED,
    WIDENED,
    Changing,
    N,
    V,
    generation,
)
from test_infra_tests.unit.cdc.one_table import INVISIBLE

if TYPE_CHECKING:
    from test_infra.cdc.lake.table import LakeTable


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Changing]:
    with Changing(tmp_path) as made:
        made.feed(
            made.event("r", 10, {"id": 1, "v": 1}),
            made.event("c", 20, {"id": 2, "v": 2}),
            made.event("c", 30, {"id": 3, "v": 3}),
        )
        yield made


def test_an_event_with_a_new_column_brings_it_into_the_lake(table: Changing) -> None:
    table.alter(ADDED)
    table.feed(table.event("u", 40, {"id": 2, "v": 2, "n": 9}))
    rows = ({"id": 1, "v": 1, "n": None}, {"id": 2, "v": 2, "n": 9}, {"id": 3, "v": 3, "n": None})
    assert table.parity(table.source(*rows)).green
    assert table.refused() == []


def test_an_idle_table_gets_its_new_column_with_the_default_of_old_rows(table: Changing) -> None:
    table.alter(FILLED)
    table.look()
    rows = [{"id": at, "v": at, "n": 7} for at in (1, 2, 3)]
    assert table.parity(table.source(*rows)).green
    assert [row["n"] for row in table.mirror()] == [7, 7, 7]


def test_a_wrong_default_is_found(table: Changing) -> None:
    table.alter(FILLED)
    table.look()
    found = table.parity(table.source(*({"id": at, "v": at, "n": 8} for at in (1, 2, 3))))
    assert not found.green


def test_events_of_the_old_generation_still_come(table: Changing) -> None:
    table.alter(FILLED)
    table.look()
    table.feed(
        table.event("c", 35, {"id": 4, "v": 4}),
        table.event("d", 36, {"id": 3}, before={"id": 3, "v": None}),
        table.event("u", 40, {"id": 1, "v": 1, "n": 1}, before={"id": 1, "v": 1, "n": 7}),
    )
    rows = ({"id": 1, "v": 1, "n": 1}, {"id": 2, "v": 2, "n": 7}, {"id": 4, "v": 4, "n": 7})
    assert table.parity(table.source(*rows)).green
    assert table.refused() == []


def test_dirty_keys_are_folded_across_generations(table: Changing) -> None:
    table.alter(FILLED)
    table.look()
    table.feed(table.event("u", 50, {"id": 2, "v": 5, "n": None}, tx_id=INVISIBLE))
    found = table.parity(table.source(*({"id": at, "v": at, "n": 7} for at in (1, 2, 3))))
    assert found.green
    assert found.dirty_keys == 1


def test_a_dropped_column_leaves_the_lake(table: Changing) -> None:
    table.alter(DROPPED)
    table.feed(table.event("c", 40, {"id": 4}), table.event("c", 39, {"id": 5, "v": 1}))
    assert table.parity(table.source(*({"id": at} for at in (1, 2, 3, 4, 5)))).green
    assert "v" not in table.mirror()[0]


def test_a_renamed_column_keeps_its_values(table: Changing) -> None:
    table.alter(RENAMED)
    table.feed(table.event("c", 40, {"id": 4, "w": 4}), table.event("c", 39, {"id": 5, "v": 5}))
    assert table.parity(table.source(*({"id": at, "w": at} for at in (1, 2, 3, 4, 5)))).green


def test_a_widened_column_takes_larger_values(table: Changing) -> None:
    table.feed(table.event("d", 33, {"id": 3}, before={"id": 3, "v": None}))
    table.alter(WIDENED)
    large = 2**40
    table.feed(
        table.event("c", 40, {"id": large, "v": large}),
        table.event("d", 41, {"id": large}, before={"id": large, "v": None}),
        table.event("c", 42, {"id": large + 1, "v": large}),
        table.event("c", 30, {"id": 3, "v": 3}),
    )
    rows = ({"id": 1, "v": 1}, {"id": 2, "v": 2}, {"id": large + 1, "v": large})
    assert table.parity(table.source(*rows)).green


def test_several_generations_one_after_the_other(table: Changing) -> None:
    table.alter(FILLED)
    table.look()
    last = generation((1, ID), (3, Column("m", "bigint")), (4, Column("t", "text")), t="'it''s'")
    table.alter(last)
    table.feed(
        table.event("c", 41, {"id": 4, "v": 4}),
        table.event("c", 42, {"id": 5, "v": 4, "n": 1}),
        table.event("c", 43, {"id": 6, "m": 2**40, "t": "x"}),
    )
    old = [{"id": at, "m": 7, "t": "it's"} for at in (1, 2, 3, 4)]
    rows = (*old, {"id": 5, "m": 1, "t": "it's"}, {"id": 6, "m": 2**40, "t": "x"})
    assert table.parity(table.source(*rows)).green


def test_several_changes_between_two_looks(table: Changing) -> None:
    table.alter(generation((1, ID), (2, Column("w", "bigint")), (4, Column("m", "integer")), m="'5'"))
    table.feed(
        table.event("c", 41, {"id": 4, "v": 4, "m": 1}),
        table.event("c", 42, {"id": 5, "w": 4}),
        table.event("c", 43, {"id": 6, "w": 2**40, "m": None}),
        table.event("d", 44, {"id": 1}, before={"id": 1, "v": None, "m": None}),
    )
    rows = (*({"id": at, "w": at, "m": 5} for at in (2, 3)), {"id": 4, "w": 4, "m": 1}, {"id": 5, "w": 4, "m": 5})
    assert table.parity(table.source(*rows, {"id": 6, "w": 2**40, "m": None})).green
    assert table.refused() == []


def test_a_record_between_two_looks_may_have_the_old_type_in_its_own_form(table: Changing) -> None:
    numeric = Column("w", "numeric(12,2)")
    table.alter(generation((1, ID), (2, numeric), (3, N)))
    table.feed(
        table.event("c", 41, {"id": 4, "v": 4, "n": 1}),
        table.event("c", 42, {"id": 5, "w": 5, "n": 2}),
        table.event("c", 43, {"id": 6, "w": "6.25", "n": 3}),
    )
    table.alter(generation((1, ID), (2, numeric), (3, N), (4, Column("m", "integer"))))
    table.look()
    table.feed(table.event("c", 44, {"id": 7, "v": 7, "n": 4}), table.event("c", 45, {"id": 8, "v": 8}))
    assert table.refused() == []
    assert [(row["id"], str(row["w"]), row["n"]) for row in sorted(table.mirror(), key=lambda row: row["id"])] == [
        (1, "1.00", None),
        (2, "2.00", None),
        (3, "3.00", None),
        (4, "4.00", 1),
        (5, "5.00", 2),
        (6, "6.25", 3),
        (7, "7.00", 4),
        (8, "8.00", None),
    ]


@pytest.mark.parametrize("row", [{"id": 4, "n": 1}, {"id": 4, "v": 1, "o": 1}, {"id": 4}])
def test_a_record_that_is_of_no_generation_is_refused(table: Changing, row: dict[str, int]) -> None:
    table.alter(FILLED)
    table.look()
    table.feed(table.event("c", 41, row))
    assert len(table.refused()) == 1


def test_values_that_were_not_sent_are_found_under_the_new_name(tmp_path: Path) -> None:
    text, renamed = (generation((1, ID), (2, Column(name, "text"))) for name in ("v", "w"))
    with Changing(tmp_path, text) as table:
        table.feed(table.event("c", 10, {"id": 1, "v": "large"}), table.event("c", 11, {"id": 2, "v": "other"}))
        table.alter(renamed)
        table.feed(
            table.event("u", 20, {"id": 1, "v": UNAVAILABLE}),
            table.event("u", 30, {"id": 2, "w": UNAVAILABLE}, tx_id=INVISIBLE),
        )
        assert table.parity(table.source({"id": 1, "w": "large"}, {"id": 2, "w": "other"})).green


def test_ddl_before_the_first_start_of_the_driver_is_followed(tmp_path: Path) -> None:
    with Changing(tmp_path, BEGIN, FILLED) as table:
        table.alter(FILLED)
        table.feed(table.event("r", 10, {"id": 1, "v": 1}), table.event("c", 20, {"id": 2, "v": 2, "n": 3}))
        assert table.parity(table.source({"id": 1, "v": 1, "n": 7}, {"id": 2, "v": 2, "n": 3})).green


def test_a_driver_that_died_between_record_and_lake_goes_on(table: Changing, tmp_path: Path) -> None:
    table.alter(FILLED)
    Follower(table.catalogue, tmp_path, [BEGIN.table]).look()
    table.restart()
    table.feed(table.event("c", 35, {"id": 4, "v": 4}))
    assert table.parity(table.source(*({"id": at, "v": at, "n": 7} for at in (1, 2, 3, 4)))).green


def test_what_is_not_followed_is_refused_as_before(table: Changing) -> None:
    table.alter(generation((1, ID), (2, Column("v", "text"))))
    table.feed(table.event("c", 40, {"id": 4, "v": "a"}))
    assert table.refused() == ["after.v is of JSON type VARCHAR"]


def test_without_an_answer_of_the_source_nothing_goes_into_quarantine(
    table: Changing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "ANSWERS_WITHIN_S", 0.1)
    table.alter(ADDED)
    table.catalogue.away = True
    with pytest.raises(NotReady, match="its catalogue"):
        table.feed(table.event("u", 40, {"id": 2, "v": 2, "n": 9}))
    assert table.refused() == []
    table.catalogue.away = False
    table.feed(table.event("u", 40, {"id": 2, "v": 2, "n": 9}))
    assert [row["n"] for row in table.mirror() if row["id"] == 2] == [9]


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (BEGIN.model_copy(update={"identity": "2"}), "table public.t was dropped and made again"),
        (generation((1, ID), (3, V)), "column v is another one than column v before"),
        (generation((1, ID), (2, Column("v", "text"))), "column v is text and was integer"),
        (generation((1, ID), (2, Column("v", "smallint"))), "column v is smallint and was integer"),
        (generation((1, ID), (2, Column("v", "integer", False, 2))), "the key is (id, v), and was (id)"),
        (generation((1, Column("no", "integer", False, 1)), (2, V)), "the key is (no), and was (id)"),
    ],
)
def test_why_a_generation_is_not_followed(now: Generation, why: str) -> None:
    assert any(why in said for said in not_followed(BEGIN, now))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("smallint", "bigint"),
        ("real", "double precision"),
        ("varchar(10)", "text"),
        ("numeric(6,2)", "numeric(12,4)"),
        ("integer", "numeric(12,2)"),
    ],
)
def test_a_wider_type_is_followed(before: str, now: str) -> None:
    old, new = (generation((1, ID), (2, Column("v", kind))) for kind in (before, now))
    assert not_followed(old, new) == []
    assert not_followed(new, old) != [] or before == "varchar(10)"


def test_a_filled_value_outlives_the_rewrite_that_takes_it_out_of_the_catalogue() -> None:
    renamed = generation((1, ID), (2, V), (3, Column("m", "integer")))
    assert succeeding(FILLED, renamed).filled == {"m": "'7'"}


def test_a_table_that_is_not_followed_has_one_generation() -> None:
    assert unfollowed(BEGIN.table).number == 0


EVERY_KIND: list[tuple[str, Any]] = [
    ("date", 2_146_033_979),
    ("date", -2_440_588),
    ("timestamp without time zone", 2**63 - 1),
    ("timestamp without time zone", -(2**63)),
    ("timestamp with time zone", "-infinity"),
    ("double precision", "NaN"),
    ("double precision", -0.0),
    ("numeric(38,10)", "1234567890123456789012345678.0123456789"),
    ("bytea", "AP9c"),
    ("interval", "P1Y2M3DT4H5M6.5S"),
    ("point", {"x": 1.5, "y": -0.0}),
    ("text[]", ["a,b", "", None, "NULL", '"']),
    ("integer[]", []),
    ("uuid", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
]


def test_a_reshape_changes_no_value_of_any_type(tmp_path: Path) -> None:
    kinds = [(at, Column(f"c{at}", kind)) for at, (kind, _) in enumerate(EVERY_KIND, 2)]
    begin, now = generation((1, ID), *kinds), generation((1, ID), *kinds, (99, N))
    with Changing(tmp_path, begin) as table:
        values = {f"c{at}": value for at, (_, value) in enumerate(EVERY_KIND, 2)}
        table.feed(table.event("c", 10, {"id": 1, **values}), table.event("c", 11, {"id": 2, **dict.fromkeys(values)}))
        assert table.refused() == []
        where = [table.targets.mirror["t"], table.targets.changes["t"]]
        before = [_in_text(open_table(one)) for one in where]
        table.alter(now)
        table.look()
        assert [_in_text(open_table(one)) for one in where] == before


def test_a_new_column_of_any_type_takes_its_values(tmp_path: Path) -> None:
    kinds = [(at, Column(f"c{at}", kind)) for at, (kind, _) in enumerate(EVERY_KIND, 2)]
    values = {f"c{at}": value for at, (_, value) in enumerate(EVERY_KIND, 2)}
    for folder in ("at once", "later"):
        (tmp_path / folder).mkdir()
    with Changing(tmp_path / "at once", whole := generation((1, ID), *kinds)) as wanted:
        wanted.feed(wanted.event("c", 10, {"id": 1, **dict.fromkeys(values)}))
        wanted.feed(wanted.event("u", 20, {"id": 1, **values}), wanted.event("c", 30, {"id": 2, **values}))
    with Changing(tmp_path / "later", generation((1, ID))) as found:
        found.feed(found.event("c", 10, {"id": 1}))
        found.alter(whole)
        found.feed(found.event("u", 20, {"id": 1, **values}), found.event("c", 30, {"id": 2, **values}))
        assert found.refused() == []
    for kind in ("mirror", "changes"):
        before, after = (getattr(table.targets, kind)["t"] for table in (wanted, found))
        assert _in_text(open_table(after)) == _in_text(open_table(before))


def _in_text(table: LakeTable) -> list[str]:
    """Rows without the new column; in text, because NaN is not NaN and infinite days are no days of Python."""
    with memory_db() as connection:
        connection.register("found", table.rows().read_all())
        named = [name for name in table.schema().names if (name[:1] == "c" and name[1:].isdigit()) or name == "id"]
        if "after" in table.schema().names:
            named = [f"after.c{at}" for at, _ in enumerate(EVERY_KIND, 2)]
        listed = ", ".join(f"{name}::VARCHAR" for name in named)
        return sorted(map(str, connection.sql(f"SELECT {listed} FROM found").fetchall()))


def test_a_commit_of_somebody_else_meanwhile_is_not_lost(table: Changing) -> None:
    other, ours = (open_table(table.targets.mirror["t"]) for _ in range(2))
    with memory_db() as connection:
        given = ours.dataset

        def interrupted() -> Any:
            dataset = given()
            if not other.version > ours.version:
                other.delete("id = 1", 0)
            return dataset

        ours.dataset = interrupted  # type: ignore[method-assign]
        reshape_mirror(connection, ours, BEGIN, FILLED)
    rows = open_table(table.targets.mirror["t"]).rows().read_all().to_pylist()
    assert sorted((row["id"], row["n"]) for row in rows) == [(2, 7), (3, 7)]


def test_a_version_has_all_of_a_generation_or_nothing_of_it(table: Changing) -> None:
    table.alter(FILLED)
    table.look()
    where = table.targets.mirror["t"]
    for version in range(open_table(where).version + 1):
        rows = open_table(where, version).rows().read_all()
        assert "n" not in rows.schema.names or rows["n"].to_pylist() == [7] * rows.num_rows
