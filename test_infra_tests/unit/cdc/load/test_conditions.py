"""CHECK conditions, in the catalogue's words, are read, judged, and turned into values that pass."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from random import Random

import pytest

from test_infra.cdc.load.conditions import holds, parse
from test_infra.cdc.load.domains import domains
from test_infra.cdc.load.numbered import numbered
from test_infra.cdc.load.patterns import NoSuchPattern, Pattern
from test_infra.cdc.load.values import maker
from test_infra.cdc.sources.constraints import Check
from test_infra.cdc.types.table import Column

CASES = [
    ("((qty >= 1) AND (qty <= 9))", {"qty": 9}, {"qty": 10}),
    ("(state = ANY (ARRAY['new'::text, 'it''s'::text]))", {"state": "it's"}, {"state": "x"}),
    ("((s)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))", {"s": "a"}, {"s": "c"}),
    ("(x = ANY ('{1,2,3}'::integer[]))", {"x": 3}, {"x": 4}),
    ("((s)::text <> ALL ((ARRAY['a'::character varying])::text[]))", {"s": "b"}, {"s": "a"}),
    ("(price > (0)::numeric)", {"price": Decimal("0.01")}, {"price": Decimal(0)}),
    ("(code ~ '^[A-Z]{3}-[0-9]+$'::text)", {"code": "ABC-1"}, {"code": "abc"}),
    ("(mail ~~ '%@%'::text)", {"mail": "a@b"}, {"mail": "a"}),
    ("(mail !~~* 'X_'::text)", {"mail": "xyz"}, {"mail": "xy"}),
    ("((a IS NOT NULL) OR (b IS NOT NULL))", {"a": 1}, {"a": None, "b": None}),
    ("(last > first)", {"last": 2, "first": 1}, {"last": 1, "first": 1}),
    ("(length(btrim((name)::text)) > 0)", {"name": " a"}, {"name": "  "}),
    ("(day >= '2000-01-01'::date)", {"day": dt.date(2000, 1, 1)}, {"day": dt.date(1999, 12, 31)}),
    (
        "(((kind = 'a'::kind) AND (n = 1)) OR ((kind = 'b'::kind) AND (n = 2)))",
        {"kind": "b", "n": 2},
        {"kind": "b", "n": 1},
    ),
    ("((VALUE >= 0) AND (VALUE <= 100))", {"VALUE": 100}, {"VALUE": 101}),
    ('(("a""b" * 2) = (6 + 2))', {'a"b': 4}, {'a"b': 3}),
    ("(NOT (ok IS TRUE))", {"ok": None}, {"ok": True}),
]


@pytest.mark.parametrize(("sql", "good", "bad"), CASES)
def test_condition_is_read_and_judged(sql: str, good: dict[str, object], bad: dict[str, object]) -> None:
    tree = parse(sql)
    assert tree is not None
    assert holds(tree, good) is True
    assert holds(tree, bad) is False


def test_null_passes_and_what_is_not_known_is_not_judged() -> None:
    tree = parse("(qty > 0)")
    assert tree is not None
    assert holds(tree, {"qty": None}) is True
    assert holds(tree, {}) is None
    for sql in ("CASE WHEN a THEN b END", "(a > (SELECT 1))", "(a COLLATE x > b)"):
        assert parse(sql) is None
    foreign = parse("(my_function(a) > 1)")
    assert foreign is not None
    assert holds(foreign, {"a": 1}) is None
    ordered = parse("(a < 'b'::text)")
    assert ordered is not None
    assert holds(ordered, {"a": "a"}) is None


LIMITED = [
    ("integer", "((c >= 1) AND (c <= 9))"),
    ("smallint", "(c > 0)"),
    ("numeric(4,2)", "((c > 0.5) AND (c < (1)::numeric))"),
    ("numeric", "(c >= 0.01)"),
    ("double precision", "((c > (0)::double precision) AND (c < (1000)::double precision))"),
    ("date", "((c >= '2000-01-01'::date) AND (c < '2000-02-01'::date))"),
    ("timestamp with time zone", "(c >= '2000-01-01 00:00:00+00'::timestamp with time zone)"),
    ("text", "((length(c) >= 3) AND (length(c) <= 4))"),
    ("character varying(5)", "(char_length((c)::text) = 5)"),
    ("text", "(c ~ '^[A-Z]{2}[0-9]?$'::text)"),
    ("text", "(c ~~ 'a%z'::text)"),
    ("text", "((c = 'x'::text) OR (c = ANY (ARRAY['y'::text, 'z'::text])))"),
    ("boolean", "(c = true)"),
]


@pytest.mark.parametrize(("kind", "sql"), LIMITED)
def test_values_and_keys_keep_within_a_condition(kind: str, sql: str) -> None:
    tree = parse(sql)
    assert tree is not None
    domain = domains([Check("c", ("c",), sql)])["c"]
    random, column = Random(1), Column("c", kind, nullable=False)
    make = maker(column, domain)
    assert all(holds(tree, {"c": make(random)}) for _ in range(300))
    if kind != "boolean":
        keys = numbered(column, domain)
        made = [keys(number) for number in range(min(keys.capacity, 20))]
        assert made
        assert all(holds(tree, {"c": value}) for value in made)
        assert len(set(made)) == len(made)


@pytest.mark.parametrize(
    "regex", ["^[A-Z]{3}-[0-9]{4}$", "^(a|bc)+x?$", r"^\d{3}\.\w+@[[:alpha:]]+$", "^[^a-z]{2,}$", r"^\+?[0-9 ()-]+$"]
)
def test_texts_are_made_for_a_pattern(regex: str) -> None:
    texts = {Pattern(regex).text(Random(seed)) for seed in range(50)}
    python = regex.replace("[[:alpha:]]", "[A-Za-z]")
    assert len(texts) > 5
    assert all(re.search(python, text) for text in texts)


@pytest.mark.parametrize("regex", ["^(?=a)b$", r"^(a)\1$", "[", "(unclosed"])
def test_pattern_that_is_not_understood_is_said_to_be(regex: str) -> None:
    with pytest.raises(NoSuchPattern):
        Pattern(regex)
