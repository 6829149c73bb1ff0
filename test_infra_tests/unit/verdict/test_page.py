"""The page tells the verdict at one glance, whatever the run left behind, and nothing in it is alive."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_infra.verdict.evidence import Outcome
from test_infra.verdict.page import charts, headline
from test_infra.verdict.page.differences import differing_rows, place
from test_infra.verdict.page.render import html
from test_infra.verdict.page.timeline import timeline
from test_infra.verdict.page.words import seconds, visible
from test_infra.verdict.report import report, verdict_on
from test_infra.verdict.result import judge
from test_infra.verdict.run import RunRecord
from test_infra_tests.unit.verdict.runs import a_step, at, differing, found, lag, of_run, parity

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><style>body{display:none}",
    "{{ 7 * 7 }}{% for x in y %}",
    "javascript:alert(1)",
    "a\x00b\x1b[31mc\x7f\x85",
    "user\u202egnp.exe",
    "]]>--><!--",
    "Zoë 😀 \U0001f469\u200d\U0001f680",
)
_TAGS = """html head meta title style body header footer h1 h2 h3 p dl dt dd ul li div span code pre mark strong a table
thead tbody tr th td figure figcaption details summary svg g rect line polyline circle path"""
_ATTRIBUTES = """lang charset name content http-equiv class style id href title role aria-label aria-hidden data-label
open viewbox preserveaspectratio x y x1 x2 y1 y2 width height cx cy r d points fill stroke stroke-width stroke-linecap
stroke-linejoin"""
TAGS, ATTRIBUTES = frozenset(_TAGS.split()), frozenset(_ATTRIBUTES.split())


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in {"href", "src"}}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page_of(folder: Path) -> str:
    report(folder)
    return (folder / "report.html").read_text()


def assert_harmless(text: str) -> Page:
    page = Page(text)
    assert not page.open
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES
    assert all(link.startswith("#") for link in page.links)
    assert "url(" not in text
    assert "@import" not in text
    assert len(text.encode()) < 2_000_000
    return page


def test_a_green_run_at_one_glance(tmp_path: Path) -> None:
    result = report(of_run(tmp_path, parity(), parity("customers"), lag()))
    assert headline.first_fault(result) is None
    shown = {figure.label: figure for figure in headline.figures(result)}
    assert shown["rows proved equal"].value == "4\u202f000"
    assert shown["lag to the mirror, p95"].value == "200 ms"
    assert shown["gates passed"].value == "3 of 3"
    text = (tmp_path / "report.html").read_text()
    assert "Green: every gate passed" in text
    assert "seed 20261121" in text
    assert "/logs/driver.log" in text
    assert_harmless(text)


def test_rows_of_a_red_table_are_not_counted_as_proved(tmp_path: Path) -> None:
    result = report(of_run(tmp_path, parity(), parity("customers", outcome=Outcome.FAILED)))
    proved = headline.figures(result)[0]
    assert (proved.value, proved.note) == ("2\u202f000", "only 1 of 2 tables equal")


def test_what_failed_first_is_the_earliest_and_says_where_to_look(tmp_path: Path) -> None:
    late = parity(outcome=Outcome.FAILED, from_s=20, to_s=22)
    early = lag(outcome=Outcome.FAILED, summary="p95 is 9 s, allowed 5 s", from_s=20, to_s=21)
    fault = headline.first_fault(report(of_run(tmp_path, late, early)))
    assert fault is not None
    assert (fault.what, fault.seen, fault.look) == (
        "shop/mirror/orders lag",
        "p95 is 9 s, allowed 5 s",
        "Red: look at the log.",
    )


def test_a_failed_step_comes_before_the_gates_that_it_broke(tmp_path: Path) -> None:
    broken = a_step("shop__stream", 5, 8, exit_code=3, error="kafka is not usable\n  try: test-infra doctor")
    fault = headline.first_fault(report(of_run(tmp_path, parity(outcome=Outcome.UNKNOWN), steps=(broken,))))
    assert fault is not None
    assert fault.what == "step shop__stream failed"
    assert "test-infra doctor" in (tmp_path / "report.html").read_text()


def test_a_service_that_died_failed_when_it_died_not_when_its_gate_looked(tmp_path: Path) -> None:
    died = found(
        "service_stability",
        "stack/kafka",
        from_s=38,
        to_s=39,
        outcome=Outcome.FAILED,
        rows=({"time": at(15).isoformat(), "event": "ended", "detail": "killed by SIGKILL"},),
    )
    fault = headline.first_fault(report(of_run(tmp_path, lag(outcome=Outcome.FAILED), died)))
    assert fault is not None
    assert (fault.what, fault.after) == ("stack/kafka service_stability", "15.0 s")


def test_a_stream_that_does_not_run_explains_what_is_late(tmp_path: Path) -> None:
    late = lag(outcome=Outcome.FAILED, verdicts=("LAG",), from_s=20, to_s=21)
    others = [parity(f"t{number}", outcome=Outcome.FAILED, verdicts=("LAG",)) for number in range(5)]
    gone = found("stream", "shop/stream", from_s=30, to_s=31, outcome=Outcome.FAILED, verdicts=("NOT RUNNING",))
    fault = headline.first_fault(report(of_run(tmp_path, late, gone, *others)))
    assert fault is not None
    assert fault.what == "shop/stream stream"
    opened = re.findall(r'id="([^"]+)" open', (tmp_path / "report.html").read_text())
    assert opened == ["shop/stream:stream"]


def test_a_run_that_left_nothing_is_red_and_readable(tmp_path: Path) -> None:
    folder = of_run(tmp_path, expected=("shop/mirror/orders:parity",))
    for name in ("services.json", "pipelines.json"):
        (folder / name).unlink()
    text = page_of(folder)
    assert "MISSING EVALUATION" in text
    assert_harmless(text)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_texts_are_shown_and_never_alive(tmp_path: Path, hostile: str) -> None:
    rows = (differing(hostile, hostile[::-1], hostile, f"id={hostile}"),)
    red = parity(
        hostile, outcome=Outcome.FAILED, summary=hostile, verdicts=(hostile,), rows=rows, details={hostile: hostile}
    )
    other = found(hostile, hostile, outcome=Outcome.FAILED, rows=({hostile: hostile},), promise=hostile)
    step = a_step(hostile, 1, 2, exit_code=3, error=f"{hostile}\n{hostile}")
    folder = of_run(tmp_path, red, other, lag(hostile), steps=(step,), job=hostile, versions={hostile: hostile})
    page = assert_harmless(page_of(folder))
    assert visible(hostile) in " ".join(page.texts)
    assert "49{" not in "".join(page.texts)


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=80), other=st.text(max_size=80))
def test_any_text_is_harmless(text: str, other: str) -> None:
    rows = (differing(text, other, other, text),)
    red = parity(outcome=Outcome.FAILED, summary=text, rows=rows, details={text: other})
    assert_harmless(html(judge(RunRecord(run_id=text, job=other, started_at=at(0)), [red])))


def test_a_page_stays_below_two_megabytes_whatever_was_found(tmp_path: Path) -> None:
    rows = tuple(differing("<&>" * 2_000, "\"'" * 3_000, key=f"id={number}") for number in range(50))
    items = [
        parity(f"t{number}", outcome=Outcome.FAILED, rows=rows, details={"error": "<x>\n" * 5_000}, summary="<&>" * 900)
        for number in range(15)
    ]
    text = page_of(of_run(tmp_path, *items))
    assert_harmless(text)
    assert "more rows in result.json" in text


def test_all_columns_of_a_row_stand_together() -> None:
    rows = [differing("1", "2", "a"), differing("3", "4", "b"), differing("5", "6", "a", key="id=8")]
    assert [(row.key, [spot.column for spot in row.places]) for row in differing_rows(rows)] == [
        ("id=7", ["a", "b"]),
        ("id=8", ["a"]),
    ]


def test_the_difference_in_a_long_value_is_located() -> None:
    spot = place("note", "x" * 300 + "A" + "y" * 300, "x" * 300 + "B" + "y" * 300)
    assert (spot.source.differing, spot.mirror.differing) == ("A", "B")
    assert spot.where == "first difference at character 301"
    assert len(spot.source.before) < 30 > len(spot.source.after)


def test_a_piece_of_a_longer_value_is_located_in_the_whole() -> None:
    (row,) = differing_rows([{**differing("xA", "xB"), "from character": "801"}])
    assert row.places[0].where == "first difference at character 802"
    assert (row.places[0].source.before, row.places[0].source.differing) == ("\u2026x", "A")


def test_a_blank_that_differs_is_seen() -> None:
    spot = place("note", "ab", "ab  ")
    assert (spot.source.differing, spot.mirror.differing) == ("", "\u2423\u2423")


@given(st.text(), st.text())
def test_what_is_marked_is_what_differs(source: str, mirror: str) -> None:
    spot = place("c", source, mirror)
    assert (spot.source == spot.mirror) == (source == mirror) or visible(source) == visible(mirror)


def test_histograms_add_up_over_tables_and_hops_share_an_axis(tmp_path: Path) -> None:
    result = report(of_run(tmp_path, lag(), lag("customers")))
    plots = charts.lag_histograms(result)
    assert [plot.title for plot in plots] == ["Kafka", "change log", "mirror"]
    assert len({plot.across for plot in plots}) == 1
    assert [bar.title for bar in plots[0].bars] == [
        "0 s to 10 ms: 20 changes, 17 %",
        "10 ms to 100 ms: 60 changes, 50 %",
        "100 ms to 1.00 s: 40 changes, 33 %",
    ]


def test_a_gap_in_the_lag_over_time_is_a_gap(tmp_path: Path) -> None:
    plot = charts.lag_over_time(report(of_run(tmp_path, lag())))
    assert plot is not None
    mirror = plot.lines[-1]
    assert (len(mirror.pieces), len(mirror.dots)) == (1, 1)


def test_no_measurement_is_no_chart(tmp_path: Path) -> None:
    result = report(of_run(tmp_path, lag(histograms=(), series=(), numbers={}, outcome=Outcome.UNKNOWN)))
    assert (charts.lag_histograms(result), charts.lag_over_time(result)) == ([], None)


def test_services_steps_and_gates_are_on_the_timeline(tmp_path: Path) -> None:
    late = {"from_s": 25, "to_s": 27}
    red = lag(outcome=Outcome.FAILED)
    bars = timeline(verdict_on(of_run(tmp_path, parity(**late), parity("customers", **late), red)))
    assert bars is not None
    assert [(bar.label, bar.kind, bar.red) for bar in bars.spans] == [
        ("kafka", "service", False),
        ("shop load", "step", False),
        ("gate lag", "gate", True),
        ("gate parity", "gate", False),
    ]
    assert all(bar.left >= 0 and bar.left + bar.width <= 100.001 for bar in bars.spans)


@given(st.floats(min_value=0, max_value=1e7))
def test_durations_are_short(value: float) -> None:
    assert re.fullmatch(r"[\d.]+ (ms|s|min|h)( \d+ (s|min))?", seconds(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (0.0042, "4.2 ms"),
        (0.31, "310 ms"),
        (0.9999, "1.00 s"),
        (59.96, "60.0 s"),
        (120, "2 min"),
        (3_700, "1 h 2 min"),
        (-4, "\u22124.00 s"),
    ],
)
def test_duration(value: float, text: str) -> None:
    assert seconds(value) == text


def test_the_same_folder_gives_the_same_page(tmp_path: Path) -> None:
    folder = of_run(tmp_path, parity(), lag())
    assert html(verdict_on(folder)) == html(verdict_on(folder)) == page_of(folder)
