"""Tables that real Spark writes now, read by us; unit/cdc/lake/test_reading.py reads what it wrote once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from test_infra.cdc.lake.open import open_table
from test_infra.cdc.lake.table import TableUnreadable
from test_infra_tests.unit.cdc.lake.spark_rows import REFUSED, as_json, expected
from test_infra_tests.unit.cdc.lake.spark_tables import TABLES

WRITTEN_WITHIN_S = 540


@pytest.mark.ci(reason="Spark writes every kind of table anew; unit/cdc/lake reads what it wrote once")
@pytest.mark.timeout(WRITTEN_WITHIN_S + 60)
def test_what_spark_writes_is_read_as_spark_reads_it_or_refused_by_name(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "test_infra_tests.unit.cdc.lake.spark_tables", str(tmp_path)]
    subprocess.run(command, check=True, timeout=WRITTEN_WITHIN_S)
    for name in TABLES:
        table = open_table(tmp_path / name)
        if feature := REFUSED.get(name):
            with pytest.raises(TableUnreadable, match=feature):
                table.rows()
        else:
            assert as_json(table.rows().read_all()) == expected(tmp_path, name), name
