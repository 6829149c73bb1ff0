"""The page: what is shown, put into the templates."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from test_infra.verdict.page import charts, headline, timeline
from test_infra.verdict.page.gates import GateView, views
from test_infra.verdict.page.words import elapsed_s, number, seconds, visible
from test_infra.verdict.result import GateResult, Result

if TYPE_CHECKING:
    import jinja2

FOLDER = Path(__file__).parent
TEMPLATE = "report.html.j2"
MOST_TEXT = 4_000
MOST_OPEN = 4
MOST_PASSES = 30
"""More gates than this that passed are folded into one line."""


def html(result: Result) -> str:
    """One HTML page without scripts and without anything to load; every value escaped."""
    gates = views(result.gates)
    fault = headline.first_fault(result)
    passed = [gate for gate in gates if gate.passed]
    folded = passed if len(passed) > MOST_PASSES else []
    return _template().render(
        result=result,
        gates=[gate for gate in gates if not (folded and gate.passed)],
        passes=folded,
        differing=_with_differences(gates),
        fault=fault,
        opened=_opened(gates, fault),
        figures=headline.figures(result),
        histograms=charts.lag_histograms(result),
        lag=charts.lag_over_time(result),
        lag_tables=[gate for gate in result.gates if _measured(gate)],
        hops=charts.HOPS,
        load=charts.load_over_time(result),
        timeline=timeline.timeline(result),
        elapsed_s=elapsed_s,
        cut=lambda text: visible(text[:MOST_TEXT]),
    )


@cache
def _template() -> "jinja2.Template":
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "seconds": seconds, "visible": visible}
    return environment.get_template(TEMPLATE)


def _opened(gates: list[GateView], fault: headline.Fault | None) -> set[str]:
    """Anchors of the gates that are unfolded: all red ones, or only the first fault's where there are many."""
    red = {gate.anchor for gate in gates if not gate.passed}
    return red if len(red) <= MOST_OPEN or fault is None else {visible(fault.anchor)}


def _with_differences(gates: list[GateView]) -> list[GateView]:
    return [gate for gate in gates if gate.differing]


def _measured(gate: GateResult) -> bool:
    return gate.gate == headline.LAG and gate.evidence is not None and "commit_to_mirror_p95_s" in gate.evidence.numbers
