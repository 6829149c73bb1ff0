"""The load is the same for the same seed, never collides, and only touches rows that live."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_infra.base.errors import UsageError
from test_infra.cdc.load.history import Kind
from test_infra.cdc.load.plan import Planner, Transaction
from test_infra.cdc.load.values import key_maker, maker
from test_infra.cdc.types.table import Column, TableSchema

SCHEMAS = [
    TableSchema(
        "public",
        "orders",
        (Column("id", "bigint", False, 1), Column("amount", "numeric(12,2)"), Column("note", "character varying(20)")),
    ),
    TableSchema(
        "public",
        "items",
        (Column("order_id", "bigint", False, 1), Column("line", "smallint", False, 2), Column("ok", "boolean")),
    ),
    TableSchema("public", "only_keys", (Column("id", "uuid", False, 1),)),
]


def planner(writer: int = 0, seed: int = 1, first_key: int = 20, adopted_keys: int = 20) -> Planner:
    return Planner(SCHEMAS, seed=seed, writer=writer, writers=2, first_key=first_key, adopted_keys=adopted_keys)


def run(planner: Planner, transactions: int, ends: Random | None = None) -> list[Transaction]:
    done = []
    for _ in range(transactions):
        transaction = planner.next(1_000)
        committed: bool | None = transaction.commits
        if ends is not None and committed:
            committed = ends.choice([True, True, False, None])
        planner.ended(transaction, committed=committed)
        done.append(transaction)
    return done


def test_same_seed_same_transactions_and_another_seed_others() -> None:
    assert run(planner(), 200) == run(planner(), 200)
    assert run(planner(), 200) != run(planner(seed=2), 200)
    assert run(planner(), 200) != run(planner(writer=1), 200)


def test_all_kinds_and_ends_occur() -> None:
    done = run(planner(), 500)
    kinds = {operation.kind for transaction in done for operation in transaction.operations}
    assert kinds == set(Kind)
    assert {transaction.commits for transaction in done} == {True, False}
    sizes = {len(transaction.operations) for transaction in done}
    assert {1, 21} <= sizes
    assert any(operation.undone for transaction in done for operation in transaction.operations)
    in_one = [
        (first.kind, second.kind)
        for transaction in done
        for first, second in zip(transaction.operations, transaction.operations[1:], strict=False)
        if (first.table, first.key) == (second.table, second.key)
    ]
    assert (Kind.DELETE, Kind.INSERT) in in_one
    assert (Kind.INSERT, Kind.UPDATE) in in_one


def test_transaction_is_never_larger_than_asked_for() -> None:
    small = planner()
    for most in (1, 2, 3) * 30:
        transaction = small.next(most)
        assert 1 <= len(transaction.operations) <= most
        small.ended(transaction, committed=True)


def test_writers_and_later_loads_never_share_a_key() -> None:
    def inserted(done: list[Transaction]) -> set[tuple[int, tuple[object, ...]]]:
        return {
            (operation.table, operation.key)
            for transaction in done
            for operation in transaction.operations
            if operation.kind is Kind.INSERT
        }

    first, second = inserted(run(planner(), 200)), inserted(run(planner(writer=1), 200))
    operations = sum(len(transaction.operations) for transaction in run(planner(), 200))
    later = inserted(run(planner(first_key=20 + 2 * operations, adopted_keys=0), 200))
    assert not first & second
    assert not first & later


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_every_operation_finds_the_table_as_it_expects_it(seed: int) -> None:
    """Replayed against a table: inserts meet no row, updates and deletes meet one, whatever becomes of transactions."""
    ends, subject = Random(seed), planner(seed=seed)
    live = {(number, table.key(place)) for number, table in enumerate(subject._tables) for place in range(0, 20, 2)}
    retired: set[tuple[int, tuple[object, ...]]] = set()
    for _ in range(60):
        transaction = subject.next(1_000)
        inside, before_savepoint = set(live), None
        for operation in transaction.operations:
            if operation.undone and before_savepoint is None:
                before_savepoint = set(inside)
            row = (operation.table, operation.key)
            assert row not in retired
            assert (row in inside) is (operation.kind is not Kind.INSERT)
            if operation.kind is Kind.DELETE:
                inside.remove(row)
            else:
                inside.add(row)
        committed = ends.choice([True, True, True, False, None]) if transaction.commits else False
        if committed:
            live = inside if before_savepoint is None else before_savepoint
        elif committed is None:
            retired |= {(operation.table, operation.key) for operation in transaction.operations}
        subject.ended(transaction, committed=committed)


TYPES = [
    "smallint", "integer", "bigint", "numeric(10,4)", "real", "double precision", "boolean", "text",
    "character varying(7)", "character(3)", "uuid", "date", "timestamp without time zone",
    "timestamp(3) with time zone", "json", "jsonb", "bytea",
]  # fmt: skip
KEY_TYPES = [kind for kind in TYPES if kind not in {"boolean", "real", "double precision", "json", "jsonb"}]


@pytest.mark.parametrize("kind", TYPES)
def test_values_are_made_for_every_supported_type(kind: str) -> None:
    random = Random(1)
    values = [maker(Column("c", kind))(random) for _ in range(300)]
    assert any(value is None for value in values)
    assert len({str(value) for value in values}) > 2
    strict = maker(Column("c", kind, nullable=False))
    assert all(strict(random) is not None for _ in range(300))


def test_values_fit_their_type() -> None:
    random = Random(1)
    for _ in range(500):
        assert -(2**15) <= maker(Column("c", "smallint", nullable=False))(random) < 2**15
        number = maker(Column("c", "numeric(5,2)", nullable=False))(random)
        assert abs(number) < 1_000
        assert number == round(number, 2)
        assert len(maker(Column("c", "character varying(7)", nullable=False))(random)) <= 7


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_keys_never_come_twice(kind: str) -> None:
    make = key_maker(Column("c", kind, False, 1))
    assert len({make(number) for number in range(900)}) == 900


def test_type_without_values_is_named() -> None:
    with pytest.raises(UsageError, match="column c of type polygon"):
        maker(Column("c", "polygon"))
    with pytest.raises(UsageError, match="keys for column c of type boolean"):
        key_maker(Column("c", "boolean", False, 1))
