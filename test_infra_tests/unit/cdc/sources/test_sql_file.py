"""A SQL file is cut where psql cuts it, and refused with file and line before anything of it is executed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_infra.cdc.sources.postgres import sql_file
from test_infra.cdc.sources.postgres.sql_file.refused import SqlFileRefused
from test_infra.cdc.sources.postgres.sql_file.scan import Command, Statement, scan


def texts(sql: str, **variables: str) -> list[str]:
    return [piece.text for piece in scan(Path("t.sql"), sql, variables) if isinstance(piece, Statement)]


def read(folder: Path, sql: str | bytes, **options: object) -> list[Statement]:
    path = folder / "shop.sql"
    path.write_bytes(sql if isinstance(sql, bytes) else sql.encode())
    return sql_file.read(path, **{"database": "shop", **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 'a;b', 'it''s; so'",
        r"SELECT E'a\';b' || e'\\', 'c\'",
        "SELECT $$a;b$$, $x$ $$;$y$; $x$",
        "SELECT $größe$;$größe$",
        'CREATE TABLE "a;""b" (x int)',
        "SELECT 1 /* ; /* ; */ ; */ + 2 -- ;\n + 3",
        "CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b)",
        "CREATE FUNCTION f(a int) RETURNS int BEGIN ATOMIC SELECT CASE WHEN a > 1 THEN 2 END; SELECT 3; END",
        "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); END",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1; SELECT 2'",
        "SELECT a$1$, b$1$ FROM t",
        "SELECT x[1:n], 1::int, y::text, U&'d\\0061;t', U&\"d;\", B'1;', N';'",
        "DO $do$ BEGIN PERFORM 1; END $do$",
        "SELECT 'größe;'",
    ],
)
def test_a_semicolon_inside_ends_nothing(statement: str) -> None:
    assert texts(f"{statement};\nSELECT 'next';") == [statement, "SELECT 'next'"]


def test_backslashes_are_plain_unless_the_file_says_otherwise() -> None:
    off = "SET standard_conforming_strings = off; SELECT 'a\\';b'; SET standard_conforming_strings TO on; SELECT 'c\\';"
    assert texts(off)[1::2] == ["SELECT 'a\\';b'", "SELECT 'c\\'"]


def test_comments_before_a_statement_are_no_part_of_it_and_an_empty_one_is_none() -> None:
    pieces = list(scan(Path("t.sql"), "-- a\n/* b */ ;;\n\nSELECT 1;\n-- the end", {}))
    assert [(piece.line, piece.text) for piece in pieces if isinstance(piece, Statement)] == [(4, "SELECT 1")]


def test_the_rows_of_copy_are_no_sql() -> None:
    sql = "COPY public.t (a, b) FROM stdin;\n1\tit's; \\N\n\\\\.\t$$\n\\.\n\nSELECT 1;"
    copy, after = scan(Path("t.sql"), sql, {})
    assert isinstance(copy, Statement)
    assert isinstance(after, Statement)
    assert (copy.data, copy.data_line, after.line) == ("1\tit's; \\N\n\\\\.\t$$\n", 2, 6)


def test_the_rows_of_the_last_copy_may_end_with_the_file() -> None:
    [copy] = scan(Path("t.sql"), 'copy "T" from stdin with (format csv);\r\n1;2\r\n', {})
    assert isinstance(copy, Statement)
    assert copy.data == "1;2\r\n"


@pytest.mark.parametrize("sql", ["SELECT 1", "SELECT 1\n\n", "SELECT 1 -- end"])
def test_the_last_semicolon_may_be_missing(sql: str) -> None:
    assert len(texts(sql)) == 1


PIECES = st.sampled_from(
    ["a", "'x;'", "E'\\';'", '"q;"', "$$;$$", "$t$;$$;$t$", "/*;*/", "--;\n", "(;)", "1", ",", "=", "::", "\u00e4", " "]
)


@given(st.lists(st.lists(PIECES, min_size=1, max_size=6), max_size=5))
def test_statements_come_back_as_they_were_written(written: list[list[str]]) -> None:
    statements = [f"s {' '.join(pieces)} e" for pieces in written]
    assert texts(";\n".join(statements)) == statements


@given(st.text(alphabet="'\"$aE\\/*-();:\n \u00e4", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    found: list[Statement | Command] = []
    places: list[str] = []
    try:
        found = list(scan(Path("t.sql"), text, {}))
    except SqlFileRefused as error:
        places.append(error.details["file"])
    assert all(place.startswith("t.sql:") for place in places)
    assert all(piece.text.strip() for piece in found if isinstance(piece, Statement))


@pytest.mark.parametrize("opened", ["'abc", '"abc', "$x$ abc $$", "/* abc /* */", "E'abc\\'"])
def test_what_does_not_end_is_refused_where_it_begins(tmp_path: Path, opened: str) -> None:
    with pytest.raises(SqlFileRefused, match="does not end") as refusal:
        read(tmp_path, f"SELECT 1;\n\nSELECT {opened};\nSELECT 2;\n")
    assert refusal.value.details["file"].endswith("shop.sql:3")
    assert refusal.value.exit_code == 2


SIZE = "CREATE TABLE größe (id int);"


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (b"\xef\xbb\xbf" + SIZE.encode(), None),
        (SIZE.encode("utf-16"), None),
        (b"\xfe\xff" + SIZE.encode("utf-16-be"), None),
        (SIZE.encode("utf-16-le"), "utf-16-le"),
        (SIZE.encode("cp1252"), "windows-1252"),
        (SIZE.encode("cp1252"), "WIN1252"),
        (b"SET client_encoding = 'LATIN1';\r\n" + SIZE.encode("latin-1"), None),
        (b"-- dump\nset client_encoding to win1252;\n" + SIZE.encode("cp1252"), None),
        (b"\\encoding LATIN1\n" + SIZE.encode("latin-1"), None),
        (SIZE.encode(), "UTF8"),
    ],
)
def test_encodings_are_obeyed(tmp_path: Path, raw: bytes, encoding: str | None) -> None:
    assert [one.text for one in read(tmp_path, raw, encoding=encoding)] == [SIZE.rstrip(";")]


@pytest.mark.parametrize(
    ("raw", "line", "seen"),
    [
        (b"SELECT 1;\n\nCREATE TABLE gr\xf6\xdfe ();", 3, "byte 26 (0xf6, byte 16 of the line)"),
        (SIZE.encode("utf-16-le"), 1, "NUL"),
        (b"PGDMP\x01\x0e", None, "custom format"),
        (b"\x1f\x8b\x08", None, "gzip"),
        (b"SELECT 1;\nSET client_encoding = 'nosuch';", 2, "'nosuch' is not known"),
        (b"SET client_encoding = 'UTF8';\nSET client_encoding = 'LATIN1';", 2, "2 encodings"),
    ],
)
def test_other_bytes_are_refused_by_place(tmp_path: Path, raw: bytes, line: int | None, seen: str) -> None:
    with pytest.raises(SqlFileRefused) as refusal:
        read(tmp_path, raw)
    assert seen in refusal.value.details["seen"]
    assert refusal.value.details["file"] == f"{tmp_path / 'shop.sql'}{'' if line is None else f':{line}'}"


def test_commands_of_psql_that_only_change_its_output_are_passed_over(tmp_path: Path) -> None:
    sql = "\\restrict abc\n\\set ON_ERROR_STOP on\n\\echo it's\n\\timing\n\\pset null '-'\n\\connect shop\n\\c - -\n"
    assert [
        one.text for one in read(tmp_path, f"{sql}SELECT 1;\n\\dt+\nSELECT 2 \\g\nSELECT 3;\n\\unrestrict abc\n")
    ] == [
        "SELECT 1",
        "SELECT 2",
        "SELECT 3",
    ]


@pytest.mark.parametrize(
    ("command", "seen"),
    [
        ("\\connect other", "the file runs in database shop"),
        ("\\c shop somebody", "as its owner"),
        ("\\! rm x", "\\! is a command of psql"),
        ("\\copy t from 'x'", "there is no file 'x'"),
        ("\\copy t to 'x'", "\\copy t to 'x'"),
        ("\\copy t from stdin", "\\copy t from stdin"),
        ("\\copy t from program 'ls'", "\\copy t from program"),
        ("\\copy t from shop.sql (encoding 'LATIN1')", "\\copy t from shop.sql"),
        ("\\i nosuch.sql", "there is no file 'nosuch.sql'"),
        ("\\if true", "\\if is a command"),
        ("SELECT 1 \\gexec", "\\gexec is a command"),
        ("CREATE DATABASE x;", "CREATE DATABASE"),
        ("COPY t TO STDOUT;", "nobody reads"),
        ("\\i shop.sql", "includes itself"),
    ],
)
def test_what_cannot_be_run_is_refused_by_line(tmp_path: Path, command: str, seen: str) -> None:
    with pytest.raises(SqlFileRefused) as refusal:
        read(tmp_path, f"CREATE TABLE t ();\n\n{command}\n")
    assert refusal.value.details["file"].endswith("shop.sql:3")
    assert seen in refusal.value.details["seen"]


def test_files_are_included_relative_to_the_first_one_and_to_their_own(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.sql").write_text("SELECT 'a';\n\\ir b.sql\n\\i 'parts/c d.sql'\n")
    (tmp_path / "parts" / "b.sql").write_text("SELECT 'b';\n\\q\nSELECT 'never';")
    (tmp_path / "parts" / "c d.sql").write_bytes(b"\xef\xbb\xbfSELECT 'c';")
    found = read(tmp_path, "\\i parts/a.sql\nSELECT 'd';")
    assert [(one.path.name, one.text) for one in found] == [
        ("a.sql", "SELECT 'a'"),
        ("b.sql", "SELECT 'b'"),
        ("c d.sql", "SELECT 'c'"),
        ("shop.sql", "SELECT 'd'"),
    ]


@pytest.mark.parametrize(
    ("command", "statement"),
    [
        ("\\copy t FROM 'rows.csv' WITH (FORMAT csv)", "COPY t FROM STDIN WITH (FORMAT csv)"),
        (
            '\\copy public."from x" (a, "from") from rows.csv csv header',
            'COPY public."from x" (a, "from") FROM STDIN csv header',
        ),
    ],
)
def test_copy_of_psql_sends_the_rows_of_its_file(tmp_path: Path, command: str, statement: str) -> None:
    (tmp_path / "rows.csv").write_bytes("\ufeff1;ä\n".encode())
    [copy] = read(tmp_path, f"{command}\n")
    assert (copy.text, copy.data, copy.data_path) == (statement, "1;ä\n", tmp_path / "rows.csv")


def test_variables_are_put_in_as_psql_does(tmp_path: Path) -> None:
    sql = "\\set n 3\n\\set who 'O''Hara'\n\\set tab my table\nSELECT :n, :'who', :\"tab\", x[1:m], ':n', :other, a::n;"
    [select] = read(tmp_path, sql)
    assert select.text == "SELECT 3, 'O''Hara', \"mytable\", x[1:m], ':n', :other, a::n"


def test_lines_about_roles_of_another_server_can_be_left_out(tmp_path: Path) -> None:
    sql = (
        "CREATE TABLE t ();\nALTER TABLE public.t OWNER TO somebody;\nGRANT SELECT ON TABLE t TO app;\n"
        "REVOKE ALL ON t FROM public;\nALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b;\n"
        "SET SESSION AUTHORIZATION 'somebody';\nSET ROLE x;\nALTER TABLE t ADD COLUMN owner int;\n"
    )
    assert [one.text for one in read(tmp_path, sql, skip_owners=True)] == [
        "CREATE TABLE t ()",
        "ALTER TABLE t ADD COLUMN owner int",
    ]
    assert len(read(tmp_path, sql)) == 8


def test_a_command_inside_a_statement_is_no_part_of_it(tmp_path: Path) -> None:
    found = read(tmp_path, "\\set n 1\nSELECT :n,\n\\echo half\n  :'n' AS x,\n\\set n 2\n :n\\g\nSELECT 3;")
    assert [" ".join(one.text.split()) for one in found] == ["SELECT 1, '1' AS x, 2", "SELECT 3"]


def test_an_error_shows_no_string_of_a_statement() -> None:
    [role] = scan(Path("t.sql"), "CREATE ROLE a LOGIN\n PASSWORD 'hunter2' VALID UNTIL 'x';", {})
    assert isinstance(role, Statement)
    assert role.shown == "CREATE ROLE a LOGIN PASSWORD '...' VALID UNTIL '...'"


def test_a_command_keeps_its_line_and_words() -> None:
    [command] = scan(Path("t.sql"), "\n\n  \\set a 'b c' \\\\", {})
    assert command == Command(3, "set", "a 'b c'")
