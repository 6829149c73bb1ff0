"""Every shape of transaction: each fault that mirror and change log can have, in and out of the dirty set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from test_infra.cdc.judge.verdicts import Verdict
from test_infra.cdc.types.table import Column, TableSchema
from test_infra_tests.unit.cdc.judge.parity_world import Event, Key, World, row
from test_infra_tests.unit.cdc.judge.planted import INVISIBLE, SNAPSHOT, VISIBLE, Planted

KEY, OTHER, MOVED = (1, "a"), (2, "b"), (3, "c")
SCHEMA = TableSchema(
    "public",
    "things",
    (Column("id", "bigint", False, 1), Column("kind", "text", False, 2), Column("small", "smallint")),
)
Built = tuple[World, Key]
Step = Callable[[World, int], World]


def _swapped(world: World, tx_id: int) -> World:
    world.delete(tx_id, KEY).delete(tx_id, OTHER)
    return world.create(tx_id, KEY, small=2).create(tx_id, OTHER, small=1)


def _delivered_twice(world: World, tx_id: int) -> World:
    return world.update(tx_id, KEY, small=5).redeliver(len(world.events) - 1)


def _delivered_late(world: World, tx_id: int) -> World:
    return world.update(tx_id, KEY, small=5).update(tx_id, KEY, small=6).redeliver(len(world.events) - 2)


SHAPES: dict[str, tuple[Key, Step]] = {
    "read by the initial snapshot": (KEY, lambda world, _: world),
    "inserted": (MOVED, lambda world, tx: world.create(tx, MOVED, small=5)),
    "updated": (KEY, lambda world, tx: world.update(tx, KEY, small=5)),
    "updated several times in one transaction": (
        KEY,
        lambda world, tx: world.update(tx, KEY, small=5).update(tx, KEY, small=6).update(tx, KEY, small=7),
    ),
    "deleted": (KEY, lambda world, tx: world.delete(tx, KEY)),
    "deleted and inserted again": (KEY, lambda world, tx: world.delete(tx, KEY).create(tx, KEY, small=5)),
    "key changed: the new key": (MOVED, lambda world, tx: world.delete(tx, KEY).create(tx, MOVED, small=5)),
    "key changed: the old key": (KEY, lambda world, tx: world.delete(tx, KEY).create(tx, MOVED, small=5)),
    "keys swapped": (KEY, _swapped),
    "truncated": (KEY, lambda world, tx: world.truncate(tx)),
    "truncated and inserted again": (KEY, lambda world, tx: world.truncate(tx).create(tx, KEY, small=5)),
    "delivered twice": (KEY, _delivered_twice),
    "an old event delivered again, late": (KEY, _delivered_late),
}
"""What happened -> the key that is looked at, and the transaction."""


def _clean(key: Key, step: Step) -> Built:
    return step(_read(), VISIBLE), key


def _dirty_by_it(key: Key, step: Step) -> Built:
    return step(_read(), INVISIBLE), key


def _dirty_afterwards(key: Key, step: Step) -> Built:
    world = step(_read(), VISIBLE)
    change = world.update if key in world.mirror else world.create
    return change(INVISIBLE, key, small=99), key


def _read() -> World:
    return World(snapshot=SNAPSHOT, schema=SCHEMA).read(KEY, small=1).read(OTHER, small=2)


WHEN: dict[str, Callable[[Key, Step], Built]] = {
    "clean key": _clean,
    "dirty key, by this transaction": _dirty_by_it,
    "dirty key, by a later one": _dirty_afterwards,
}


def in_shapes() -> Iterator[Planted]:
    """After each shape, in and out of the dirty set, every fault that mirror and log can have at its key."""
    for shape, what in SHAPES.items():
        for when, build in WHEN.items():
            for place, faults in (("mirror", _faults_in_mirror), ("change log", _faults_in_log)):
                planted = found = harmless = 0
                for world, key in faults(lambda build=build, what=what: build(*what)):
                    expected = expectation(world, key)
                    if not expected:
                        harmless += 1
                        continue
                    parity = world.judge()
                    keys = {(different.key["id"], different.key["kind"]) for different in parity.differences}
                    planted += 1
                    found += parity.counts == dict(expected) and keys == {(str(key[0]), key[1])}
                yield Planted(shape, f"{place}, {when}", planted, found, harmless)


def _faults_in_mirror(build: Callable[[], Built]) -> Iterator[Built]:
    world, key = build()
    if key not in world.mirror:
        world.mirror[key] = row(key, small=1)
        yield world, key
        return
    del world.mirror[key]
    yield world, key
    world, key = build()
    world.mirror[key]["small"] = -1
    yield world, key
    world, key = build()
    world.extra_mirror_rows.append(world.mirror[key])
    yield world, key


def _faults_in_log(build: Callable[[], Built]) -> Iterator[Built]:
    world, key = build()
    for lsn in sorted({event.lsn for event in world.events if event.key == key}):
        world, key = build()
        world.events = [event for event in world.events if (event.lsn, event.key) != (lsn, key)]
        yield world, key
        world, key = build()
        spoiled = [
            replace(event, after=row(key, small=-99)) if (event.lsn, event.key) == (lsn, key) and event.after else event
            for event in world.events
        ]
        if spoiled != world.events:
            world.events = spoiled
            yield world, key


def expectation(world: World, key: Key) -> Counter[Verdict]:
    """What must be found at a key, from the rules written down a second time."""
    events = [event for event in world.events if event.key == key]
    truncates = [event for event in world.events if event.key is None]
    source, mirror = world.source.get(key), world.mirror.get(key)
    found: Counter[Verdict] = Counter()
    if any((extra["id"], extra["kind"]) == key for extra in world.extra_mirror_rows):
        found[Verdict.DUPLICATE] += 1
    if all(_seen(event) for event in [*events, *truncates]):
        found.update(_verdict(source, mirror) or _verdict(source, _fold(events, truncates)))
        return found
    visible = [event for event in events if _seen(event)]
    if events and not visible and min(events, key=_rank).op in ("u", "d"):
        found[Verdict.UNKNOWN] += 1
    else:
        found.update(_verdict(source, _fold(visible, [event for event in truncates if _seen(event)])))
    found.update(_verdict(_fold(events, truncates), mirror))
    return found


def _seen(event: Event) -> bool:
    return event.op == "r" or SNAPSHOT.sees(event.tx_id or 0)


def _rank(event: Event) -> tuple[bool, int]:
    return (event.op != "r", event.lsn)


def _fold(events: list[Event], truncates: list[Event]) -> dict[str, Any] | None:
    newest = max([*events, *truncates], key=_rank, default=None)
    return None if newest is None or newest.op in ("d", "t") else newest.after


def _verdict(expected: dict[str, Any] | None, found: dict[str, Any] | None) -> list[Verdict]:
    if expected is None or found is None:
        return [] if expected is found else [Verdict.MISSING if found is None else Verdict.EXTRA]
    return [] if expected["small"] == found["small"] else [Verdict.VALUE]
