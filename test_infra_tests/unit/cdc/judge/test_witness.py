"""What was acknowledged is in the mirror, what was rolled back is not: told from the history alone."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from test_infra.cdc.judge import findings, witness
from test_infra.cdc.judge.removals import Removal, removals
from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.judge.witness import Seen
from test_infra.cdc.load.history import WITH_ANOTHER, Key, Kind, Operation, OperationOutcome, Phase
from test_infra.verdict.evidence import Outcome

INSERT, UPDATE, DELETE = Kind.INSERT, Kind.UPDATE, Kind.DELETE
OK, FAILED, UNKNOWN = OperationOutcome.OK, OperationOutcome.FAILED, OperationOutcome.UNKNOWN
ASKED_AT = 100.0
KEY: Key = (1,)


def history(
    *operations: tuple[Kind, OperationOutcome, int | None] | tuple[Kind, OperationOutcome, int | None, float],
) -> list[Operation]:
    """Operations on one key; each is done at its place in seconds unless it says otherwise."""
    made = []
    for number, (kind, outcome, tx_id, *done) in enumerate(operations):
        at = done[0] if done else float(number)
        made.append(Operation(number, "t", KEY, kind, outcome, tx_id, at - 0.5, at))
    return made


def judge(operations: list[Operation], seen: Seen | None) -> witness.Testimony:
    """Beside a key on which all agree, without which nothing would be proved."""
    beside = Operation(999, "t", (999,), INSERT, OK, 999, 0.0, 1.0)
    mirror = {(999,): Seen(999)} | ({} if seen is None else {KEY: seen})
    return witness.testify("t", [*operations, beside], mirror, ASKED_AT, 0.0, witness.NOT_ASKED)


def verdict(operations: list[Operation], seen: Seen | None) -> Verdict | None:
    found = judge(operations, seen)
    assert len(found.counts) <= 1
    return next(iter(found.counts), None)


def test_row_of_the_last_acknowledged_operation_is_green() -> None:
    assert verdict(history((INSERT, OK, 10), (UPDATE, OK, 11)), Seen(11)) is None


def test_acknowledged_row_that_is_absent_is_lost() -> None:
    found = judge(history((INSERT, OK, 10), (UPDATE, OK, 11)), None)
    assert found.counts == {Verdict.LOST: 1}
    assert (found.faults[0].key, found.faults[0].operation) == (KEY, 1)


def test_row_of_an_older_operation_is_a_lost_update() -> None:
    assert verdict(history((INSERT, OK, 10), (UPDATE, OK, 11)), Seen(10)) is Verdict.LOST


def test_acknowledged_delete_that_is_not_there_is_lost() -> None:
    assert verdict(history((INSERT, OK, 10), (DELETE, OK, 11)), Seen(10)) is Verdict.LOST
    assert verdict(history((INSERT, OK, 10), (DELETE, OK, 11)), None) is None


def test_delete_and_insert_in_one_transaction_is_a_row() -> None:
    operations = history((INSERT, OK, 10), (DELETE, OK, 11), (INSERT, OK, 11))
    assert verdict(operations, Seen(11)) is None
    assert verdict(operations, None) is Verdict.LOST
    assert verdict(operations, Seen(10)) is Verdict.LOST


def test_row_of_a_rolled_back_transaction_is_a_ghost() -> None:
    assert verdict(history((INSERT, FAILED, 10)), Seen(10)) is Verdict.GHOST
    assert verdict(history((INSERT, FAILED, 10)), None) is None
    assert verdict(history((INSERT, OK, 10), (UPDATE, FAILED, 11)), Seen(11)) is Verdict.GHOST
    assert verdict(history((INSERT, OK, 10), (UPDATE, FAILED, 11)), Seen(10)) is None


def test_row_that_was_never_acknowledged_is_a_ghost_whoever_says_he_wrote_it() -> None:
    assert verdict(history((INSERT, FAILED, 10)), Seen(77)) is Verdict.GHOST
    assert verdict(history((INSERT, FAILED, 10)), Seen(None, snapshot=True)) is Verdict.GHOST


def test_rows_undone_by_a_savepoint_are_ghosts_though_their_transaction_committed() -> None:
    assert verdict(history((INSERT, FAILED, 10)), Seen(10)) is Verdict.GHOST


def test_unknown_end_allows_both() -> None:
    operations = history((INSERT, OK, 10), (UPDATE, UNKNOWN, 11))
    assert verdict(operations, Seen(10)) is None
    assert verdict(operations, Seen(11)) is None
    assert verdict(operations, None) is Verdict.LOST
    assert verdict(history((INSERT, OK, 10), (DELETE, UNKNOWN, 11)), None) is None
    assert verdict(history((INSERT, UNKNOWN, None)), Seen(77)) is None


def test_what_was_acknowledged_after_the_question_may_be_there_or_not() -> None:
    operations = history((INSERT, OK, 10), (UPDATE, OK, 11, ASKED_AT + 1), (DELETE, OK, 12, ASKED_AT + 2))
    for seen in (Seen(10), Seen(11), None):
        assert verdict(operations, seen) is None
    assert verdict(history((INSERT, OK, 10, ASKED_AT + 1)), None) is None


def test_row_of_the_initial_snapshot_stands_for_what_was_done_before_it() -> None:
    seeded = [Operation(0, "t", KEY, INSERT, OK, 10, 0.0, 1.0, Phase.SEED)]
    snapshot = Seen(None, snapshot=True, commit_s=5.0)
    assert verdict(seeded, snapshot) is None
    assert verdict([*seeded, *history((UPDATE, OK, 11, 3.0))], snapshot) is None
    assert verdict([*seeded, *history((UPDATE, OK, 11, 9.0))], snapshot) is Verdict.LOST
    assert verdict([*seeded, *history((DELETE, OK, 11, 9.0))], snapshot) is Verdict.LOST


def test_row_that_somebody_else_wrote_is_counted_and_not_judged() -> None:
    found = judge(history((INSERT, OK, 10)), Seen(77))
    assert (found.green, found.foreign, found.keys) == (True, 1, 1)


def test_no_key_that_could_be_judged_is_not_green() -> None:
    found = witness.testify("t", history((INSERT, OK, 10)), {KEY: Seen(77)}, ASKED_AT, 0.0, witness.NOT_ASKED)
    assert (found.foreign, found.keys) == (1, 0)
    assert found.counts == {Verdict.UNKNOWN: 1}
    assert "no key could be judged" in found.reason


def test_empty_history_is_not_green() -> None:
    assert witness.testify("t", [], {}, ASKED_AT, 0.0, witness.NOT_ASKED).counts == {Verdict.UNKNOWN: 1}


STEPS = st.lists(st.tuples(st.sampled_from([UPDATE, DELETE]), st.sampled_from([OK, FAILED, UNKNOWN])), max_size=8)


@given(STEPS, st.integers(0, 9), st.data())
def test_every_state_that_can_be_is_green_and_every_other_is_not(steps, asked_after: int, data: st.DataObject) -> None:
    operations, states, state = history((INSERT, OK, 1, 0.0)), [1], 1
    for number, (step, outcome) in enumerate(steps, 1):
        if outcome is UNKNOWN:
            break
        # A deleted row comes back by an insert.
        kind = INSERT if state is None else step
        operations.append(Operation(number, "t", KEY, kind, outcome, number + 1, number - 0.5, float(number)))
        if outcome is OK:
            state = None if kind is DELETE else number + 1
        states.append(state)
    asked = min(asked_after, len(states) - 1)
    possible = set(states[asked:])
    seen = data.draw(st.sampled_from([None, *range(1, len(operations) + 1)]))
    found = witness.testify(
        "t", operations, {} if seen is None else {KEY: Seen(seen)}, float(asked), 0.0, witness.NOT_ASKED
    )
    assert found.green == (seen in possible)


def test_table_that_the_load_left_alone_is_right_only_where_it_is_empty() -> None:
    assert witness.without_history("t", 0).green
    assert witness.without_history("t", 3).counts == {Verdict.UNKNOWN: 1}


def test_history_without_an_operation_on_any_table_is_no_witness() -> None:
    empty = {table: witness.without_history(table, 0) for table in ("a", "b")}
    assert all(found.counts == {Verdict.UNKNOWN: 1} for found in witness.with_evidence(empty).values())
    beside = witness.with_evidence({**empty, "c": witness.Testimony("c", keys=1)})
    assert all(found.green for found in beside.values())


def refused(keys: int, words: str = "qty_check: new row violates it (23514)") -> list[Operation]:
    return [
        Operation(number, "t", (100 + number,), INSERT, FAILED, 10, 0.0, 1.0, refused=words) for number in range(keys)
    ]


def test_load_of_which_nothing_commits_is_not_green_and_names_the_constraint() -> None:
    found = witness.testify("t", [*refused(3), *refused(2, WITH_ANOTHER)], {}, ASKED_AT, 0.0, witness.NOT_ASKED)
    assert found.counts == {Verdict.UNKNOWN: 1}
    assert found.reason.startswith(
        "none of 3 operations was committed, so nothing is proved: 3 times qty_check: new row"
    )
    assert findings.witness(found).outcome is Outcome.UNKNOWN
    assert "qty_check" in findings.witness(found).details["refused by qty_check"]


def test_load_of_which_too_little_commits_is_not_green() -> None:
    there = [Operation(0, "t", KEY, INSERT, OK, 11, 0.0, 1.0)]
    for share, expected in ((0.1, {}), (0.11, {Verdict.UNKNOWN: 1})):
        assert (
            witness.testify("t", [*there, *refused(9)], {KEY: Seen(11)}, ASKED_AT, share, witness.NOT_ASKED).counts
            == expected
        )


def test_what_was_refused_with_an_operation_of_another_table_is_not_too_little() -> None:
    there = [Operation(0, "t", KEY, INSERT, OK, 11, 0.0, 1.0)]
    operations = [*there, *refused(9, WITH_ANOTHER)]
    assert witness.testify("t", operations, {KEY: Seen(11)}, ASKED_AT, 1.0, witness.NOT_ASKED).green


def test_what_was_rolled_back_on_purpose_is_not_too_little() -> None:
    on_purpose = [Operation(number, "t", (number,), INSERT, FAILED, 10, 0.0, 1.0) for number in range(5)]
    committed = [Operation(9, "t", (9,), INSERT, OK, 11, 0.0, 1.0)]
    assert witness.testify("t", [*on_purpose, *committed], {(9,): Seen(11)}, ASKED_AT, 1.0, witness.NOT_ASKED).green
    assert witness.testify("t", on_purpose, {}, ASKED_AT, 0.0, witness.NOT_ASKED).counts == {Verdict.UNKNOWN: 1}


def test_lost_row_is_said_to_be_lost_also_where_little_committed() -> None:
    found = witness.testify("t", [*history((INSERT, OK, 10)), *refused(9)], {}, ASKED_AT, 0.5, witness.NOT_ASKED)
    assert found.counts == {Verdict.LOST: 1}
    assert findings.witness(found).outcome is Outcome.FAILED


def test_key_that_a_trigger_changed_is_not_judged_until_the_next_acknowledged_operation() -> None:
    touched = history((INSERT, OK, 10), (Kind.TOUCHED, OK, 11))
    for seen in (None, Seen(10), Seen(11)):
        found = judge(touched, seen)
        assert (found.green, found.touched, found.keys) == (True, 1, 1)
    alone = witness.testify("t", touched, {}, ASKED_AT, 0.0, witness.NOT_ASKED)
    assert "1 changed by a trigger or a rule" in alone.reason
    assert not alone.green
    again = [*touched, Operation(2, "t", KEY, UPDATE, OK, 12, 2.0, 3.0)]
    assert verdict(again, Seen(12)) is None
    assert verdict(again, Seen(11)) is Verdict.LOST


def removed(removal: Removal | None, own: dict[int, set[str]], **side_effects: list[str]) -> witness.Testimony:
    """An acknowledged insert by transaction 10 whose row is absent."""
    beside = Operation(999, "t", (999,), INSERT, OK, 999, 0.0, 1.0)
    found = {} if removal is None else {KEY: removal}
    return witness.testify(
        "t",
        [*history((INSERT, OK, 10)), beside],
        {(999,): Seen(999)},
        ASKED_AT,
        0.0,
        witness.Removed(found, own, side_effects),
    )


def test_row_that_a_trigger_removed_is_not_judged_and_the_trigger_is_named() -> None:
    found = removed(Removal(20, frozenset({10})), {10: {"t"}, 20: {"orders"}}, orders=["trigger tidy"])
    assert (found.green, found.touched, found.by) == (True, 1, ("trigger tidy",))
    assert "1 keys not judged: trigger tidy writes this table" in findings.witness(found).summary


def test_row_that_another_program_removed_is_not_judged() -> None:
    found = removed(Removal(77, frozenset({10})), {10: {"t"}})
    assert (found.green, found.foreign) == (True, 1)


def test_row_stays_lost_where_no_event_explains_it() -> None:
    own = {10: {"t"}, 20: {"orders"}}
    assert removed(None, own, orders=["trigger tidy"]).counts == {Verdict.LOST: 1}
    # The insert itself never came to the change log: whatever was removed was an older row.
    assert removed(Removal(77, frozenset({3})), own).counts == {Verdict.LOST: 1}
    # Removed by a transaction of the load that did not say so, and nothing on its tables does so by itself.
    assert removed(Removal(20, frozenset({10})), own, t=["trigger tidy"]).counts == {Verdict.LOST: 1}


class Log:
    """A change log of a few rows."""

    def __init__(self, *rows: tuple[str, int | None, int, int]) -> None:
        self._rows = [
            {"op": op, "key": None if key is None else {"id": key}, "lsn": lsn, "tx_id": tx, "snapshot": op == "r",
             "kafka_offset": place}
            for place, (op, key, lsn, tx) in enumerate(rows)
        ]  # fmt: skip

    def rows(self, _columns: Sequence[str]) -> list[pa.RecordBatch]:
        return pa.Table.from_pylist(self._rows).to_batches()


def test_newest_event_of_a_key_says_who_removed_it() -> None:
    log = Log(("r", 1, 90, 5), ("c", 2, 10, 10), ("d", 1, 30, 12), ("d", 2, 20, 11), ("c", 2, 40, 13), ("c", 3, 41, 14))
    found = removals(log, ["id"], [(1,), (2,), (4,)])
    assert found == {(1,): Removal(12, frozenset({5}), snapshot=True)}
    emptied = removals(Log(("c", 1, 10, 10), ("t", None, 20, 11)), ["id"], [(1,)])
    assert emptied == {(1,): Removal(11, frozenset({10}))}
