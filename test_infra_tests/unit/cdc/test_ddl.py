"""DDL is told by what it did, and what it explains is SCHEMA."""

from __future__ import annotations

from typing import Any

import pytest

from test_infra.cdc.judge import ddl
from test_infra.cdc.sources.table_state import ColumnState, TableState, ddl_between
from test_infra.verdict.evidence import Finding, Outcome

ID = ColumnState(number=1, name="id", type="integer")
V = ColumnState(number=2, name="v", type="text")
MOOD = ColumnState(number=3, name="m", type="mood", labels=("a", "b"))
BEFORE = TableState(
    name="public.t", identity="7", storage="1", columns=(ID, V, MOOD), key=("id",), partitions=("t1", "t2")
)


def now(**more: Any) -> TableState:
    return BEFORE.model_copy(update=more)


def column(state: ColumnState, **more: Any) -> ColumnState:
    return state.model_copy(update=more)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (BEFORE, []),
        (None, ["table public.t was dropped"]),
        (now(identity="8"), ["table public.t was dropped and made again"]),
        (now(name="other.u"), ["table public.t is other.u now"]),
        (now(columns=(ID, V, MOOD, column(V, number=4, name="n"))), ["column n text was added"]),
        (
            now(columns=(ID, V, MOOD, column(V, number=4, name="n", filled=True))),
            ["column n text was added, and old rows got its default without an event"],
        ),
        (now(columns=(ID, MOOD)), ["column v was dropped"]),
        (now(columns=(ID, column(V, name="w"), MOOD)), ["column v is w now"]),
        (
            now(columns=(ID, column(V, type="bigint"), MOOD), storage="2"),
            ["column v is bigint and was text; values may have changed without an event"],
        ),
        (
            now(columns=(ID, V, column(MOOD, labels=("z", "b")))),
            ["labels of the enum mood were renamed ('a' -> 'z'), without an event for rows that have them"],
        ),
        (now(columns=(ID, V, column(MOOD, labels=("a", "b", "c")))), []),
        (now(columns=(ID, column(V, generated=True), MOOD)), []),
        (now(key=("id", "v")), ["the key is (id, v), and was (id)"]),
        (now(columns=(column(ID, name="nr"), V, MOOD), key=("nr",)), ["column id is nr now"]),
        (
            now(storage="2"),
            ["its rows were written anew, by ALTER COLUMN ... TYPE ... USING, TRUNCATE, VACUUM FULL or CLUSTER"],
        ),
        (
            now(partitions=("t1", "t3")),
            [
                "partition t3 was attached or made; rows that it had bring no event",
                "partition t2 was detached or dropped; its rows leave without an event",
            ],
        ),
    ],
)
def test_each_change_is_told(after: TableState | None, told: list[str]) -> None:
    assert ddl_between(BEFORE, after) == told


def test_a_generated_column_that_became_an_ordinary_one_is_told() -> None:
    before = now(columns=(ID, column(V, generated=True), MOOD))
    told = "column v is an ordinary one now and was generated, and the connector leaves it out"
    assert ddl_between(before, BEFORE) == [told]


class Source:
    def __init__(self, states: dict[str, TableState]) -> None:
        self.states = states

    def table_states(self, known: dict[str, str]) -> dict[str, TableState]:
        assert known == {"t": "7", "u": "7"}
        return self.states


class Spec:
    schema_changes = "refuse"


class Pipeline:
    spec = Spec()

    def __init__(self, **states: TableState) -> None:
        self.source = Source(states)


VALUE = Finding(outcome=Outcome.FAILED, verdicts=("VALUE",), summary="2 VALUE")
UNKNOWN = Finding(outcome=Outcome.UNKNOWN, verdicts=("UNKNOWN",), summary="no verdict: Binder Error")
EQUAL = Finding(outcome=Outcome.PASSED, summary="equal")
RENAMED_LABEL = now(columns=(ID, V, column(MOOD, labels=("z", "b"))))


@pytest.fixture(autouse=True)
def _both_tables_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ddl, "remembered", lambda _: {"t": BEFORE, "u": BEFORE})


def explained(pipeline: Pipeline, **findings: Finding) -> dict[str, Finding]:
    return ddl.explained(pipeline, findings)  # type: ignore[arg-type]


def test_a_difference_of_a_table_that_ddl_changed_names_it() -> None:
    found = explained(Pipeline(t=RENAMED_LABEL, u=BEFORE), t=VALUE, u=VALUE)

    assert found["t"].verdicts == ("VALUE",)
    assert "labels of the enum mood were renamed" in found["t"].summary
    assert "way on" in found["t"].details
    assert found["u"] == VALUE


@pytest.mark.parametrize("after", [now(key=("id", "v")), now(columns=(ID, V)), now(name="public.x"), None])
def test_a_table_of_another_shape_that_was_not_judged_is_schema(after: TableState | None) -> None:
    states = {"u": BEFORE} if after is None else {"t": after, "u": BEFORE}
    found = explained(Pipeline(**states), t=UNKNOWN, u=UNKNOWN)

    assert (found["t"].outcome, found["t"].verdicts) == (Outcome.FAILED, ("SCHEMA",))
    assert found["u"] == UNKNOWN


def test_ddl_that_leaves_the_shape_makes_no_schema_of_an_unknown() -> None:
    assert explained(Pipeline(t=RENAMED_LABEL, u=BEFORE), t=UNKNOWN)["t"].verdicts == ("UNKNOWN",)


def test_a_green_finding_stays_as_it_is() -> None:
    assert explained(Pipeline(t=now(storage="9"), u=BEFORE), t=EQUAL, u=VALUE)["t"] == EQUAL


def test_the_way_on_of_a_table_without_a_key_names_no_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spec, "schema_changes", "follow")
    keyless = BEFORE.model_copy(update={"key": ()})
    monkeypatch.setattr(ddl, "remembered", lambda _: {"t": keyless, "u": BEFORE})
    changed = RENAMED_LABEL.model_copy(update={"key": ()})
    found = explained(Pipeline(t=changed, u=RENAMED_LABEL), t=VALUE, u=VALUE)

    assert "TRUNCATE t; INSERT INTO t" in found["t"].details["way on"]
    assert "UPDATE ... SET" in found["u"].details["way on"]
    assert "UPDATE ... SET" not in found["t"].details["way on"]
