"""Evidence: what a gate leaves behind, written before it raises."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import quote

from pydantic import ConfigDict, ValidationError

from test_infra.base.document import Document
from test_infra.base.paths import private_dir, write_private
from test_infra.base.redaction import redact
from test_infra.verdict.measures import Histogram, Series

FOLDER = "evidence"
LONGEST_FILE_NAME = 180
FROM_CHARACTER = "from character"
"""Column of a differing row: where its shown piece begins in the whole value, counted from 1; absent at its begin."""


class Outcome(StrEnum):
    """How a gate ended. Everything but PASSED is red."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


class Finding(Document):
    """What a judging function found out about one asset.

    A number that is not finite is refused: a lag of NaN is no measurement.

    Args:
        outcome: passed, failed, or unknown.
        summary: one sentence for the person who must act.
        verdicts: the kinds of fault, such as ``MISSING`` or ``LAG``; empty when passed.
        numbers: name with unit -> value, such as ``mirror_p95_s``; plotted over time.
        rows: a table of what differs, one mapping of column -> text per row.
        details: label -> text that helps to look further, such as a log path.
        histograms: how the measurements behind the numbers are spread.
        series: how they went over time.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    outcome: Outcome
    summary: str
    verdicts: tuple[str, ...] = ()
    numbers: dict[str, float] = {}
    rows: tuple[dict[str, str], ...] = ()
    details: dict[str, str] = {}
    histograms: tuple[Histogram, ...] = ()
    series: tuple[Series, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether this is green."""
        return self.outcome is Outcome.PASSED

    def redacted(self) -> Self:
        """The same with every known secret masked."""
        return self.model_copy(
            update={
                "summary": redact(self.summary),
                "rows": tuple(_redacted(row) for row in self.rows),
                "details": _redacted(self.details),
            }
        )


class Evidence(Finding):
    """A finding with its gate, its asset and its time.

    Args:
        gate: name of the gate, such as ``parity``.
        asset: path of the asset the gate sits on, such as ``shop/mirror/orders``.
        started_at: when judging began.
        ended_at: when the verdict was there.
        promise: what the gate promises, what a failure means and where to look first.
    """

    gate: str
    asset: str
    started_at: datetime
    ended_at: datetime
    promise: str = ""

    @property
    def gate_id(self) -> str:
        """Asset and gate in one word, unique in a run."""
        return gate_id(self.asset, self.gate)


def gate_id(asset: str, gate: str) -> str:
    """Identity of a gate in a run, such as ``shop/mirror/orders:parity``."""
    return f"{asset}:{gate}"


def write(run_dir: Path, evidence: Evidence) -> Path:
    """Write evidence into the run's folder, atomically and secrets masked; replaces what the gate wrote before."""
    path = private_dir(run_dir / FOLDER) / _file_name(evidence.gate_id)
    write_private(path, evidence.redacted().model_dump_json(indent=1))
    return path


def read(run_dir: Path) -> list[Evidence]:
    """All evidence of a run that can be read, ordered by asset and gate.

    A file that cannot be read is no evidence: its gate then counts as missing, which is red.
    """
    found = []
    for path in sorted((run_dir / FOLDER).glob("*.json")):
        try:
            found.append(Evidence.model_validate_json(path.read_bytes()))
        except (ValidationError, OSError):
            continue
    return sorted(found, key=lambda evidence: (evidence.asset, evidence.gate))


def unknown(error: BaseException) -> Finding:
    """The finding of a gate that raised before it had a verdict."""
    text = redact(str(error)).strip() or type(error).__name__
    return Finding(
        outcome=Outcome.UNKNOWN,
        verdicts=("UNKNOWN",),
        summary=f"no verdict: {text.splitlines()[0]}",
        details={"error": f"{type(error).__name__}: {text}"},
    )


def _file_name(identity: str) -> str:
    readable = re.sub(r"%", "_", quote(identity, safe=""))[:LONGEST_FILE_NAME]
    return f"{readable}.{hashlib.sha256(identity.encode()).hexdigest()[:8]}.json"


def _redacted(texts: Mapping[str, str]) -> dict[str, str]:
    return {redact(label): redact(text) for label, text in texts.items()}
