"""``python -m test_infra.spark.http.server STACK_ID PORT TOKEN_FILE``: the gateway service's process.

It may be killed at any moment, because all its state is in the record of jobs.
"""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

import uvicorn

from test_infra.base.logs import log_to_stderr
from test_infra.base.redaction import redact
from test_infra.spark.gateway.connect_servers import ConnectServers
from test_infra.spark.gateway.gateway import SparkGateway
from test_infra.spark.http.api import api
from test_infra.stack import attach_from_within
from test_infra.stack.ports import LOOPBACK

ADVANCE_EVERY_S = 0.5
log = logging.getLogger("test_infra.gateway")


def main(argv: list[str]) -> int:
    """Serve until SIGTERM."""
    stack_id, port, token_file = argv
    log_to_stderr()
    token = Path(token_file).read_text()
    redact.learn(token)
    stack = attach_from_within(stack_id)
    gateway = SparkGateway(stack)
    threading.Thread(target=_advance, args=(gateway,), daemon=True, name="advance").start()
    app = api(gateway, ConnectServers(stack, gateway), stack_id=stack.id, token=token)
    # A stop ends the streams of followed logs; clients ask again from their offset.
    uvicorn.run(app, host=LOOPBACK, port=int(port), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    return 0


def _advance(gateway: SparkGateway) -> None:
    """Advance all jobs for ever, so that they go on while nobody asks for them."""
    while True:
        try:
            gateway.advance_all()
        except Exception:
            log.exception("the jobs could not be advanced; tried again")
        threading.Event().wait(ADVANCE_EVERY_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
