"""Which values a column may hold: what its conditions leave over, or what the pipeline's YAML says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from test_infra.cdc.load.conditions import Call, ColumnRef, Literal, Node, parse, parts
from test_infra.cdc.load.functions import like_regex

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.spec import ColumnValues
    from test_infra.cdc.sources.constraints import Check

_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "<>": "<>"}
_LENGTHS = ("length", "char_length", "character_length")


@dataclass(frozen=True)
class Domain:
    """Limits of a column's values; the empty domain has none.

    Args:
        choices: the only values; None: not listed.
        low: the lowest one; None: the type's own.
        high: the highest one.
        beyond: whether ``low`` and ``high`` themselves are left out.
        shortest: characters of a text, at least.
        longest: characters of a text, at most; None: the type's own.
        pattern: regular expression that a text matches; empty: any.
        sql: expression that the source computes for each row; ``:n`` is another number each time. Empty: none.
    """

    choices: tuple[object, ...] | None = None
    low: object = None
    high: object = None
    beyond: tuple[bool, bool] = (False, False)
    shortest: int = 0
    longest: int | None = None
    pattern: str = ""
    sql: str = ""

    @property
    def bounded(self) -> bool:
        """Whether it says anything at all."""
        return self != Domain()


NO_LIMITS = Domain()


def said(values: ColumnValues) -> Domain:
    """The domain that the YAML gives a column."""
    low, high = values.range or (None, None)
    choices = values.choice if values.constant is None else [values.constant]
    return Domain(
        choices=None if choices is None else tuple(choices),
        low=_moment(low),
        high=_moment(high),
        pattern=values.regex or "",
        sql=values.sql or "",
    )


def domains(checks: Iterable[Check]) -> dict[str, Domain]:
    """What the conditions that were understood leave over for each column that they name alone."""
    found: dict[str, Domain] = {}
    for check in checks:
        tree = parse(check.sql)
        if tree is None:
            continue
        for part in parts(tree):
            names = {check.columns[0] if name == "VALUE" and check.of_domain else name for name in column_names(part)}
            if len(names) == 1 and "VALUE" not in names:
                (name,) = names
                found[name] = _narrowed(found.get(name, NO_LIMITS), part)
    return found


def column_names(node: Node) -> set[str]:
    """The columns that a node reads."""
    if isinstance(node, ColumnRef):
        return {node.name}
    if isinstance(node, Call):
        return set().union(*map(column_names, node.arguments))
    return set()


def with_value_named(node: Node, column: str) -> Node:
    """A domain's condition as one of a column: ``VALUE`` is the column."""
    if isinstance(node, ColumnRef):
        return ColumnRef(column)
    if isinstance(node, Call):
        return Call(node.name, tuple(with_value_named(argument, column) for argument in node.arguments))
    return node


def _narrowed(domain: Domain, part: Node) -> Domain:
    match part:
        case Call("any", (Literal("="), column, Call("array", members))) if _is_column(column):
            return _listed(domain, [member.value for member in members if isinstance(member, Literal)])
        case Call("or", arguments):
            listed = [_equal(argument) for argument in arguments]
            return domain if None in listed else _listed(domain, [one for some in listed if some for one in some])
        case Call("~" | "~~" as operator, (column, Literal(str(pattern)))) if _is_column(column):
            return replace(domain, pattern=pattern if operator == "~" else f"^{like_regex(pattern)}$")
        case Call(operator, (Literal(value), other)) if operator in _TURNED:
            return _limited(domain, _TURNED[operator], other, value)
        case Call(operator, (other, Literal(value))) if operator in _TURNED:
            return _limited(domain, operator, other, value)
    return domain


def _equal(part: Node) -> list[object] | None:
    """The values that ``column = constant`` or ``column = ANY (constants)`` allows; None for anything else."""
    match part:
        case Call("=", (column, Literal(value))) if _is_column(column):
            return [value]
        case Call("any", (Literal("="), column, Call("array", members))) if _is_column(column):
            return [member.value for member in members if isinstance(member, Literal)]
    return None


def _listed(domain: Domain, values: list[object]) -> Domain:
    before = domain.choices
    return replace(domain, choices=tuple(value for value in values if before is None or value in before))


def _limited(domain: Domain, operator: str, side: Node, value: object) -> Domain:
    if isinstance(side, Call) and side.name in _LENGTHS and isinstance(value, int):
        least = {">": value + 1, ">=": value, "=": value}.get(operator)
        most = {"<": value - 1, "<=": value, "=": value}.get(operator)
        if least is not None:
            domain = replace(domain, shortest=max(domain.shortest, least))
        if most is not None:
            domain = replace(domain, longest=most if domain.longest is None else min(domain.longest, most))
        return domain
    if not _is_column(side) or value is None:
        return domain
    if operator == "=":
        return _listed(domain, [value])
    if isinstance(value, str | bool) or operator == "<>":
        return domain
    if operator in (">", ">="):
        if domain.low is None or _after(value, domain.low):
            domain = replace(domain, low=value, beyond=(operator == ">", domain.beyond[1]))
    elif domain.high is None or _after(domain.high, value):
        domain = replace(domain, high=value, beyond=(domain.beyond[0], operator == "<"))
    return domain


def _after(left: object, right: object) -> bool:
    try:
        return bool(left > right)  # type: ignore[operator]
    except TypeError:
        return False


def _is_column(node: Node) -> bool:
    """A column, or a cast of one."""
    return isinstance(node, ColumnRef) or (
        isinstance(node, Call) and node.name == "cast" and isinstance(node.arguments[0], ColumnRef)
    )


def _moment(value: object) -> object:
    """A limit in YAML: numbers as they are, texts as dates or timestamps."""
    if isinstance(value, float):
        return Decimal(str(value))
    if isinstance(value, str):
        return dt.date.fromisoformat(value) if len(value) == len("2026-01-01") else dt.datetime.fromisoformat(value)
    return value


def merged(checked: Mapping[str, Domain], written: Mapping[str, ColumnValues]) -> dict[str, Domain]:
    """Domains of the conditions, and instead of them what the YAML says."""
    return {**checked, **{column: said(values) for column, values in written.items()}}
