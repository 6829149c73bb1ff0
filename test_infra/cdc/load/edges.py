"""Values at the edges of PostgreSQL's less common types, as PostgreSQL reads them from text.

Only values that have an exact way into Delta: what has none turns a gate red, and that has tests of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

MakeText = Callable[[Random], str]

_NETWORKS = ("10.0.0.0/8", "192.168.100.128/25", "0.0.0.0/0", "10.1.2.3/32", "::/0", "2001:db8::/32", "::1/128")
EDGES: dict[str, tuple[str, ...]] = {
    "numeric": ("NaN", "Infinity", "-Infinity", "0", "0.000", "1.10", "-1e-200", "1e300", "123456789" * 7 + ".5"),
    "money": ("0", "-0.01", "92233720368547758.07", "-92233720368547758.08"),
    "date": ("infinity", "-infinity", "0001-01-01", "1582-10-04", "1582-10-15", "9999-12-31", "10000-01-01"),
    "time": ("00:00", "24:00", "23:59:59.999999", "12:34:56.123456"),
    "timestamp": (
        "infinity", "-infinity", "0044-03-15 12:00:00.123456 BC", "0001-01-01 00:00", "1582-10-10 01:01:01.5",
        "1969-12-31 23:59:59.999999", "9999-12-31 23:59:59.999999", "200000-01-01 00:00",
    ),
    "interval": (
        "0", "1 mon", "30 days", "720:00:00", "-1 year -2 mons +3 days -04:05:06.789", "-00:00:00.000001",
        "178000000 years", "2000000000:00:00",
    ),
    "inet": ("10.0.0.1", "10.0.0.1/8", "::1", "fe80::1/64", "::ffff:1.2.3.4", *_NETWORKS),
    "cidr": _NETWORKS,
    "macaddr": ("08:00:2b:01:02:03", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"),
    "macaddr8": ("08:00:2b:01:02:03:04:05", "00:00:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff:ff:ff"),
    "int4range": ("empty", "(,)", "[1,5]", "(1,)", "(,-2147483648]", "[7,7]"),
    "int8range": ("empty", "(,)", "[1,5]", "[-9223372036854775808,)"),
    "numrange": ("empty", "(,)", "[1.0,5.00)", "[NaN,NaN]", "[1,Infinity)", "(-1e30,1e-30]"),
    "daterange": ("empty", "(,)", "[2024-01-01,2024-02-01]", "[,infinity)", '["0044-03-15 BC",)'),
    "tsrange": ("empty", "(,)", "[2024-01-01 00:00,2024-02-01 00:00:00.5)", "[-infinity,)"),
    "tstzrange": ("empty", "(,)", "[2024-01-01 00:00+02,2024-02-01 00:00:00.5+00)", "[infinity,infinity]"),
    "point": ("(1,2)", "(-0,1e300)", "(NaN,Infinity)", "(0.1,1e-300)"),
    "line": ("{1,2,3}", "{-0.5,1e300,0}"),
    "circle": ("<(1,2),3>", "<(-0,NaN),0>"),
    "tsvector": ("", "a:1 'b c':2A", "'it''s':3"),
    "name": ("", "abc", "Ünïcödé"),
    '"char"': ("a", "", "~"),
    "oid": ("0", "4294967295"),
}  # fmt: skip
for _range in ("int4", "int8", "num", "date", "ts", "tstz"):
    EDGES[f"{_range}multirange"] = ("{}", *(f"{{{text}}}" for text in EDGES[f"{_range}range"]))
EDGES["timestamptz"] = (
    *(text if "infinity" in text else re.sub(r"( BC)?$", r"+00\1", text, count=1) for text in EDGES["timestamp"]),
    "2024-03-31 02:30:00.123456+01", "2024-10-27 02:30:00.1+02",
)  # fmt: skip


def edges_of(kind: str) -> MakeText | None:
    """A function that makes one of the edge values of a kind, or None where it has none here."""
    if kind in EDGES:
        return lambda random: random.choice(EDGES[kind])
    if bits := re.fullmatch(r"bit(?:\((\d+)\))?", kind):
        length = int(bits[1] or 1)
        return lambda random: format(
            random.choice((0, 1, (1 << length) - 1, random.getrandbits(length))), f"0{length}b"
        )
    if kind.startswith("enum("):
        labels = [label.replace("''", "'") for label in re.findall(r"'((?:[^']|'')*)'", kind)]
        return lambda random: random.choice(labels)
    return None


def array_of(make: Callable[[Random], object]) -> MakeText:
    """A function that makes an array: empty, with NULL elements, or with values of ``make``."""
    return lambda random: f"{{{','.join(_element(make(random)) for _ in range(random.randrange(4)))}}}"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    text = f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
