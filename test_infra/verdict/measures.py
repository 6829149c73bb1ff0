"""Measurements of a run in a bounded form: how they are spread, and how they went over time."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from test_infra.base.document import Document

MOST_BINS = 200
MOST_BUCKETS = 240

_Figure = Annotated[float, Field(allow_inf_nan=False)]


class Histogram(Document):
    """How many durations lay in which range.

    Args:
        name: what was measured, such as ``commit_to_mirror``.
        edges_s: ends of the bins, ascending, seconds; the last bin also holds everything above it.
        counts: one for each bin, so one less than there are edges.
    """

    name: str
    edges_s: tuple[_Figure, ...] = Field(min_length=2, max_length=MOST_BINS + 1)
    counts: tuple[int, ...] = Field(min_length=1, max_length=MOST_BINS)

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len(self.counts) != len(self.edges_s) - 1:
            raise ValueError("a histogram has one count less than it has edges")
        return self


class Series(Document):
    """Figures over time, one for each bucket of equal length.

    Args:
        name: what was measured, such as ``lag``.
        starts_at: when the first bucket begins.
        bucket_s: length of each bucket, seconds.
        values: figure -> value in each bucket; None where there was nothing to measure.
    """

    name: str
    starts_at: datetime
    bucket_s: float = Field(gt=0, allow_inf_nan=False)
    values: dict[str, Annotated[tuple[_Figure | None, ...], Field(max_length=MOST_BUCKETS)]]

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if len({len(row) for row in self.values.values()}) > 1:
            raise ValueError("all figures of a series have the same number of buckets")
        return self

    @property
    def buckets(self) -> int:
        """How many buckets there are."""
        return max((len(row) for row in self.values.values()), default=0)


def added(histograms: Iterable[Histogram]) -> dict[str, Histogram]:
    """Histograms of one name as one: name -> the sum of those that share the edges of the first."""
    sums: dict[str, Histogram] = {}
    for item in histograms:
        known = sums.get(item.name)
        if known is None:
            sums[item.name] = item
        elif known.edges_s == item.edges_s:
            counts = tuple(one + other for one, other in zip(known.counts, item.counts, strict=True))
            sums[item.name] = known.model_copy(update={"counts": counts})
    return sums


def bucket_s(span_s: float, buckets: int) -> float:
    """The shortest length of 1, 2 or 5 times a power of ten, at least 0.1 s, of which ``buckets`` cover the span."""
    length = 0.1
    for factor in _ONE_TWO_FIVE * 9:
        if span_s / length < buckets:
            break
        length *= factor
    return round(length, 3)


_ONE_TWO_FIVE = (2.0, 2.5, 2.0)


def series(name: str, starts_at: datetime, length_s: float, buckets: Mapping[int, Mapping[str, float]]) -> Series:
    """A series from the buckets in which something was measured.

    Args:
        name: what was measured.
        starts_at: when bucket 0 begins.
        length_s: of each bucket, seconds.
        buckets: place of the bucket -> figure -> value.
    """
    figures = list(dict.fromkeys(figure for row in buckets.values() for figure in row))
    places = range(min(max(buckets, default=-1) + 1, MOST_BUCKETS))
    return Series(
        name=name,
        starts_at=starts_at,
        bucket_s=length_s,
        values={figure: tuple(buckets.get(place, {}).get(figure) for place in places) for figure in figures},
    )
