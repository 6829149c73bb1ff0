"""Rules of the types made of other values: arrays, ranges and geometric types."""

from __future__ import annotations

from functools import cache

from test_infra.cdc.types.rule import (
    AS_FLOATS,
    CANONICAL,
    NO_EXACT_FORM,
    UNAVAILABLE,
    TypeRule,
    as_text,
    identity,
    literal,
)
from test_infra.cdc.types.scalars import STRING_JSON

# What Debezium writes for an inner array of texts: a Java object's name.
_INNER_ARRAY = "starts_with(one, '[Ljava.lang.')"
_OTHER_SHAPE = "an array of several dimensions, or one that does not begin at 1"


@cache
def array(element: TypeRule, element_cast: str = "text") -> TypeRule:
    """A list of values of another rule.

    Args:
        element: rule of the elements; must have ``from_text``.
        element_cast: PostgreSQL type through which the elements travel from the source.
    """
    duckdb, read = f"{element.duckdb}[]", element.from_text
    assert read is not None

    def from_debezium(expr: str) -> str:
        texts, kinds = f"json_extract_string({expr}, '$[*]')", f"json_type({expr}, '$[*]')"
        known = ", ".join(map(literal, (*element.json_types, "NULL")))
        value = element.from_debezium("one")
        unread = f"one IS NOT NULL AND (({value}) IS NULL OR one = {literal(UNAVAILABLE)} OR {_INNER_ARRAY})"
        bad = f"list_filter({texts}, lambda one: {unread})"
        strange = f"list_filter({kinds}, lambda kind: kind NOT IN ({known}))"
        return f"""CASE WHEN len({strange}) = 0 AND len({bad}) = 0
            THEN CAST(list_transform({texts}, lambda one: {value}) AS {duckdb}) END"""

    def source_select(quoted: str) -> str:
        # ADBC would flatten several dimensions.
        plain = f"coalesce(array_ndims({quoted}), 1) = 1 AND coalesce(array_lower({quoted}, 1), 1) = 1"
        other = f"ARRAY[{literal(_OTHER_SHAPE)}]::{element_cast}[]"
        return f"CASE WHEN {plain} THEN {quoted}::{element_cast}[] ELSE {other} END"

    def from_source(expr: str) -> str:
        refused = f"error({literal(f'column {expr} holds {_OTHER_SHAPE}, which {NO_EXACT_FORM}')})"
        value = f"CAST(list_transform({expr}, lambda one: {read('one')}) AS {duckdb})"
        return f"CASE WHEN {expr}[1] = {literal(_OTHER_SHAPE)} THEN {refused} ELSE {value} END"

    return TypeRule(
        duckdb,
        ("ARRAY",),
        from_debezium,
        source_select,
        from_source,
        form=f"array of {element.form}",
        compared=f"element by element: {element.compared}",
        remarks="NULL, empty and NULL elements are told apart; one dimension that begins at 1: Debezium loses every "
        "other shape, and parity cannot judge the table while one is there",
    )


def _without_zeros(expr: str) -> str:
    """Numbers in a text without zeros at the end."""
    shorter = f"regexp_replace({expr}, '([.][0-9]*[1-9])0+', '\\1', 'g')"
    return f"regexp_replace({shorter}, '[.]0+([^0-9]|$)', '\\1', 'g')"


_NUMBERS = "numbers without zeros at the end"
_UTC = "bounds in UTC: Kafka Connect must run in that time zone"


def range_of(subtype: str) -> TypeRule:
    """A built-in range."""
    canonical = _without_zeros if subtype == "numeric" else identity
    return TypeRule(
        "VARCHAR",
        STRING_JSON,
        canonical,
        as_text,
        canonical,
        canonical,
        compared=CANONICAL,
        remarks={"numeric": _NUMBERS, "timestamptz": _UTC}.get(subtype, ""),
    )


def multirange_of(subtype: str) -> TypeRule:
    """A built-in multirange; Debezium does not know them and passes their text on as bytes."""
    rule = range_of(subtype)
    return TypeRule(
        "VARCHAR",
        STRING_JSON,
        lambda expr: rule.from_debezium(f"TRY(decode(from_base64({expr})))"),
        as_text,
        rule.from_source,
        form="base64 of PostgreSQL's text (`include.unknown.datatypes`)",
        compared=CANONICAL,
        remarks=rule.remarks,
    )


def _doubles(paths: dict[str, str], parts: str) -> TypeRule:
    """Numbers under fixed names.

    Args:
        paths: name -> path in Debezium's object.
        parts: PostgreSQL expressions of the numbers, with ``{}`` for the column.
    """

    def from_debezium(expr: str) -> str:
        numbers = {name: f"TRY_CAST(json_extract_string({expr}, '{path}') AS DOUBLE)" for name, path in paths.items()}
        there = " AND ".join(f"{number} IS NOT NULL" for number in numbers.values())
        return f"CASE WHEN {there} THEN {_packed(numbers)} END"

    def from_source(expr: str) -> str:
        return f"CASE WHEN {expr} IS NOT NULL THEN {_packed({n: f'{expr}[{i}]' for i, n in enumerate(paths, 1)})} END"

    return TypeRule(
        f"STRUCT({', '.join(f'{name} DOUBLE' for name in paths)})",
        ("OBJECT",),
        from_debezium,
        lambda quoted: f"CASE WHEN {quoted} IS NOT NULL THEN ARRAY[{parts.replace('{}', quoted)}]::float8[] END",
        from_source,
        form="object",
        compared=AS_FLOATS,
    )


def _packed(values: dict[str, str]) -> str:
    return f"struct_pack({', '.join(f'{name} := {value}' for name, value in values.items())})"


POINT = _doubles({"x": "$.x", "y": "$.y"}, "{}[0], {}[1]")
LINE = _doubles({"a": "$.a", "b": "$.b", "c": "$.c"}, "{}[0], {}[1], {}[2]")
CIRCLE = _doubles(
    {"x": "$.center.x", "y": "$.center.y", "radius": "$.radius"}, "(center({}))[0], (center({}))[1], radius({})"
)
