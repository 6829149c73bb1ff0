"""One transaction of a million rows, and what follows it, through the real pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from test_infra.cdc.judge import offsets, parity
from test_infra.cdc.lake.open import open_table
from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec
from test_infra.cdc.sources.postgres import connect
from test_infra_tests.running import Running, running

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

ROWS = 1_000_000


@pytest.fixture(scope="module")
def pipeline(test_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    ddl = tmp_path_factory.mktemp("ddl") / "tables.sql"
    ddl.write_text("CREATE TABLE big (id bigint PRIMARY KEY, v text, w text)")
    spec = PipelineSpec(name="big", tables=["big"], source=SourceSpec(ddl=ddl), load=None)
    with running(Running, spec, "soakbig") as pipeline:
        yield pipeline


def test_a_million_rows_of_one_transaction_arrive_exactly(pipeline: Running) -> None:
    with connect(pipeline.stack.endpoint("postgres"), "owner") as session:
        with session.transaction():
            session.execute(f"INSERT INTO big SELECT n, md5(n::text), 'a' FROM generate_series(1, {ROWS}) n")
            session.execute("UPDATE big SET w = 'b' WHERE id % 10 = 0")
            session.execute("DELETE FROM big WHERE id % 100 = 0")
        (found,) = parity.check(pipeline.pipeline, timeout_s=600).tables.values()
        assert found.green, found
        assert found.source_rows == ROWS - ROWS // 100
        account = offsets.check(pipeline.pipeline, ["big"], timeout_s=600)["big"]
        assert account.green, account
        assert account.counts["change"] == ROWS + ROWS // 10 + ROWS // 100
        # A second witness, which shares nothing with parity: one sum over the rows of each side.
        expected = session.execute("SELECT count(*), sum(id), count(*) FILTER (WHERE w = 'b') FROM big").fetchone()
    rows = open_table(pipeline.folders.mirror("big")).dataset().to_table(["id", "w"])
    ids, changed = rows["id"].to_pylist(), rows["w"].to_pylist()
    assert (len(ids), sum(ids), changed.count("b")) == expected
