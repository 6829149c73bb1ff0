"""How a process of ours logs: to stderr, with secrets masked."""

from __future__ import annotations

import logging

from test_infra.base.redaction import RedactingFilter

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_to_stderr(*quiet: str) -> None:
    """Log from INFO on to stderr, each record redacted; called once, by a process's ``main``.

    Args:
        quiet: loggers of libraries that log from WARNING on only.
    """
    handler = logging.StreamHandler()
    handler.addFilter(RedactingFilter())
    logging.basicConfig(level=logging.INFO, format=FORMAT, handlers=[handler])
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)
