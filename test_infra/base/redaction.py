"""Secrets never reach an output: known values are replaced, passwords in URLs are masked.

Text is redacted as text, and a document value by value before it is written: what is replaced in the text of a document
could be one of its quotes.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "********"
_URL_PASSWORD = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://[^\s:/@\"]+):[^\s@\"]+@", re.IGNORECASE)
_SECRETS_NAME = r"[\w.-]*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key)"
_KEYWORD = re.compile(
    rf"""(?P<key>\b{_SECRETS_NAME}\b(?P<quote>["']?)\s*[=:]\s*)"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?:null|true|false)\b|[^\s"',;{}\[\]&]+)""",
    re.IGNORECASE,
)
_LABEL = re.compile(_SECRETS_NAME, re.IGNORECASE)


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
        return _KEYWORD.sub(_masked, text)

    def document(self, value: Any) -> Any:
        """A document with every secret in it masked, and made of nothing but what JSON can hold.

        Labels, numbers and whatever lies deeper are kept, so that a table may be called ``password``. A text under
        such a label is masked.
        """
        return self._value(value, labelled=False)

    def fields(self, value: Any) -> Any:
        """A document that is read back by its labels, with the secrets in its texts masked.

        Labels and numbers are ours and stay, also where somebody's password is ``unknown`` or ``1000``.
        """
        if isinstance(value, Mapping):
            return {label: self.fields(item) for label, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.fields(item) for item in value]
        return self(value) if isinstance(value, str) else value

    def _value(self, value: Any, *, labelled: bool) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple | set | frozenset):
            return [self._value(item, labelled=labelled) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        if value is None or isinstance(value, bool | int | float):
            return MASK if str(value) in self._secrets else value
        text = str(value)
        return MASK if labelled and text else self(text)

    def _mapping(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for label, item in value.items():
            name = self(str(label))
            while name in shown:  # two labels that are secrets: neither hides the other
                name += "*"
            shown[name] = self._value(item, labelled=_LABEL.fullmatch(str(label)) is not None)
        return shown


def _masked(found: re.Match[str]) -> str:
    """The secret of a ``key=value`` replaced, in the quotes that it has, or that JSON needs."""
    value = found["value"]
    if value.lower() in {"null", "true", "false"}:
        return found[0]
    quote = value[0] if value[0] in "\"'" else found["quote"]
    return f"{found['key']}{quote}{MASK}{quote}"


redact = Redactor()
"""The redactor of this process; code that reads a secret calls ``redact.learn`` with it."""


class RedactingFilter(logging.Filter):
    """Masks secrets in log records; every handler of ours has it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the finished message; never drops a record."""
        record.msg = redact(record.getMessage())
        record.args = ()
        return True
