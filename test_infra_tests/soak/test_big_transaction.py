"""One transaction of a million rows, and what follows it, through the real pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from test_infra.base.deadline import Deadline
from test_infra.cdc import connector, lake, offsets, parity
from test_infra.cdc.pipeline import PipelineFolders, PipelineSpec, SourceSpec
from test_infra.cdc.sources.postgres import connect, prepare
from test_infra.cdc.stream import control
from test_infra.stack import AttachedLease, Stack, StackSpec, down, up

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

STACK = "soakbig"
ROWS = 1_000_000


@pytest.fixture(scope="module")
def running(test_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, PipelineSpec]]:
    ddl = tmp_path_factory.mktemp("ddl") / "tables.sql"
    ddl.write_text("CREATE TABLE big (id bigint PRIMARY KEY, v text, w text)")
    spec = PipelineSpec(name="big", tables=["big"], source=SourceSpec(ddl=ddl), load=None)
    stack = up(StackSpec(), stack_id=STACK, lease=AttachedLease())
    try:
        schemas = prepare(stack, spec)
        connector.create(stack, spec, schemas)
        control.submit(stack, spec, schemas)
        control.wait_running(stack, spec, Deadline(120))
        yield stack, spec
    finally:
        down(STACK)


def test_a_million_rows_of_one_transaction_arrive_exactly(running: tuple[Stack, PipelineSpec]) -> None:
    stack, spec = running
    with connect(stack.endpoint("postgres"), "owner") as session:
        with session.transaction():
            session.execute(f"INSERT INTO big SELECT n, md5(n::text), 'a' FROM generate_series(1, {ROWS}) n")
            session.execute("UPDATE big SET w = 'b' WHERE id % 10 = 0")
            session.execute("DELETE FROM big WHERE id % 100 = 0")
        (found,) = parity.check(stack, spec, timeout_s=600).tables.values()
        assert found.green, found
        assert found.source_rows == ROWS - ROWS // 100
        account = offsets.account(stack, spec, "big", timeout_s=600)
        assert account.green, account
        assert account.counts["change"] == ROWS + ROWS // 10 + ROWS // 100
        # A second witness, which shares nothing with parity: one sum over the rows of each side.
        expected = session.execute("SELECT count(*), sum(id), count(*) FILTER (WHERE w = 'b') FROM big").fetchone()
    rows = lake.dataset(PipelineFolders(stack.dir, spec.name).mirror("big")).to_table(["id", "w"])
    ids, changed = rows["id"].to_pylist(), rows["w"].to_pylist()
    assert (len(ids), sum(ids), changed.count("b")) == expected
