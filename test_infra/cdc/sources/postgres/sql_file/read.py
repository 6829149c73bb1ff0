"""What a SQL file asks for: its statements, those of the files it includes; psql's commands are obeyed or refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from test_infra.cdc.sources.postgres.sql_file.refused import refused
from test_infra.cdc.sources.postgres.sql_file.scan import ENDS_A_STATEMENT, Command, Statement, scan
from test_infra.cdc.sources.postgres.sql_file.text import read_text

_HARMLESS = re.compile(
    r"restrict|unrestrict|encoding|echo|qecho|warn|timing|pset|x|a|t|H|f|C|T|html|prompt_off|conninfo|errverbose|h|help|"
    r"copyright|p|print|r|reset|s|d[A-Za-z]*[+S]*|l[+]?|list[+]?|z|sf[+]?|sv[+]?|\?"
)
"""Commands that only change what psql prints, or guard psql itself; ``encoding`` is obeyed when the file is read."""
_INCLUDES = {
    "i": "of the first file",
    "include": "of the first file",
    "ir": "of its own",
    "include_relative": "of its own",
}
_ON_ANOTHER_DATABASE = ("CREATE DATABASE", "DROP DATABASE")
_COPY = re.compile(
    r"""(?P<target>[^'"]*?(?:"[^"]*"[^'"]*?)*?)\s+from\s+(?P<file>'(?:[^']|'')*'|\S+)(?P<options>.*)""", re.IGNORECASE
)
_ENCODED = re.compile(r"\bencoding\b", re.IGNORECASE)
_PART = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"[^"]*"|[^\s'"]+|['"]""", re.DOTALL)
_WORD = re.compile(r"""(?:'(?:[^'\\]|\\.|'')*'|"[^"]*"|[^\s'"]|['"])+""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)|''", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ENCODING = re.compile(r"SET\s+(?:SESSION\s+|LOCAL\s+)?(?:client_encoding|NAMES)\b", re.IGNORECASE)
_OWNERS = (
    re.compile(r"ALTER\b.*\bOWNER\s+TO\s+\S+$", re.IGNORECASE | re.DOTALL),
    re.compile(r"(?:GRANT|REVOKE)\b", re.IGNORECASE),
    re.compile(r"ALTER\s+DEFAULT\s+PRIVILEGES\b", re.IGNORECASE),
    re.compile(r"SET\s+(?:LOCAL\s+|SESSION\s+)?(?:SESSION\s+AUTHORIZATION|ROLE)\b", re.IGNORECASE),
)


def read(
    path: Path,
    *,
    database: str,
    encoding: str | None = None,
    skip_owners: bool = False,
    conforming: bool = True,
) -> list[Statement]:
    r"""The statements of a SQL file and of the files that it includes, in order. Nothing is executed.

    Args:
        path: of the file.
        database: the one in which the statements will run; ``\connect`` to another one is refused.
        encoding: of the file; None: see `text.read_text`.
        skip_owners: leave out ``OWNER TO``, ``GRANT``, ``REVOKE``, ``ALTER DEFAULT PRIVILEGES``, ``SET ROLE`` and ``SET
            SESSION AUTHORIZATION``: they name roles of the server that a dump was made of.
        conforming: what ``standard_conforming_strings`` of the session is.

    Raises:
        SqlFileRefused: a file cannot be read, or holds something that cannot be run here; says file and line.
    """
    found = list(_Reader(path.parent, database, encoding, conforming=conforming).statements(path, ()))
    # Obeyed when the file was read; what is sent has one encoding.
    wanted = [one for one in found if not _ENCODING.match(one.text)]
    return [one for one in wanted if not _names_an_owner(one)] if skip_owners else wanted


@dataclass
class _Reader:
    """Reads files one inside the other.

    Args:
        folder: of the first file.
        database: the one in which the statements will run.
        encoding: of the files.
        conforming: what ``standard_conforming_strings`` of the session is.
        variables: of psql, set so far.
    """

    folder: Path
    database: str
    encoding: str | None
    conforming: bool
    variables: dict[str, str] = field(default_factory=dict)

    def statements(self, path: Path, inside: tuple[Path, ...]) -> Iterator[Statement]:
        self.variables |= {"DBNAME": self.database}
        for piece in scan(path, read_text(path, self.encoding), self.variables, conforming=self.conforming):
            if isinstance(piece, Statement):
                yield _checked(piece)
                continue
            if piece.name in {"q", "quit"}:
                return
            yield from self._obeyed(piece, path, (*inside, path.resolve()))

    def _obeyed(self, command: Command, path: Path, inside: tuple[Path, ...]) -> Iterator[Statement]:
        name = command.name
        if name in ENDS_A_STATEMENT and not command.arguments:
            if command.before is not None:
                yield _checked(command.before)
        elif name in _INCLUDES:
            yield from self._included(command, path, inside)
        elif name == "set":
            self._set(command.arguments)
        elif name == "unset":
            self.variables.pop(command.arguments, None)
        elif name == "copy":
            yield self._copied(command, path)
        elif name in {"c", "connect"}:
            self._connected(command, path)
        elif not _HARMLESS.fullmatch(name):
            hint = "write it in SQL, or leave the line out; docs/own-tables.md lists the commands that are obeyed"
            raise refused(path, command.line, f"\\{name} is a command of psql that is not obeyed here", hint)

    def _included(self, command: Command, path: Path, inside: tuple[Path, ...]) -> Iterator[Statement]:
        [written] = _arguments(command.arguments)[:1] or [""]
        folder = path.parent if _INCLUDES[command.name] == "of its own" else self.folder
        wanted = folder / written
        if not written or not wanted.is_file():
            what = f"there is no file {written!r} in {folder}"
            raise refused(path, command.line, what, "name it relative to that folder")
        if wanted.resolve() in inside:
            raise refused(path, command.line, f"{written} includes itself", "leave the line out")
        yield from self.statements(wanted, inside)

    def _copied(self, command: Command, path: Path) -> Statement:
        r"""``\copy table FROM 'file'`` as a COPY whose rows are that file."""
        found = _COPY.fullmatch(command.arguments)
        name = "" if found is None else _arguments(found["file"])[0]
        if found is None or name.lower() in {"stdin", "pstdin", "program"} or _ENCODED.search(found["options"]):
            what = f"\\copy {command.arguments}"
            hint = "\\copy TABLE FROM 'FILE' (OPTIONS) is what is obeyed, without an encoding of its own"
            raise refused(path, command.line, what, hint)
        rows = self.folder / name
        if not rows.is_file():
            what = f"there is no file {name!r} in {self.folder}"
            raise refused(path, command.line, what, "name it relative to that folder")
        text = f"COPY {found['target']} FROM STDIN{found['options']}"
        return Statement(path, command.line, text, ("COPY", "FROM", "STDIN"), read_text(rows, self.encoding), 1, rows)

    def _set(self, arguments: str) -> None:
        name, *values = _arguments(arguments) or [""]
        if name:
            self.variables[name] = "".join(values)

    def _connected(self, command: Command, path: Path) -> None:
        given = _arguments(command.arguments)
        wanted = given[0] if given else "-"
        if wanted not in {"-", self.database} or any(other != "-" for other in given[1:]):
            what = f"\\{command.name} {command.arguments}: the file runs in database {self.database}, as its owner"
            raise refused(path, command.line, what, "leave the line out, or dump without --create")


def _checked(statement: Statement) -> Statement:
    """The statement, if it can be run at all.

    Raises:
        SqlFileRefused: it is about another database, or sends rows to a client that is not there.
    """
    begin = " ".join(statement.words[:2])
    if begin in _ON_ANOTHER_DATABASE:
        hint = "leave it out: the file runs in the database of the service; dump without --create"
        raise refused(statement.path, statement.line, begin, hint)
    if statement.words[:1] == ("COPY",) and statement.words[-2:] == ("TO", "STDOUT"):
        raise refused(statement.path, statement.line, "COPY ... TO STDOUT: nobody reads the rows", "leave it out")
    return statement


def _names_an_owner(statement: Statement) -> bool:
    return any(form.match(statement.text) for form in _OWNERS)


def _arguments(written: str) -> list[str]:
    """Words as psql reads them: in single quotes, in double quotes, or bare."""
    return ["".join(map(_unquoted, _PART.findall(word))) for word in _WORD.findall(written)]


def _unquoted(part: str) -> str:
    if len(part) > 1 and part[0] == part[-1] == "'":
        return _ESCAPED.sub(lambda found: _ESCAPES.get(found[1] or "'", found[1] or "'"), part[1:-1])
    return part[1:-1] if len(part) > 1 and part[0] == part[-1] == '"' else part
