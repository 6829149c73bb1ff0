"""Charts of the report as geometry in percent of the plot: the template draws them as inline SVG."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from test_infra.verdict.measures import Histogram, Series, added
from test_infra.verdict.page import axis
from test_infra.verdict.page.axis import Axis
from test_infra.verdict.page.words import elapsed_s, number, seconds
from test_infra.verdict.result import Result

HOPS = {"commit_to_kafka": "Kafka", "commit_to_changes": "change log", "commit_to_mirror": "mirror"}
"""Places on the way of a change, as the evidence of the lag gate names them, and for a reader."""
OUTCOMES = {"ok": "committed", "failed": "rolled back", "unknown": "unknown"}
LAG, LOAD = "lag", "load"


@dataclass(frozen=True)
class Bar:
    """A rectangle; percent of the plot, ``y`` from its top. ``title`` is shown on hovering."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Line:
    """A broken line: each piece is a list of points as SVG takes it; gaps are where nothing was measured."""

    label: str
    css: str
    pieces: tuple[str, ...]
    dots: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Plot:
    """One plot.

    Args:
        title: what it shows.
        css: class that gives its colour.
        across: the axis from left to right.
        up: the axis from bottom to top.
        bars: rectangles.
        lines: broken lines.
        limits: label -> height at which a threshold lies, percent from the top.
        note: the figures in words.
    """

    title: str
    css: str
    across: Axis
    up: Axis
    bars: tuple[Bar, ...] = ()
    lines: tuple[Line, ...] = ()
    limits: dict[str, float] = field(default_factory=dict)
    note: str = ""


def lag_histograms(result: Result) -> list[Plot]:
    """One histogram a hop, over all tables and on one axis of time; empty when no lag was measured."""
    found = added(
        item
        for gate in result.gates
        if gate.evidence is not None
        for item in gate.evidence.histograms
        if item.name in HOPS
    )
    filled = {name: found[name] for name in HOPS if name in found and any(found[name].counts)}
    if not filled:
        return []
    ends = [end for item in filled.values() for end in _filled_ends(item)]
    across = axis.durations(min(ends), max(ends))
    return [_histogram(HOPS[name], name, item, across) for name, item in filled.items()]


def _filled_ends(histogram: Histogram) -> Iterable[float]:
    for place, count in enumerate(histogram.counts):
        if count:
            yield from histogram.edges_s[place : place + 2]


def _histogram(title: str, css: str, histogram: Histogram, across: Axis) -> Plot:
    total = sum(histogram.counts)
    up = axis.counts(100 * max(histogram.counts) / total)
    bars = []
    for place, count in enumerate(histogram.counts):
        if count:
            low, high = histogram.edges_s[place : place + 2]
            left, right, top = across.at(low), across.at(high), up.at(100 * count / total)
            title_of_bar = f"{seconds(low)} to {seconds(high)}: {number(count)} changes, {100 * count / total:.2g} %"
            bars.append(Bar(left, 100 - top, max(right - left, 0.3), top, title_of_bar))
    return Plot(title, css, across, up, tuple(bars))


def lag_over_time(result: Result) -> Plot | None:
    """The 95th percentile at each hop, at each time that of the slowest table; None when no lag was measured."""
    found = _series(result, LAG)
    if not found:
        return None
    rows = {hop: _slowest(found, result.started_at, f"{hop}_p95_s") for hop in HOPS}
    values = [value for row in rows.values() for _, value in row if value is not None]
    if not values:
        return None
    limits = _limits(result)
    across = _time_axis(found, result.started_at)
    up = axis.durations(min(values), max([*values, *limits.values()]))
    lines = tuple(_line(HOPS[hop], hop, row, across, up) for hop, row in rows.items())
    return Plot(
        "lag at p95 of the slowest table, by time of commit",
        LAG,
        across,
        up,
        lines=lines,
        limits={label: 100 - up.at(limit) for label, limit in limits.items()},
    )


def _limits(result: Result) -> dict[str, float]:
    """Thresholds that the lag gates were judged by, the strictest of each."""
    found: dict[str, float] = {}
    for gate in result.gates:
        for label, text in (gate.evidence.details if gate.evidence else {}).items():
            if label == "threshold mirror_p95_s":
                limit = float(text)
                name = "allowed for the mirror"
                found[name] = min(limit, found.get(name, limit))
    return found


def _slowest(found: Sequence[Series], zero: datetime, figure: str) -> list[tuple[float, float | None]]:
    """Seconds since the run began -> the largest value of any series, on the coarsest of their buckets."""
    length_s = max(item.bucket_s for item in found)
    first_s = min(elapsed_s(zero, item.starts_at) for item in found)
    rows: dict[int, float] = {}
    for item in found:
        for place, value in enumerate(item.values.get(figure, ())):
            if value is not None:
                at_s = elapsed_s(zero, item.starts_at) + (place + 0.5) * item.bucket_s
                bucket = int((at_s - first_s) / length_s)
                rows[bucket] = max(value, rows.get(bucket, value))
    return [(first_s + (bucket + 0.5) * length_s, rows.get(bucket)) for bucket in range(max(rows, default=-1) + 1)]


def _line(label: str, css: str, row: Sequence[tuple[float, float | None]], across: Axis, up: Axis) -> Line:
    pieces: list[list[tuple[float, float]]] = [[]]
    for at_s, value in row:
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((across.at(at_s), round(100 - up.at(value), 3)))
    return Line(
        label,
        css,
        tuple(" ".join(f"{x},{y}" for x, y in piece) for piece in pieces if len(piece) > 1),
        tuple(piece[0] for piece in pieces if len(piece) == 1),
    )


def load_over_time(result: Result) -> list[Plot]:
    """Operations per second, one plot an outcome on one axis of time; empty when there was no load."""
    found = [pipeline.load for pipeline in result.pipelines if pipeline.load is not None]
    if not found:
        return []
    across = _time_axis(found, result.started_at)
    plots = []
    for outcome, title in OUTCOMES.items():
        total = sum(pipeline.outcomes.get(outcome, 0) for pipeline in result.pipelines)
        bars = [bar for item in found for bar in _load_bars(item, outcome, result.started_at)]
        up = axis.counts(max([rate for _, _, rate in bars], default=0.0) or 1.0)
        shown = tuple(
            Bar(
                across.at(start_s),
                100 - up.at(rate),
                max(across.at(start_s + length_s) - across.at(start_s), 0.2),
                up.at(rate),
                f"{seconds(start_s)} after the start: {number(round(rate, 1))} a second",
            )
            for start_s, length_s, rate in bars
            if rate
        )
        plots.append(Plot(title, f"load_{outcome}", across, up, bars=shown, note=number(total)))
    return plots


def _load_bars(item: Series, outcome: str, zero: datetime) -> list[tuple[float, float, float]]:
    first_s = elapsed_s(zero, item.starts_at)
    return [
        (first_s + place * item.bucket_s, item.bucket_s, (value or 0.0) / item.bucket_s)
        for place, value in enumerate(item.values.get(outcome, ()))
    ]


def _series(result: Result, name: str) -> list[Series]:
    return [item for gate in result.gates if gate.evidence for item in gate.evidence.series if item.name == name]


def _time_axis(found: Sequence[Series], zero: datetime) -> Axis:
    """From the first bucket to the end of the last, in seconds since the start of the run."""
    starts = [elapsed_s(zero, item.starts_at) for item in found]
    return axis.times(
        min(starts), max(start + item.bucket_s * item.buckets for start, item in zip(starts, found, strict=True))
    )
