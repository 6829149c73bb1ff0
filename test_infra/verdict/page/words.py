"""Numbers, durations and texts as a reader wants them."""

from collections.abc import Callable
from datetime import datetime

NARROW_SPACE = "\u202f"
CONTROL_PICTURES = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)} | {0x7F: 0x2421}
"""Control characters are shown by their picture: raw they are invisible, or no HTML at all."""
INVISIBLE = dict.fromkeys((*range(128, 160), 8206, 8207, *range(8234, 8239), *range(8294, 8298)), 65533)
"""Characters that turn the direction of what follows, with which a text could lie about what it says."""


_DURATIONS: tuple[tuple[float, Callable[[float], str]], ...] = (
    (5e-7, lambda _: "0 s"),
    (0.0995, lambda value: f"{value * 1_000:.2g} ms"),
    (0.9995, lambda value: f"{value * 1_000:.0f} ms"),
    (9.995, lambda value: f"{value:.2f} s"),
    (99.95, lambda value: f"{value:.1f} s"),
)
"""Below the value -> how it is written."""


def number(value: float) -> str:
    """A number for reading: whole numbers with thousands apart, others with four significant digits."""
    if value == int(value):
        return f"{int(value):,}".replace(",", NARROW_SPACE)
    return f"{value:.4g}"


def seconds(value: float) -> str:
    """A duration in the unit a reader would choose, with two to three digits."""
    if value < 0:
        return f"\u2212{seconds(-value)}"
    for below, text in _DURATIONS:
        if value < below:
            return text(value)
    return _hours(value) if value >= 3_599.5 else _minutes(value)


def _minutes(value: float) -> str:
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def _hours(value: float) -> str:
    hours, minutes = divmod(round(value / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def elapsed_s(started_at: datetime, ended_at: datetime) -> float:
    """Seconds from one moment to another."""
    return (ended_at - started_at).total_seconds()


def visible(text: str) -> str:
    """The text with what cannot be seen made visible: control characters as pictures, lone surrogates and characters
    that turn the direction of writing as replacement characters.
    """
    shown = text.translate(CONTROL_PICTURES | INVISIBLE)
    return shown.encode("utf-8", "replace").decode()


def cut(text: str, most: int) -> str:
    """The beginning of a long text, and how much is left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]} \u2026 ({number(len(text) - most)} more characters)"
