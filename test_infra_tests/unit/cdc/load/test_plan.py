"""The load is the same for the same seed, never collides, and only touches rows that live."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_infra.base.errors import UsageError
from test_infra.cdc.load.history import Kind
from test_infra.cdc.load.keys import Free, Numbers
from test_infra.cdc.load.numbered import NoMoreValues, numbered
from test_infra.cdc.load.plan import NothingToDo, Planner, Transaction
from test_infra.cdc.load.rows import KeyValues
from test_infra.cdc.load.shape import Shape, shapes_of
from test_infra.cdc.load.values import maker
from test_infra.cdc.pipeline.spec import ColumnValues
from test_infra.cdc.sources.constraints import Action, Check, Filled, ForeignKey, TableConstraints, Unique
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
PLAIN = [Shape(schema) for schema in SCHEMAS]
FAMILY = shapes_of(
    [
        TableSchema("s", "parents", (Column("id", "integer", False, 1), Column("code", "text", False))),
        TableSchema(
            "s",
            "children",
            (
                Column("id", "integer", False, 1),
                Column("parent", "integer", False),
                Column("code", "text"),
                Column("quantity", "integer", False),
            ),
        ),
        TableSchema("s", "details", (Column("child", "integer", False, 1), Column("boss", "integer"))),
    ],
    [
        TableConstraints(uniques=(Unique("parents_code", ("code",)),)),
        TableConstraints(
            foreign_keys=(
                ForeignKey("of_parent", ("parent",), ("s", "parents"), ("id",), on_delete=Action.CASCADE),
                ForeignKey(
                    "of_code", ("code",), ("s", "parents"), ("code",), Action.SET_NULL, on_update=Action.CASCADE
                ),
            ),
            checks=(Check("some", ("quantity",), "((quantity >= 1) AND (quantity <= 9))"),),
        ),
        TableConstraints(
            foreign_keys=(
                ForeignKey("of_child", ("child",), ("s", "children"), ("id",)),
                ForeignKey("of_boss", ("boss",), ("s", "details"), ("child",), on_delete=Action.CASCADE),
            )
        ),
    ],
    {},
)


def planner(shapes: Sequence[Shape] = PLAIN, writer: int = 0, seed: int = 1, first: int = 20) -> Planner:
    source = Numbers([Free(first + writer, 2) for _ in shapes])
    return Planner(shapes, seed=seed, writer=writer, writers=2, source=source)


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


@pytest.mark.parametrize("shapes", [PLAIN, FAMILY])
def test_same_seed_same_transactions_and_another_seed_others(shapes: list[Shape]) -> None:
    assert run(planner(shapes), 200) == run(planner(shapes), 200)
    assert run(planner(shapes), 200) != run(planner(shapes, seed=2), 200)
    assert run(planner(shapes), 200) != run(planner(shapes, writer=1), 200)


def test_all_kinds_and_ends_occur() -> None:
    done = run(planner(), 500)
    kinds = {operation.kind for transaction in done for operation in transaction.operations}
    assert kinds == {Kind.INSERT, Kind.UPDATE, Kind.DELETE}
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


def test_a_key_is_changed_now_and_then_and_told_as_delete_and_insert() -> None:
    moved = [
        [(effect.kind, effect.table) for effect in operation.effects[:2]]
        for transaction in run(planner(), 1_500)
        for operation in transaction.operations
        if operation.kind is Kind.UPDATE and "id" in operation.values
    ]
    assert moved
    assert {tuple(kinds) for kinds in moved} <= {
        ((Kind.DELETE, table), (Kind.INSERT, table)) for table in range(len(PLAIN))
    }


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
    later = inserted(run(planner(first=20 + 2 * operations), 200))
    assert not first & second
    assert not first & later


class Database:
    """Tables that refuse what PostgreSQL would refuse, as simple as can be."""

    def __init__(self, shapes: list[Shape]) -> None:
        self.shapes = shapes
        self.rows: dict[tuple[int, KeyValues], dict[str, object]] = {}

    def copy(self) -> dict[tuple[int, KeyValues], dict[str, object]]:
        return {name: dict(row) for name, row in self.rows.items()}

    def check(self) -> None:
        """Every foreign key has its parent, and nothing unique is there twice."""
        places = {shape.schema.name: place for place, shape in enumerate(self.shapes)}
        for (table, _), row in self.rows.items():
            for key in self.shapes[table].constraints.foreign_keys:
                values = [row.get(name) for name in key.columns]
                assert None in values or any(
                    place == places[key.parent[1]] and [parent.get(name) for name in key.parent_columns] == values
                    for (place, _), parent in self.rows.items()
                ), f"{key.name}: no parent with {values}"
            assert self.shapes[table].passes(row)
        for table, shape in enumerate(self.shapes):
            for unique in shape.uniques:
                there = [
                    tuple(row[name] for name in unique.columns)
                    for (place, _), row in self.rows.items()
                    if place == table
                ]
                assert len(there) == len(set(there))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([PLAIN, FAMILY]))
def test_every_operation_finds_the_tables_as_it_expects_them(seed: int, shapes: list[Shape]) -> None:
    """Replayed with nothing but the told effects, the tables hold to every constraint, whatever becomes of
    transactions.
    """
    ends, subject, database = Random(seed), planner(shapes, seed=seed), Database(shapes)
    retired: set[tuple[int, KeyValues]] = set()
    for _ in range(60):
        transaction = subject.next(1_000)
        before, savepoint = database.copy(), None
        for operation in transaction.operations:
            if operation.undone and savepoint is None:
                savepoint = database.copy()
            row = (operation.table, operation.key)
            assert row not in retired
            assert (row in database.rows) is (operation.kind is not Kind.INSERT)
            told = [(effect.table, effect.kind, effect.key) for effect in operation.effects]
            replay(database, operation.table, operation.key, operation.kind, operation.values, told)
            database.check()
        committed = ends.choice([True, True, True, False, None]) if transaction.commits else False
        if committed and savepoint is not None:
            database.rows = savepoint
        elif not committed:
            database.rows = before
        if committed is None:
            for operation in transaction.operations:
                for effect in operation.effects:
                    retired.add((effect.table, effect.key))
            # Nobody knows what is there: what points to such a row is gone from this model, too.
            database.rows = {name: row for name, row in database.rows.items() if name not in retired}
            return
        subject.ended(transaction, committed=committed)


def replay(  # noqa: C901, PLR0912 - one case for each foreign key
    database: Database,
    table: int,
    key: KeyValues,
    kind: Kind,
    values: dict[str, object],
    told: list[tuple[int, Kind, KeyValues]],
) -> None:
    """Do a statement, and to the children what the foreign keys of FAMILY do; everything done must have been told."""
    shape = database.shapes[table]
    done: list[tuple[int, Kind, KeyValues]] = []
    if kind is Kind.INSERT:
        database.rows[table, key] = {name: values.get(name) for name in (*shape.columns,)}
        done.append((table, kind, key))
    elif kind is Kind.UPDATE:
        before = database.rows.pop((table, key))
        after = {**before, **values}
        moved = tuple(after[name] for name in shape.schema.key_names)
        database.rows[table, moved] = after
        done += [(table, kind, key)] if moved == key else [(table, Kind.DELETE, key), (table, Kind.INSERT, moved)]
        if shape.schema.name == "parents" and before["code"] != after["code"]:
            for (place, child), row in database.rows.items():
                if place == 1 and row["code"] == before["code"]:
                    row["code"] = after["code"]
                    done.append((1, Kind.UPDATE, child))
    else:
        gone = database.rows.pop((table, key))
        done.append((table, kind, key))
        if shape.schema.name == "parents":
            for child in [
                child for (place, child), row in database.rows.items() if place == 1 and row["parent"] == gone["id"]
            ]:
                replay(database, 1, child, Kind.DELETE, {}, [])
                done.append((1, Kind.DELETE, child))
            for (place, child), row in database.rows.items():
                if place == 1 and row["code"] == gone["code"]:
                    row["code"] = None
                    done.append((1, Kind.UPDATE, child))
        if shape.schema.name == "details":
            waiting = [key]
            while waiting:
                (boss,) = waiting.pop()
                for one in [one for (place, one), row in database.rows.items() if place == 2 and row["boss"] == boss]:
                    del database.rows[2, one]
                    done.append((2, Kind.DELETE, one))
                    waiting.append(one)
    if told:
        assert sorted(map(str, done)) == sorted(map(str, told))


def test_after_a_refusal_transactions_are_small_and_grow_again() -> None:
    subject = planner()
    sizes = []
    for committed in [True] * 30 + [False] + [True] * 40:
        transaction = subject.next(1_000)
        sizes.append(len(transaction.operations))
        subject.ended(transaction, committed=committed and transaction.commits)
    assert max(sizes[:30]) > 8
    assert sizes[31] == 1
    assert max(sizes[40:]) > 8


def test_statement_that_did_something_else_leaves_its_row_alone_from_then_on() -> None:
    subject = planner(PLAIN[:1])
    transaction = next(one for one in iter(lambda: subject.next(1), None) if one.commits)
    subject.ended(transaction, committed=True, missed=[0])
    (key,) = {effect.key for effect in transaction.operations[0].effects}
    assert all(key != operation.key for one in run(subject, 200) for operation in one.operations)


def test_table_whose_parent_is_not_there_is_told_with_the_constraint() -> None:
    schema = TableSchema("s", "t", (Column("id", "integer", False, 1), Column("other", "integer", False)))
    away = ForeignKey("t_other_fkey", ("other",), ("elsewhere", "others"), ("id",))
    subject = planner([Shape(schema, TableConstraints(foreign_keys=(away,)))])
    with pytest.raises(NothingToDo, match=r"s\.t: foreign key t_other_fkey needs a row of elsewhere\.others"):
        subject.next(1)


def test_circle_of_tables_is_told_unless_one_side_is_checked_late() -> None:
    def pair(*, deferrable: bool) -> list[Shape]:
        schemas = [
            TableSchema("s", name, (Column("id", "integer", False, 1), Column("other", "integer", False)))
            for name in ("left", "right")
        ]
        keys = [
            ForeignKey(f"to_{other.name}", ("other",), ("s", other.name), ("id",), deferrable=deferrable)
            for other in reversed(schemas)
        ]
        return shapes_of(schemas, [TableConstraints(foreign_keys=(key,)) for key in keys], {})

    with pytest.raises(NothingToDo, match="both need each other first"):
        planner(pair(deferrable=False)).next(1)
    made = planner(pair(deferrable=True)).next(1).operations
    assert {operation.table for operation in made} == {0, 1}


def test_values_of_the_yaml_win_and_unknown_columns_are_refused() -> None:
    said = {"orders": {"note": ColumnValues(choice=["a", "b"]), "amount": ColumnValues(sql="1 + :n")}}
    shapes = shapes_of(SCHEMAS, [TableConstraints()] * 3, said)
    notes = {
        operation.values.get("note")
        for transaction in run(planner(shapes), 300)
        for operation in transaction.operations
        if operation.table == 0
    }
    assert notes == {"a", "b", None}
    with pytest.raises(UsageError, match=r"names column nothing, and table public\.orders has none of that name"):
        shapes_of(SCHEMAS, [TableConstraints()] * 3, {"orders": {"nothing": ColumnValues(constant=1)}})
    with pytest.raises(UsageError, match="names table nowhere"):
        shapes_of(SCHEMAS, [TableConstraints()] * 3, {"nowhere": {}})


def test_identity_beside_the_key_is_left_to_the_source() -> None:
    filled = (Filled("number", identity="always", sequence="s.t_number_seq"), Filled("state", default="'new'::text"))
    schema = TableSchema(
        "s", "t", (Column("id", "integer", False, 1), Column("number", "bigint", False), Column("state", "text"))
    )
    done = run(planner([Shape(schema, TableConstraints(filled=filled))]), 300)
    given_columns = [set(operation.values) for one in done for operation in one.operations]
    assert all("number" not in names for names in given_columns)
    inserts = [set(one.values) for tx in done for one in tx.operations if one.kind is Kind.INSERT]
    assert {frozenset({"id"}), frozenset({"id", "state"})} == set(map(frozenset, inserts))


TYPES = [
    "smallint", "integer", "bigint", "numeric(10,4)", "real", "double precision", "boolean", "text",
    "character varying(7)", "character(3)", "uuid", "date", "timestamp without time zone",
    "timestamp(3) with time zone", "json", "jsonb", "bytea",
]  # fmt: skip
KEY_TYPES = [
    *(kind for kind in TYPES if kind not in {"boolean", "json", "jsonb"}),
    "inet",
    "macaddr",
    "character varying(2)",
]


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
    make = numbered(Column("c", kind, False, 1))
    assert len({make(number) for number in range(900)}) == 900


@pytest.mark.parametrize(
    ("kind", "values"), [("smallint", 2**15), ("enum('a', 'it''s')", 2), ("boolean", 2), ("numeric(3,1)", 100)]
)
def test_key_of_a_small_type_ends_where_the_type_does(kind: str, values: int) -> None:
    make = numbered(Column("c", "mood" if "enum" in kind else kind, False, 1, kind if "enum" in kind else None))
    assert make.capacity == values
    assert make(values - 1) is not None
    with pytest.raises(NoMoreValues):
        make(values)


def test_type_without_values_is_named() -> None:
    with pytest.raises(UsageError, match="column c of type polygon"):
        maker(Column("c", "polygon"))
    with pytest.raises(UsageError, match="keys for column c of type jsonb"):
        numbered(Column("c", "jsonb", False, 1))
