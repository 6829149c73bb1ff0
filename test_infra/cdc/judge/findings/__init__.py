"""What the judging functions of `cdc` found out, as findings: a sentence first, then the numbers, then the rows."""

from test_infra.cdc.judge.findings.comparison import parity
from test_infra.cdc.judge.findings.pattern import of_pattern
from test_infra.cdc.judge.findings.running import connector, continuity, load, quarantine, stream
from test_infra.cdc.judge.findings.tables import lag, offsets, witness
from test_infra.cdc.judge.findings.words import MOST_ROWS

__all__ = [
    "MOST_ROWS",
    "connector",
    "continuity",
    "lag",
    "load",
    "of_pattern",
    "offsets",
    "parity",
    "quarantine",
    "stream",
    "witness",
]
