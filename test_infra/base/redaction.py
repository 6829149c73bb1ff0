"""Secrets never reach an output: known values are replaced, passwords in URLs are masked."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

MASK = "********"
_URL_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://[^\s:/@]+):[^\s@]+@", re.IGNORECASE)
_KEYWORD = re.compile(
    r"(?P<key>\b[\w.-]*(?:password|passwd|secret|token)\b[\"']?\s*[=:]\s*[\"']?)[^\s\"',;}&]+", re.IGNORECASE
)


class Redactor:
    """Replaces the secrets it was told of, and what looks like one, in any text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = {secret for secret in secrets if len(secret) >= 4}

    def learn(self, secret: str) -> None:
        """Mask this value from now on."""
        if len(secret) >= 4:
            self._secrets.add(secret)

    def __call__(self, text: str) -> str:
        """The text with every secret masked."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        text = _URL_PASSWORD.sub(rf"\g<scheme>:{MASK}@", text)
        return _KEYWORD.sub(rf"\g<key>{MASK}", text)


redact = Redactor()
"""The redactor of this process; code that reads a secret calls ``redact.learn`` with it."""


class RedactingFilter(logging.Filter):
    """Masks secrets in log records; every handler of ours has it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the finished message; never drops a record."""
        record.msg = redact(record.getMessage())
        record.args = ()
        return True
