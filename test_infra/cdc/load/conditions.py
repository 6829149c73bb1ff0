"""CHECK conditions as PostgreSQL writes them down, read into a tree, and judged for a row that is to be written.

Only what is needed to make rows that pass: a condition that is not understood is not judged, and the source decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from test_infra.cdc.load.functions import NotUnderstood, apply, cast, compare

Value = object
"""A Python value; None is NULL."""

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>E?'(?:[^']|'')*') | (?P<number>\d+(?:\.\d+)?(?:e[+-]?\d+)?)
        | (?P<name>"(?:[^"]|"")+"|[A-Za-z_\u0080-\uffff][\w$]*)
        | (?P<sign>::|<>|<=|>=|!~~\*|!~~|~~\*|~~|!~\*|!~|~\*|\|\|
        | [-+*/%<>=~()\[\],.])
    )""",
    re.VERBOSE,
)
_COMPARED = ("=", "<>", "<", ">", "<=", ">=", "~", "~*", "!~", "!~*", "~~", "~~*", "!~~", "!~~*")
_TYPE_WORDS = {"varying", "precision", "with", "without", "time", "zone"}
_MOMENTS = {"CURRENT_DATE", "CURRENT_TIMESTAMP", "LOCALTIMESTAMP"}


@dataclass(frozen=True)
class Literal:
    """A constant."""

    value: Value


@dataclass(frozen=True)
class ColumnRef:
    """A column, or ``VALUE`` of a domain."""

    name: str


@dataclass(frozen=True)
class Call:
    """An operator or a function on other nodes; ``any`` and ``all`` have their operator first, as a literal."""

    name: str
    arguments: tuple[Node, ...]


Node = Literal | ColumnRef | Call


def parse(sql: str) -> Node | None:
    """The tree of a condition; None where it is not understood."""
    try:
        reader = _Reader(sql)
        tree = reader.either()
        reader.end()
    except NotUnderstood:
        return None
    return tree


def parts(tree: Node) -> Iterator[Node]:
    """What must all hold: the tree itself, or each side of an AND."""
    if isinstance(tree, Call) and tree.name == "and":
        for argument in tree.arguments:
            yield from parts(argument)
    else:
        yield tree


def holds(tree: Node, row: Mapping[str, Value]) -> bool | None:
    """Whether a row passes; None where that cannot be told, a column that is not in the row included."""
    try:
        return value_of(tree, row) in (True, None)
    except NotUnderstood:
        return None


def value_of(node: Node, row: Mapping[str, Value]) -> Value:  # noqa: C901, PLR0911 - one case for each kind of node
    """The value of a node, NULL as None.

    Raises:
        NotUnderstood: it cannot be told.
    """
    match node:
        case Literal(value):
            return value
        case ColumnRef(name):
            if name not in row:
                raise NotUnderstood(name)
            return row[name]
        case Call("and", arguments):
            return _junction(arguments, row, decides=False)
        case Call("or", arguments):
            return _junction(arguments, row, decides=True)
        case Call("is null", (one,)):
            return value_of(one, row) is None
        case Call("coalesce", arguments):
            return next((found for one in arguments if (found := value_of(one, row)) is not None), None)
        case Call("any" | "all" as which, (Literal(str(operator)), left, Call("array", members))):
            each = tuple(Call(operator, (left, member)) for member in members)
            return _junction(each, row, decides=which == "any")
    values = [value_of(argument, row) for argument in node.arguments]
    if any(value is None for value in values):
        return None
    if node.name in _COMPARED:
        return compare(node.name, values[0], values[1])
    return apply(node.name, values)


def _junction(arguments: Sequence[Node], row: Mapping[str, Value], *, decides: bool) -> Value:
    """AND and OR with three values: one side that decides is enough, also beside one that is not understood."""
    open_ends: list[NotUnderstood] = []
    seen: list[Value] = []
    for argument in arguments:
        try:
            value = value_of(argument, row)
        except NotUnderstood as error:
            open_ends.append(error)
            continue
        if value is decides:
            return decides
        seen.append(value)
    if open_ends:
        raise open_ends[0]
    return None if None in seen else not decides


