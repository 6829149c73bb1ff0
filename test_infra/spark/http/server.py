"""``python -m test_infra.spark.http.server STACK_ID PORT TOKEN_FILE``: the gateway service's process.

It may be killed at any moment: all it knows stands in the record of jobs.
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

LOOK_EVERY_S = 0.5
log = logging.getLogger("test_infra.gateway")


def main(argv: list[str]) -> int:
    """Serve until SIGTERM."""
    stack_id, port, token_file = argv
    log_to_stderr()
    token = Path(token_file).read_text()
    redact.learn(token)
    stack = attach_from_within(stack_id)
    gateway = SparkGateway(stack)
    threading.Thread(target=_look, args=(gateway,), daemon=True, name="look").start()
    app = api(gateway, ConnectServers(stack, gateway), stack_id=stack.id, token=token)
    # A stop ends streams of followed logs; the followers go on from their offset.
    uvicorn.run(app, host=LOOPBACK, port=int(port), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    return 0


def _look(gateway: SparkGateway) -> None:
    """Have jobs move on though nobody asks for them."""
    while True:
        try:
            gateway.look()
        except Exception:
            log.exception("looking at the jobs failed; tried again")
        threading.Event().wait(LOOK_EVERY_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
