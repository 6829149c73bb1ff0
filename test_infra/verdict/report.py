"""The report of a run: a pure function of the run's folder."""

from pathlib import Path

from test_infra.base.errors import UsageError
from test_infra.base.paths import write_private
from test_infra.verdict.evidence import read
from test_infra.verdict.junit import junit
from test_infra.verdict.page.render import html
from test_infra.verdict.result import Result, judge
from test_infra.verdict.run import read_pipelines, read_record, read_services, read_steps

HTML = "report.html"
JSON = "result.json"
JUNIT = "junit.xml"


def report(folder: Path) -> Result:
    """Judge the run in ``folder`` and write ``report.html``, ``result.json`` and ``junit.xml`` into it.

    Returns:
        The verdict; its ``exit_code`` is what a command should end with.

    Raises:
        UsageError: the folder holds no record of a run.
    """
    result = verdict_on(folder)
    write_private(folder / JSON, result.model_dump_json(indent=1))
    write_private(folder / JUNIT, junit(result))
    write_private(folder / HTML, html(result))
    return result


def verdict_on(folder: Path) -> Result:
    """Judge the run in ``folder``; writes nothing.

    Raises:
        UsageError: the folder holds no record of a run.
    """
    record = read_record(folder)
    if record is None:
        raise UsageError(
            f"{folder} holds no record of a run",
            hint="test-infra report RUN, with the id of a run in $TEST_INFRA_HOME/runs",
        )
    return judge(record, read(folder), read_steps(folder), read_services(folder), read_pipelines(folder))
