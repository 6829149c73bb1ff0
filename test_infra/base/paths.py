"""Where state lives, how it is written, and how paths are joined."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import platformdirs

from test_infra.base.errors import UsageError

HOME_VARIABLE = "TEST_INFRA_HOME"
STACK_VARIABLE = "TEST_INFRA_STACK"


def home() -> Path:
    """State of this user: ``$TEST_INFRA_HOME`` or the platform's data folder. Created 0700."""
    configured = os.environ.get(HOME_VARIABLE)
    path = Path(configured).expanduser() if configured else platformdirs.user_data_path("test_infra")
    return private_dir(path.absolute())


def cache() -> Path:
    """Downloads and prepared data that all stacks of this user share."""
    return private_dir(platformdirs.user_cache_path("test_infra"))


def reachable_root() -> Path:
    """A folder that an unprivileged service user can reach, even when the home is 0700.

    Root's services drop to another user, who cannot pass through a 0700 home; so root keeps their data in a 0711
    folder outside any home, and everybody else keeps it in their own home.
    """
    if os.geteuid() != 0:
        return private_dir(home() / "services")
    place = hashlib.sha256(str(home()).encode()).hexdigest()[:8]
    root = Path("/var/lib/test_infra")
    for folder in (root, root / place):
        folder.mkdir(mode=0o711, exist_ok=True)
        folder.chmod(0o711)
    return root / place


def private_dir(path: Path) -> Path:
    """Create ``path`` and its parents; ``path`` itself is 0700."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def safe_join(root: Path, *parts: str) -> Path:
    """``root/parts``, which is below ``root`` for certain.

    Raises:
        UsageError: the result, with links followed, would leave ``root``.
    """
    base = root.resolve()
    joined = base.joinpath(*parts).resolve()
    if not joined.is_relative_to(base) or joined == base:
        raise UsageError(f"path {'/'.join(parts)!r} leaves its folder", details={"folder": str(root)})
    return joined


def write_private(path: Path, text: str) -> None:
    """Replace a file whole or not at all: temporary file, fsync, rename. Mode 0600."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def move_into_place(made: Path, target: Path) -> None:
    """Give a finished folder its name in a cache; where another process was first, its folder stays.

    Raises:
        OSError: the move failed and there is no ``target`` either.
    """
    try:
        made.rename(target)
    except OSError:
        if not target.exists():
            raise
