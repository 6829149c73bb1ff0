"""Exit codes of the commands. Documented in docs/when-it-is-red.md."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    GREEN = 0
    RED = 1
    """A gate or a test failed; LAG and UNKNOWN are failures too."""
    USAGE = 2
    """A wrong option, an unknown name, a document that is refused."""
    INFRASTRUCTURE = 3
    """The stack, or a part of it, could not be made or reached; also an unexpected fault of test-infra."""
    INTERRUPTED = 130
    """Ctrl-C, SIGTERM or a closed terminal."""
