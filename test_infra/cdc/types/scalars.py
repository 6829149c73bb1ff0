"""Rules of the types that hold one value: numbers, texts, bytes and their kin.

What Debezium writes was measured, snapshot and stream; docs/types.md is made from what stands here.
"""

from __future__ import annotations

from functools import cache

from test_infra.cdc.types.rule import (
    AS_FLOATS,
    BY_VALUE,
    CANONICAL,
    EXACT_TEXT,
    TypeRule,
    as_text,
    cast,
    identity,
    no_exact_form,
)

INTEGER_JSON = ("BIGINT", "UBIGINT")
STRING_JSON = ("VARCHAR",)
NUMBER_JSON = ("BIGINT", "UBIGINT", "DOUBLE", "VARCHAR")  # NaN and the infinities are strings in JSON
MAX_PRECISION = 38
_MONEY = (19, 2)


def integer(duckdb: str) -> TypeRule:
    """A whole number."""
    return TypeRule(
        duckdb,
        INTEGER_JSON,
        cast(duckdb),
        from_source=lambda expr: f"CAST({expr} AS {duckdb})",
        from_text=cast(duckdb),
        form="number",
    )


def floating(duckdb: str) -> TypeRule:
    """A binary floating-point number."""
    return TypeRule(
        duckdb,
        NUMBER_JSON,
        cast(duckdb),
        from_source=lambda expr: f"CAST({expr} AS {duckdb})",
        from_text=cast(duckdb),
        form='number; `"NaN"`, `"Infinity"`, `"-Infinity"`',
        compared=AS_FLOATS,
    )


@cache
def decimal(precision: int, scale: int, form: str = "string, all digits") -> TypeRule:
    """A number of at most 38 digits."""
    duckdb = f"DECIMAL({precision},{scale})"

    def exact(expr: str) -> str:
        # A cast alone would round a value of a greater scale in silence.
        fits = f"length(split_part({expr}, '.', 2)) <= {scale} OR contains({expr}, 'E')"
        return f"CASE WHEN {fits} THEN TRY_CAST({expr} AS {duckdb}) END"

    def from_source(expr: str) -> str:
        text = f"CAST({expr} AS VARCHAR)"
        return f"CASE WHEN {text} = 'NaN' THEN {no_exact_form(expr, text)} ELSE CAST({text} AS {duckdb}) END"

    remarks = "NaN has no form in a decimal: quarantined (`NAN`), and parity cannot judge the table while it is there"
    return TypeRule(duckdb, STRING_JSON, exact, as_text, from_source, form=form, remarks=remarks)


@cache
def scaled(precision: int, scale: int) -> TypeRule:
    """A number as declared: also one with a negative scale, a scale above its precision, or too many digits."""
    digits, places = (precision - scale, 0) if scale < 0 else (max(precision, scale), scale)
    if digits > MAX_PRECISION:
        return NUMERIC
    if scale >= 0:
        return decimal(digits, places)
    rule = decimal(digits, places)
    # Debezium writes such a value with 2,048 zeros behind the point.
    whole = f"TRY_CAST(%s AS DECIMAL({digits},0))"
    return TypeRule(
        rule.duckdb,
        STRING_JSON,
        lambda expr: f"CASE WHEN rtrim(split_part({expr}, '.', 2), '0') = '' THEN {whole % expr} END",
        as_text,
        rule.from_source,
        form=rule.form,
        remarks=rule.remarks,
    )


def _canonical_number(expr: str) -> str:
    trimmed = f"CASE WHEN contains({expr}, '.') THEN rtrim(rtrim({expr}, '0'), '.') ELSE {expr} END"
    return f"""CASE {expr} WHEN 'NAN' THEN 'NaN' WHEN 'POSITIVE_INFINITY' THEN 'Infinity'
        WHEN 'NEGATIVE_INFINITY' THEN '-Infinity'
        ELSE CASE WHEN regexp_full_match({expr}, '-?[0-9]+([.][0-9]+)?') THEN {trimmed} END END"""


