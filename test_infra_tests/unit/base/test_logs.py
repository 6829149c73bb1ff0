"""Logging of a process of ours, in a process of its own: the set-up is global."""

from __future__ import annotations

import subprocess
import sys

LOGS = """
import logging
from test_infra.base.logs import log_to_stderr
from test_infra.base.redaction import redact
log_to_stderr("kafka")
redact.learn("canary-secret")
log = logging.getLogger("ours")
log.info("told %s and password=%s", "canary-secret", "other-secret")
log.debug("not told")
logging.getLogger("kafka").info("chatter")
logging.getLogger("kafka").warning("trouble")
"""


def test_records_are_redacted_and_quiet_loggers_tell_warnings_only() -> None:
    lines = subprocess.run(
        [sys.executable, "-c", LOGS], capture_output=True, text=True, check=True
    ).stderr.splitlines()  # fmt: skip
    assert [line.split(" ", 2)[2] for line in lines] == [
        "INFO ours: told ******** and password=********",
        "WARNING kafka: trouble",
    ]
