"""Types that the embedded PostgreSQL lacks, on Debian's where it is installed: refused by name."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from test_infra.base.errors import UsageError
from test_infra.cdc.sources.postgres.catalogue import table_problems, tables
from test_infra.cdc.sources.postgres.publication import faults
from test_infra.cdc.sources.postgres.server_checks import server_findings
from test_infra.cdc.types.table_id import CapturedTable, TableId
from test_infra.stack.ports import free_ports
from test_infra.stack.service import unprivileged_user
from test_infra_tests.conftest import OPTIONAL

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture(scope="module")
def debian() -> Iterator[psycopg.Connection]:
    """A superuser's session with a PostgreSQL of Debian's, on a cluster of its own."""
    if not INSTALLED:
        pytest.skip(f"{OPTIONAL}Debian's PostgreSQL is not installed (apt-get install postgresql)")
    programs, user = INSTALLED[-1].parent, unprivileged_user()
    (port,) = free_ports(1)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs / program), *arguments],
            check=True,
            capture_output=True,
            timeout=60,
            cwd="/",
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
        )

    with tempfile.TemporaryDirectory(prefix="ti-debian-") as folder:
        if user is not None:
            os.chown(folder, user.uid, user.gid)
        data = f"{folder}/data"
        run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        run("pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            with psycopg.connect(host="127.0.0.1", port=port, user="postgres", autocommit=True) as session:
                yield session
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


@pytest.mark.parametrize("declared", ["xml", "hstore", "citext", "ltree", "hstore[]"])
def test_a_type_of_an_extension_is_refused_by_name(debian: psycopg.Connection, declared: str) -> None:
    if declared != "xml":
        debian.execute(f"CREATE EXTENSION IF NOT EXISTS {declared.removesuffix('[]')}".encode())
    debian.execute("DROP TABLE IF EXISTS t")
    debian.execute(f"CREATE TABLE t (id int PRIMARY KEY, c {declared})".encode())
    with pytest.raises(UsageError) as refused:
        tables(debian, [CapturedTable(TableId("public", "t", "t"))])
    assert f"table public.t: column c of type {declared}" in refused.value.what
    assert refused.value.hint


def test_an_older_server_is_looked_at_by_the_same_queries(debian: psycopg.Connection) -> None:
    debian.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (id int PRIMARY KEY, at timestamptz)")
    debian.execute("DROP PUBLICATION IF EXISTS p; CREATE PUBLICATION p FOR TABLE t WITH (publish = 'insert')")
    captured = [CapturedTable(TableId("public", "t", "t"))]

    (found,) = server_findings(debian, "no_slot_yet", "postgres")
    assert "wal_level=replica" in found.problem.what
    assert table_problems(debian, captured) == {captured[0].id: []}
    assert "publication p does not publish update" in faults(debian, "p", captured)