class _Reader:
    """Reads one condition from left to right."""

    def __init__(self, sql: str) -> None:
        self._tokens = list(_tokens(sql))
        self._place = 0

    def end(self) -> None:
        if self._place < len(self._tokens):
            raise NotUnderstood(self._tokens[self._place])

    def either(self) -> Node:
        return self._joined("OR", lambda: self._joined("AND", self._negated))

    def _joined(self, word: str, below: object) -> Node:
        assert callable(below)
        found = [below()]
        while self._word(word):
            found.append(below())
        return found[0] if len(found) == 1 else Call(word.lower(), tuple(found))

    def _negated(self) -> Node:
        return Call("not", (self._negated(),)) if self._word("NOT") else self._compared()

    def _compared(self) -> Node:
        left = self._sum()
        while True:
            if self._word("IS"):
                negative = self._word("NOT")
                if self._word("NULL"):
                    left = Call("is null", (left,))
                else:
                    wanted = self._word("TRUE")
                    if not wanted and not self._word("FALSE"):
                        raise NotUnderstood("IS")
                    left = Call("is true" if wanted else "is false", (Call("coalesce", (left, Literal(not wanted))),))
                left = Call("not", (left,)) if negative else left
            elif (sign := self._peek()) in _COMPARED:
                self._place += 1
                which = next((word for word in ("any", "all") if self._word(word.upper())), None)
                right = self._in_brackets() if which else self._sum()
                left = Call(which, (Literal(sign), left, _array_of(right))) if which else Call(sign, (left, right))
            else:
                return left

    def _sum(self) -> Node:
        left = self._product()
        while (sign := self._peek()) in ("+", "-", "||"):
            self._place += 1
            left = Call(sign, (left, self._product()))
        return left

    def _product(self) -> Node:
        left = self._cast()
        while (sign := self._peek()) in ("*", "/", "%"):
            self._place += 1
            left = Call(sign, (left, self._cast()))
        return left

    def _cast(self) -> Node:
        node = Call("negative", (self._cast(),)) if self._sign("-") else self._primary()
        while self._sign("::"):
            node = _cast_to(node, self._type())
        return node

    def _primary(self) -> Node:  # noqa: PLR0911 - one case for each kind of token
        word = self._take()
        if word == "(":
            self._place -= 1
            return self._in_brackets()
        if word.startswith(("'", "E'")):
            return Literal(_unquoted(word))
        if word[0].isdigit():
            return Literal(cast(word, "numeric" if re.search(r"[.e]", word) else "bigint"))
        if word == "ARRAY" and self._sign("["):
            return Call("array", tuple(self._list("]")))
        if word in ("true", "false"):
            return Literal(word == "true")
        if word == "NULL":
            return Literal(None)
        if word in _MOMENTS:
            return Call(word.lower(), ())
        if not re.match(r'["\w]', word):
            raise NotUnderstood(word)
        name = word[1:-1].replace('""', '"') if word.startswith('"') else word
        if self._sign("("):
            return Call(name.lower(), tuple(self._list(")")))
        return ColumnRef(name)

    def _in_brackets(self) -> Node:
        if not self._sign("("):
            raise NotUnderstood("(")
        node = self.either()
        if not self._sign(")"):
            raise NotUnderstood(")")
        return node

    def _list(self, closing: str) -> Iterator[Node]:
        if self._sign(closing):
            return
        yield self.either()
        while self._sign(","):
            yield self.either()
        if not self._sign(closing):
            raise NotUnderstood(closing)

    def _type(self) -> str:
        words = [self._take()]
        while self._sign("."):
            words[-1] = self._take()
        while (self._peek() or "") in _TYPE_WORDS:
            words.append(self._take())
        if self._sign("("):
            list(self._list(")"))
            while (self._peek() or "") in _TYPE_WORDS:
                words.append(self._take())
        array = False
        while self._sign("["):
            array = True
            if not self._sign("]"):
                raise NotUnderstood("]")
        return " ".join(words) + ("[]" if array else "")

    def _peek(self) -> str | None:
        return self._tokens[self._place] if self._place < len(self._tokens) else None

    def _take(self) -> str:
        token = self._peek()
        if token is None:
            raise NotUnderstood("the end")
        self._place += 1
        return token

    def _word(self, word: str) -> bool:
        return self._sign(word)

    def _sign(self, sign: str) -> bool:
        if self._peek() != sign:
            return False
        self._place += 1
        return True


def _tokens(sql: str) -> Iterator[str]:
    place, text = 0, sql.strip()
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise NotUnderstood(text[place:])
        yield found[0].strip()
        place = found.end()


def _unquoted(token: str) -> str:
    if token.startswith("E"):
        return token[2:-1].replace("''", "'").replace("\\\\", "\\")
    return token[1:-1].replace("''", "'")


def _cast_to(node: Node, kind: str) -> Node:
    if isinstance(node, Literal) and isinstance(node.value, str) and kind.endswith("[]"):
        return Call("array", tuple(Literal(cast(item, kind[:-2])) for item in _members(node.value)))
    if isinstance(node, Literal):
        return Literal(None if node.value is None else cast(node.value, kind))
    if isinstance(node, Call) and node.name == "array":
        return Call("array", tuple(_cast_to(member, kind.removesuffix("[]")) for member in node.arguments))
    return Call("cast", (node, Literal(kind)))


def _array_of(node: Node) -> Node:
    if isinstance(node, Call) and node.name == "array":
        return node
    raise NotUnderstood("an array that is no constant")


def _members(text: str) -> list[str]:
    """The members of an array's text without quotes or NULL in it."""
    if not re.fullmatch(r"\{[^\"{}\\]*\}", text):
        raise NotUnderstood(text)
    return text[1:-1].split(",") if len(text) > 2 else []
