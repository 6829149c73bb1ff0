"""Names that are safe as a path, a label, a slot, a topic and a host name."""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

from test_infra.base.errors import UsageError

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?")


def slug(text: str, *, what: str = "name") -> str:
    """``text`` itself when it is safe as a file name, label and identifier.

    Raises:
        UsageError: anything but 1-40 of ``a-z 0-9 _ -``, beginning and ending with a letter or digit.
    """
    if not _SLUG.fullmatch(text):
        raise UsageError(
            f"{what} {text!r} cannot be used",
            details={"allowed": "1-40 of a-z, 0-9, _ and -, beginning and ending with a letter or digit"},
        )
    return text


def stack_id_of(project_root: Path) -> str:
    """The default stack id of a checkout: the same checkout always gets the same stack."""
    return hashlib.sha256(str(project_root.resolve()).encode()).hexdigest()[:8]


def token(length: int = 32) -> str:
    """A random password or token, letters and digits only, so that it needs no quoting anywhere."""
    return secrets.token_hex(length // 2)
