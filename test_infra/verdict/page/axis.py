"""Axes: where a value lies between the ends of a chart, in percent, and where its marks are."""

import math
from dataclasses import dataclass

from test_infra.verdict.page.words import number

_NICE = (1.0, 2.0, 5.0)
_UNITS = ((3_600.0, "h"), (60.0, "min"), (0.0, "s"))
_STEPS_S = (30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis.

    Args:
        at: percent of the axis.
        label: what is written there.
    """

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A scale from ``low`` to ``high``; logarithmic ones show durations.

    Args:
        ticks: marks, ascending.
    """

    low: float
    high: float
    ticks: tuple[Tick, ...]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Percent of the axis, between 0 and 100."""
        return _share(value, self.low, self.high, logarithmic=self.logarithmic)


def durations(shortest_s: float, longest_s: float) -> Axis:
    """A logarithmic axis of whole decades around the given durations, seconds."""
    first = math.floor(math.log10(max(shortest_s, 1e-3)) + 1e-9)
    last = max(math.ceil(math.log10(max(longest_s, 1e-3)) - 1e-9), first + 1)
    low, high = 10.0**first, 10.0**last
    marks = [10.0**exponent for exponent in range(first, last + 1)]
    ticks = tuple(Tick(_share(mark, low, high, logarithmic=True), _decade(mark)) for mark in marks)
    return Axis(low, high, ticks, logarithmic=True)


def counts(highest: float, marks: int = 2) -> Axis:
    """A linear axis from 0 that ends at a round number of at least ``highest``."""
    step = _step(max(highest, 1e-9), marks)
    high = step * math.ceil(max(highest, 1e-9) / step - 1e-9)
    values = [step * place for place in range(round(high / step) + 1)]
    return Axis(0.0, high, tuple(Tick(_share(value, 0, high), number(value)) for value in values))


def times(first_s: float, last_s: float, marks: int = 6) -> Axis:
    """A linear axis of seconds since the run began, which may begin before it."""
    last_s = max(last_s, first_s + 1e-3)
    step = _step_of_time(last_s - first_s, marks)
    place = math.ceil(first_s / step - 1e-9)
    ticks = []
    while place * step <= last_s + 1e-9:
        value = place * step
        ticks.append(Tick(_share(value, first_s, last_s), _moment(value, step)))
        place += 1
    return Axis(first_s, last_s, tuple(ticks))


def _moment(value_s: float, step_s: float) -> str:
    """All marks of an axis in one unit: hours, minutes or seconds."""
    unit_s, unit = next((size, name) for size, name in _UNITS if not size or step_s % size == 0)
    shown = value_s / unit_s if unit_s else value_s
    return f"{number(round(shown, 3))} {unit}".replace("-", "\u2212")


def _decade(value_s: float) -> str:
    return f"{number(round(value_s * 1_000))} ms" if value_s < 0.9 else f"{number(round(value_s))} s"


def _step(span: float, marks: int) -> float:
    """The round distance at which about so many marks lie."""
    wanted = span / marks
    power = 10.0 ** math.floor(math.log10(wanted))
    return next((factor * power for factor in _NICE if factor * power >= wanted - 1e-12), 10 * power)


def _step_of_time(span_s: float, marks: int) -> float:
    """The same, in whole parts of minutes, hours and days where the span is of their size."""
    wanted = span_s / marks
    return next((float(step) for step in _STEPS_S if 20 < wanted <= step), 0.0) or _step(span_s, marks)


def _share(value: float, low: float, high: float, *, logarithmic: bool = False) -> float:
    if logarithmic:
        value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
    return round(100 * min(max((value - low) / (high - low), 0.0), 1.0), 3)