NUMERIC = TypeRule(
    "VARCHAR",
    STRING_JSON,
    _canonical_number,
    lambda quoted: f"trim_scale({quoted})::text",
    form="string, all digits",
    compared=CANONICAL,
    remarks="more than 38 digits are possible; all digits without zeros at the end (`1.50` is `1.5`); `NaN`, `Infinity`"
    ", `-Infinity`",
)
MONEY = TypeRule(
    f"DECIMAL({_MONEY[0]},{_MONEY[1]})",
    STRING_JSON,
    decimal(*_MONEY).from_debezium,
    lambda quoted: f"{quoted}::numeric::text",
    decimal(*_MONEY).from_source,
    form="string, two decimals",
    remarks="of a currency with two decimals (`lc_monetary`)",
)


def _bits(length: int) -> TypeRule:
    def from_debezium(expr: str) -> str:
        # Little-endian bytes without the zero bytes at the end.
        octets = f"regexp_extract_all(CAST(from_base64(nullif({expr}, '')) AS BIT)::VARCHAR, '.{{8}}')"
        bits = f"array_to_string(list_reverse({octets}), '')"
        return f"""CASE WHEN {expr} = '' THEN {"'" + "0" * length + "'"}
            ELSE TRY(right(lpad({bits}, greatest({length}, length({bits}))::INTEGER, '0'), {length})) END"""

    return TypeRule(
        "VARCHAR",
        STRING_JSON,
        from_debezium,
        as_text,
        form="base64, little-endian",
        compared=CANONICAL,
        remarks="the bits as PostgreSQL writes them, such as `101`",
    )


BIT = TypeRule("BOOLEAN", ("BOOLEAN",), cast("BOOLEAN"), lambda quoted: f"({quoted} = B'1')", form="true, false")


@cache
def bit(length: int) -> TypeRule:
    """A bit string of fixed length."""
    return BIT if length == 1 else _bits(length)


def text(remarks: str = "") -> TypeRule:
    """A text."""
    return TypeRule("VARCHAR", STRING_JSON, identity, from_text=identity, compared=EXACT_TEXT, remarks=remarks)


def canonical(remarks: str = "") -> TypeRule:
    """A value of which PostgreSQL and Debezium write the same, canonical text."""
    return TypeRule("VARCHAR", STRING_JSON, identity, as_text, from_text=identity, compared=CANONICAL, remarks=remarks)


def label() -> TypeRule:
    """As `canonical`, of a type whose arrays are refused."""
    return TypeRule("VARCHAR", STRING_JSON, identity, as_text, compared=CANONICAL)


ENUM = TypeRule(
    "VARCHAR",
    STRING_JSON,
    identity,
    as_text,
    compared=EXACT_TEXT,
    remarks="the label; one added while streaming arrives too",
)
INET = TypeRule(
    "VARCHAR",
    STRING_JSON,
    identity,
    lambda quoted: f"abbrev({quoted})",
    compared=CANONICAL,
    from_text=lambda expr: f"regexp_replace({expr}, '^([^:]*)/32$|^(.*:.*)/128$', '\\1\\2')",
    remarks="without `/32` or `/128` of a single host, as PostgreSQL shows it",
)
UUID = TypeRule(
    "VARCHAR",
    STRING_JSON,
    lambda expr: f"CAST(TRY_CAST({expr} AS UUID) AS VARCHAR)",
    as_text,
    from_text=identity,
    compared=CANONICAL,
    remarks="lower case with hyphens",
)
JSON = TypeRule(
    "VARCHAR",
    STRING_JSON,
    identity,
    as_text,
    from_text=identity,
    compared=EXACT_TEXT,
    remarks="order and repetition of keys and blanks are kept, as PostgreSQL does",
)
JSONB = TypeRule(
    "VARCHAR",
    STRING_JSON,
    identity,
    as_text,
    from_text=identity,
    compared=CANONICAL,
    remarks="PostgreSQL's own text: keys sorted, the last one of a key, numbers with their scale (`1.0` is not `1.00`)",
)
BYTEA = TypeRule(
    "BLOB",
    STRING_JSON,
    lambda expr: f"TRY(from_base64({expr}))",
    from_text=lambda expr: f"TRY(unhex(substr({expr}, 3)))",
    form="base64",
)
BOOLEAN = TypeRule(
    "BOOLEAN", ("BOOLEAN",), cast("BOOLEAN"), from_text=cast("BOOLEAN"), form="true, false", compared=BY_VALUE
)
OID = TypeRule(
    "BIGINT",
    INTEGER_JSON,
    cast("BIGINT"),
    lambda quoted: f"{quoted}::bigint",
    lambda expr: f"CAST({expr} AS BIGINT)",
    cast("BIGINT"),
    form="number",
)
