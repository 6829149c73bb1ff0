"""The text of a SQL file: byte order marks, the encoding it names, the one its user names, else UTF-8."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from test_infra.cdc.sources.postgres.sql_file.refused import SqlFileRefused, refused

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""UTF-32 first: its mark begins with that of UTF-16."""
_NO_TEXT = (
    (b"PGDMP", "a dump in PostgreSQL's custom format", "pg_restore -f dump.sql, and name dump.sql"),
    (b"\x1f\x8b", "compressed by gzip", "gunzip it"),
    (b"PK\x03\x04", "a ZIP archive", "unzip it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unzstd it"),
)
_NAMED = re.compile(
    rb"^[ \t]*(?:\\encoding[ \t]+|SET[ \t]+(?:SESSION[ \t]+)?client_encoding[ \t]*(?:=|[ \t]TO\b)[ \t]*|"
    rb"SET[ \t]+NAMES[ \t]+)"
    rb"[\"']?(?P<name>[A-Za-z0-9_-]+)",
    re.IGNORECASE | re.MULTILINE,
)
_POSTGRES_NAMES = {
    "BIG5": "big5",
    "EUC_CN": "gb2312",
    "EUC_JP": "euc_jp",
    "EUC_KR": "euc_kr",
    "GB18030": "gb18030",
    "GBK": "gbk",
    "KOI8": "koi8_r",
    "KOI8R": "koi8_r",
    "KOI8U": "koi8_u",
    "SJIS": "cp932",
    "SHIFT_JIS_2004": "shift_jis_2004",
    "SQL_ASCII": "ascii",
    "UHC": "cp949",
    "UNICODE": "utf-8",
    "UTF8": "utf-8",
    "WIN866": "cp866",
    "WIN874": "cp874",
    **{f"LATIN{number}": f"latin_{number}" for number in range(1, 11)},
    **{f"WIN{page}": f"cp{page}" for page in (1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258)},
}
"""PostgreSQL's name of an encoding -> Python's; other names are looked up as they are."""


def read_text(path: Path, encoding: str | None = None) -> str:
    r"""The text of the file, without a byte order mark.

    Args:
        path: of the file.
        encoding: PostgreSQL's or Python's name of its encoding; None: by its byte order mark, by ``SET
            client_encoding`` or ``\encoding`` in it, else UTF-8.

    Raises:
        SqlFileRefused: it cannot be read, is no text, or is not in that encoding; names line and byte.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SqlFileRefused(
            f"the SQL file {path.name} cannot be read",
            details={"file": str(path), "seen": error.strerror or type(error).__name__},
            hint="name a file that is there and that this user may read",
        ) from error
    for magic, what, hint in _NO_TEXT:
        if raw.startswith(magic):
            raise refused(path, None, f"it is {what}", hint)
    for mark, codec in _MARKS:
        if raw.startswith(mark):
            return _decoded(path, raw[len(mark) :], codec, "its byte order mark")
    if encoding is not None:
        return _decoded(path, raw, _codec(path, None, encoding), "`encoding:` in the YAML")
    named = list(_NAMED.finditer(raw))
    codecs_named = {_codec(path, _line(raw, found.start()), found["name"].decode()) for found in named}
    if len(codecs_named) > 1:
        where = _line(raw, named[1].start())
        raise refused(path, where, f"it names {len(named)} encodings", "keep one encoding in a file")
    return _decoded(path, raw, *((codecs_named.pop(), "its client_encoding") if named else ("utf-8", "the default")))


def _codec(path: Path, line: int | None, name: str) -> str:
    plain = name.upper().replace("-", "").replace("ISO_8859_", "ISO8859")
    for known in (_POSTGRES_NAMES.get(name.upper()), _POSTGRES_NAMES.get(plain), name):
        try:
            return codecs.lookup(known or "").name
        except LookupError:
            continue
    raise refused(path, line, f"encoding {name!r} is not known", "name it as PostgreSQL does: UTF8, WIN1252, LATIN1")


def _decoded(path: Path, raw: bytes, codec: str, by: str) -> str:
    nul = raw.find(b"\0")
    if nul >= 0 and not codec.startswith(("utf-16", "utf-32")):
        hint = "save it as UTF-8; without a byte order mark UTF-16 is only known by `encoding: utf-16-le` in the YAML"
        raise refused(path, _line(raw, nul), f"byte {nul} is NUL: UTF-16, or no text", hint)
    try:
        return raw.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _not_in(path, raw, error, f"{codec} ({by})") from error


def _not_in(path: Path, raw: bytes, error: UnicodeDecodeError, codec: str) -> SqlFileRefused:
    line = _line(raw, error.start)
    begin = raw.rfind(b"\n", 0, error.start) + 1
    around = raw[begin : error.start + 12].split(b"\n")[0]
    might_be = around[-40:].decode("cp1252", "replace").strip()
    what = (
        f"byte {error.start} (0x{raw[error.start]:02x}, byte {error.start - begin + 1} of the line) is not {codec}; "
        f"in Windows-1252 it would be {might_be!r}"
    )
    hint = (
        "save it as UTF-8, or name its encoding: `encoding: windows-1252` beside the file in the YAML, or "
        "SET client_encoding = 'WIN1252'; in its first lines"
    )
    return refused(path, line, what, hint)


def _line(raw: bytes, offset: int) -> int:
    return raw.count(b"\n", 0, offset) + 1
