"""Random histories: what follows truthfully from one is always green; a planted fault is found at its key."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.sources.postgres import Snapshot
from test_infra_tests.unit.cdc.judge.parity_world import Event, Key, World

KEYS: list[Key] = [(1, "a"), (1, "b"), (2, "a"), (3, "ü")]
SNAPSHOT = Snapshot(400, 1_000, frozenset({500, 501}))
VISIBLE, INVISIBLE = (100, 399, 450, 999), (500, 501, 1_000, 2**40)

pytestmark = pytest.mark.ci(reason="the comparison on histories made by the hundred")

relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A history that a source can have committed: row locks put a key's visible events before its invisible ones."""
    world = World(snapshot=SNAPSHOT)
    value = 0
    for key in draw(st.lists(st.sampled_from(KEYS), unique=True)):
        world.read(key, small=(value := value + 1))
    unseen: set[Key] = set()
    for key, tx, visible, choice in draw(
        st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 3), st.booleans(), st.integers(0, 9)), max_size=25)
    ):
        truncate = choice == 9
        seen = visible and not (unseen if truncate else unseen & {key})
        tx_id = VISIBLE[tx] if seen else INVISIBLE[tx]
        if not seen:
            unseen |= set(KEYS) if truncate else {key}
        value += 1
        if truncate:
            world.truncate(tx_id)
        elif key not in world.mirror:
            world.create(tx_id, key, small=value)
        elif choice == 4:
            free = [other for other in KEYS if other not in world.mirror and not (seen and other in unseen)]
            unseen |= set() if seen else set(free[:1])
            _move(world, tx_id, key, free)
        else:
            _change(world, tx_id, key, choice, value)
    for index in draw(st.lists(st.integers(0, max(0, len(world.events) - 1)), max_size=3)):
        if world.events:
            world.redeliver(index)
    assume(world.events)
    return world


def _change(world: World, tx_id: int, key: Key, choice: int, value: int) -> None:
    if choice < 3:
        world.delete(tx_id, key)
    elif choice == 3:
        world.update(tx_id, key, ratio=value + 0.5).left_out("small", "raw")
    else:
        world.update(tx_id, key, small=value)


def _move(world: World, tx_id: int, key: Key, free: list[Key]) -> None:
    if free:
        world.move(tx_id, key, free[0]).left_out("small", "doc")


@relaxed
@given(worlds())
def test_what_follows_from_the_history_is_green(world: World) -> None:
    parity = world.judge()
    assert parity.green, parity
    assert parity.clean_keys + parity.dirty_keys >= len(set(world.source) | set(world.mirror))


@relaxed
@given(worlds(), st.data())
def test_fault_planted_in_the_mirror_is_found(world: World, data: st.DataObject) -> None:
    fault = data.draw(st.sampled_from(["row lost", "value changed", "row too many", "row twice"]))
    absent = [key for key in [*KEYS, (9, "never")] if key not in world.mirror]
    key = data.draw(st.sampled_from(absent if fault == "row too many" else sorted(world.mirror) or [None]))
    assume(key is not None)
    if fault == "row lost":
        del world.mirror[key]
    elif fault == "value changed":
        world.mirror[key]["small"] = -1
    elif fault == "row too many":
        world.mirror[key] = {"id": key[0], "kind": key[1]}
    else:
        world.extra_mirror_rows.append(world.mirror[key])
    expected = {
        "row lost": Verdict.MISSING,
        "value changed": Verdict.VALUE,
        "row too many": Verdict.EXTRA,
        "row twice": Verdict.DUPLICATE,
    }
    parity = world.judge()
    assert parity.counts == {expected[fault]: 1}
    assert {
        (difference.verdict, difference.key["id"], difference.key["kind"]) for difference in parity.differences
    } == {(expected[fault], str(key[0]), key[1])}


@relaxed
@given(worlds(), st.data())
def test_event_lost_from_the_log_of_a_dirty_key_is_found(world: World, data: st.DataObject) -> None:
    candidates = [
        event for event in {(event.lsn, event.key): event for event in world.events}.values() if _decides(world, event)
    ]
    assume(candidates)
    lost = data.draw(st.sampled_from(sorted(candidates, key=lambda event: (event.lsn, event.key))))
    world.events = [event for event in world.events if (event.lsn, event.key) != (lost.lsn, lost.key)]
    parity = world.judge()
    assert (str(lost.key[0]), lost.key[1]) in {
        (difference.key["id"], difference.key["kind"]) for difference in parity.differences
    }, (lost, parity)


def _decides(world: World, event: Event) -> bool:
    """Whether a state of a dirty key hangs on this event: the newest visible one, or the newest of all."""

    def rank(other: Event) -> tuple[bool, int]:
        return (other.op != "r", other.lsn)

    def seen(other: Event) -> bool:
        return other.op == "r" or SNAPSHOT.sees(other.tx_id or 0)

    of_key = [other for other in world.events if other.key in (event.key, None)]
    dirty = any(not seen(other) for other in of_key)
    if event.key is None or not dirty:
        return False
    visible = [other for other in of_key if seen(other)]
    return event == max(of_key, key=rank) or (seen(event) and rank(event) == max(map(rank, visible)))
