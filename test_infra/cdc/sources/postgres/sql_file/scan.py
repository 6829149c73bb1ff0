"""Where the statements of a SQL file begin and end, by the rules of psql's own scanner (``psqlscan.l``).

Nothing is parsed: what a statement means is the server's to say.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from test_infra.cdc.sources.postgres.sql_file.refused import SqlFileRefused, refused

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>--[^\n\r]*+)
  | (?P<block>/\*)
  | (?P<escaped>[eE]'(?:[^'\\]++|\\.|'')*+')
  | (?P<plain>(?:[bBxXnN]|[uU]&)?'(?:[^']++|'')*+')
  | (?P<quoted>(?:[uU]&)?"(?:[^"]++|"")*+")
  | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
  | (?P<run>[\d,.=<>+*%!|&^~?@\#\[\]][\s\d,.=<>+*%!|&^~?@\#\[\]]*+)
  | (?P<word>[^\W\d][\w$]*)
  | (?P<variable>:(?:[\w]+|'[\w]+'|"[\w]+"))
  | (?P<cast>::)
  | (?P<open>[(])
  | (?P<close>[)])
  | (?P<end>;)
  | (?P<command>\\)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPING_PLAIN = re.compile(r"'(?:[^'\\]++|\\.|'')*+'", re.DOTALL)
"""A plain string where ``standard_conforming_strings`` is off."""
_BLOCK_EDGE = re.compile(r"/\*|\*/")
_LINE_END = re.compile(r"\r\n|\n|\r|$")
_END_OF_DATA = re.compile(r"^\\\.[ \t]*(?:\r\n|\n|\r|\Z)", re.MULTILINE)
_CONFORMING = re.compile(
    r"SET\s+(?:SESSION\s+|LOCAL\s+)?standard_conforming_strings\s*(?:=|\sTO\s)\s*'?(?P<value>\w+)'?", re.IGNORECASE
)
_SHOWN = 80


@dataclass(frozen=True)
class Statement:
    """One statement, without its semicolon and the comments before it.

    Args:
        path: the file it is in.
        line: where it begins, counted from 1.
        text: as it is sent.
        words: its keywords and plain names in capitals, as far as they are in no parentheses and no function body.
        data: of a ``COPY ... FROM stdin``; None for any other statement.
        data_line: where the data begin; 0 without data.
        data_path: the file that the data are in; None: the same.
    """

    path: Path
    line: int
    text: str
    words: tuple[str, ...]
    data: str | None = None
    data_line: int = 0
    data_path: Path | None = None

    @property
    def shown(self) -> str:
        """The statement as an error names it: its begin, and none of its strings."""
        plain = re.sub(r"'[^']*'?", "'...'", " ".join(self.text.partition("$")[0].split()))
        return plain if len(plain) <= _SHOWN else f"{plain[:_SHOWN]} ..."


@dataclass(frozen=True)
class Command:
    r"""A command of psql, such as ``\restrict``.

    Args:
        line: where it is.
        name: without the backslash.
        arguments: the rest of the line.
        before: the statement that it ends, without a semicolon; None where no statement is open.
    """

    line: int
    name: str
    arguments: str
    before: Statement | None = None


_PASSED_OVER = frozenset({"space", "run", "comment", "quoted", "escaped", "cast"})
"""Tokens that, inside a statement, say nothing about where it ends."""
ENDS_A_STATEMENT = ("g", "gx")
"""Commands that send the statement before them, as a semicolon does."""


def scan(
    path: Path, text: str, variables: Mapping[str, str], *, conforming: bool = True
) -> Iterator[Statement | Command]:
    """The statements and psql commands of a text, in order.

    Args:
        path: of the file, for errors.
        text: of the file.
        variables: of psql; looked up when a statement uses one, so a command may set more meanwhile.
        conforming: what ``standard_conforming_strings`` is before the file sets it.

    Raises:
        SqlFileRefused: a string, a quoted name, a dollar quote or a comment does not end; names the line it begins on.
    """
    return _Scanner(path, text, variables, conforming=conforming).pieces()


class _Scanner:
    def __init__(self, path: Path, text: str, variables: Mapping[str, str], *, conforming: bool) -> None:
        self._path, self._text, self._variables, self._conforming = path, text, variables, conforming
        self._newlines = [found.start() for found in re.finditer("\n", text)]
        self._at = 0
        self._reset()

    def _reset(self) -> None:
        self._parts: list[str] = []
        self._kept_to = 0
        self._begin: int | None = None
        self._words: list[str] = []
        self._depth = 0
        self._body = 0

    def pieces(self) -> Iterator[Statement | Command]:
        while self._at < len(self._text):
            found = _TOKEN.match(self._text, self._at)
            assert found is not None  # the last alternative takes any character
            kind = found.lastgroup or ""
            if kind in _PASSED_OVER and self._begin is not None:
                self._at = found.end()
            elif kind == "end" and not self._depth and not self._body:
                statement = self._statement(found.end())
                if statement is not None:
                    yield statement
            elif kind == "command":
                yield self._command()
            elif kind in {"space", "comment", "block"} and self._begin is None:
                self._at = self._end_of(found, kind)
            else:
                self._take(found, kind)
        if (statement := self._statement(self._at)) is not None:
            yield statement

    def _take(self, found: re.Match[str], kind: str) -> None:
        """One token of a statement."""
        if self._begin is None:
            self._begin = self._kept_to = found.start()
        end = self._end_of(found, kind)
        if kind == "variable":
            self._parts += [self._text[self._kept_to : found.start()], self._value(found[0])]
            self._kept_to = end
        elif kind == "open":
            self._depth += 1
        elif kind == "close":
            self._depth = max(0, self._depth - 1)
        elif kind == "word" and not self._depth:
            self._word(found[0].upper())
        self._at = end

    def _word(self, word: str) -> None:
        """Keep a word, and know the body of a function that is no string: BEGIN ATOMIC ... END."""
        makes_function = self._words[:1] == ["CREATE"] and any(
            self._words[place : place + 1] in (["FUNCTION"], ["PROCEDURE"]) for place in (1, 3)
        )
        if makes_function:
            if word == "BEGIN" or (word == "CASE" and self._body):
                self._body += 1
            elif word == "END" and self._body:
                self._body -= 1
                return
        if not self._body:
            self._words.append(word)

    def _end_of(self, found: re.Match[str], kind: str) -> int:
        """Where a token ends, also one that reaches further than its first characters."""
        if kind == "block":
            return self._end_of_comment(found.start())
        if kind == "dollar":
            end = self._text.find(found[0], found.end())
            if end < 0:
                raise self._endless(found.start(), f"the string quoted by {found[0]}")
            return end + len(found[0])
        if found[0].startswith("'") and not self._conforming:
            whole = _ESCAPING_PLAIN.match(self._text, found.start())
            if whole is None:
                raise self._endless(found.start(), "the string")
            return whole.end()
        if found[0] in {"e", "E"} and self._text.startswith("'", found.end()):
            raise self._endless(found.start(), "the string")
        if kind == "other" and found[0] in "'\"":
            raise self._endless(found.start(), "the string" if found[0] == "'" else "the quoted name")
        return found.end()

    def _end_of_comment(self, start: int) -> int:
        depth, at = 1, start + 2
        while depth:
            edge = _BLOCK_EDGE.search(self._text, at)
            if edge is None:
                raise self._endless(start, "the comment")
            depth += 1 if edge[0] == "/*" else -1
            at = edge.end()
        return at

    def _value(self, token: str) -> str:
        """What psql puts for a variable; one that is not set stays as it is written."""
        name = token[1:].strip("'\"")
        if name not in self._variables:
            return token
        value = self._variables[name]
        quote = token[1] if token[1] in "'\"" else ""
        return f"{quote}{value.replace(quote, quote * 2) if quote else value}{quote}"

    def _statement(self, after: int) -> Statement | None:
        """The statement that ends here; None where there is none. Reading goes on at ``after``."""
        rest = self._text[self._kept_to : self._at] if self._begin is not None else ""
        text, words, begin = "".join([*self._parts, rest]).rstrip(), tuple(self._words), self._begin
        self._reset()
        self._at = after
        if begin is None or not text:
            return None
        if found := _CONFORMING.match(text):
            self._conforming = found["value"].lower() in {"on", "true", "yes", "1"}
        if words[:1] == ("COPY",) and _from_stdin(words):
            data, data_line = self._copy_data()
            return Statement(self._path, self._line(begin), text, words, data, data_line)
        return Statement(self._path, self._line(begin), text, words)

    def _copy_data(self) -> tuple[str, int]:
        r"""The lines after a ``COPY ... FROM stdin;``, up to ``\.`` or the end of the file."""
        end = _LINE_END.search(self._text, self._at)
        assert end is not None
        if rest := self._text[self._at : end.start()].partition("--")[0].strip():
            hint = "begin the data of COPY on the next line"
            raise refused(self._path, self._line(self._at), f"{rest[:40]!r} behind COPY ... FROM stdin;", hint)
        begin = end.end()
        close = _END_OF_DATA.search(self._text, begin)
        data = self._text[begin : close.start()] if close else self._text[begin:]
        self._at = close.end() if close else len(self._text)
        return data, self._line(begin)

    def _command(self) -> Command:
        r"""A psql command: it reaches to the end of its line, or to ``\\``."""
        line = self._line(self._at)
        end = _LINE_END.search(self._text, self._at)
        assert end is not None
        written, separator, _ = self._text[self._at + 1 : end.start()].partition("\\\\")
        after = self._at + 1 + len(written) + 2 if separator else end.start()
        name, _, arguments = written.strip().partition(" ")
        before = None
        if name in ENDS_A_STATEMENT:
            before = self._statement(after)
        elif self._begin is not None:  # the command is no part of the statement around it
            self._parts.append(self._text[self._kept_to : self._at])
            self._kept_to = after
        self._at = after
        return Command(line, name, arguments.strip(), before)

    def _line(self, offset: int) -> int:
        return bisect_right(self._newlines, offset - 1) + 1

    def _endless(self, offset: int, what: str) -> SqlFileRefused:
        return refused(self._path, self._line(offset), f"{what} that begins here does not end", "close it")


def _from_stdin(words: tuple[str, ...]) -> bool:
    return any(pair == ("FROM", "STDIN") for pair in pairwise(words))
