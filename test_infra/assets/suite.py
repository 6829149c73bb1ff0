"""A test suite as an asset that is made of ops: plan, run, report."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from test_infra.assets.step import OWNERS, step
from test_infra.resources.keys import suite_key
from test_infra.resources.stack import StackResource
from test_infra.suites.read import read
from test_infra.suites.run import plan, run
from test_infra.suites.spec import SuiteFolder, SuiteSpec

GROUP = "suites"
LAST = {"dagster/priority": "-10"}
"""A suite may restart services or the stream, so gates that are ready judge before it."""


def suite_asset(spec: SuiteSpec, after: Sequence[dg.AssetKey] = ()) -> dg.AssetsDefinition:
    """The suite as a graph-backed asset.

    Args:
        spec: the suite, with absolute paths.
        after: assets that must exist before the suite starts.
    """
    key = suite_key(spec.name)
    path = key.to_user_string()
    ready = {f"ready_{place}": dependency for place, dependency in enumerate(after)}

    @dg.op(
        name=f"{spec.name}__plan",
        description="Starts the tests and notes which there are, so that one that never reports is noticed.",
        ins={name: dg.In(dg.Nothing) for name in ready},
        out=dg.Out(dg.Nothing),
        tags=LAST,
    )
    def plan_op(context: dg.OpExecutionContext, stack: StackResource) -> None:
        with step(context, stack, f"{spec.name}__plan", [path]) as run_dir:
            plan(spec, SuiteFolder(run_dir, spec.name), stack.attach())

    @dg.op(
        name=f"{spec.name}__run",
        description="Waits for the end of the tests. A red test does not fail this step; the gate judges.",
        ins={"planned": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        tags=LAST,
    )
    def run_op(context: dg.OpExecutionContext, stack: StackResource) -> None:
        with step(context, stack, f"{spec.name}__run", [path]) as run_dir:
            run(spec, SuiteFolder(run_dir, spec.name), stack.attach())

    @dg.op(
        name=f"{spec.name}__report",
        description="Counts the reported tests; path of the log in the metadata.",
        ins={"ran": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        tags=LAST,
    )
    def report_op(context: dg.OpExecutionContext, stack: StackResource) -> None:
        with step(context, stack, f"{spec.name}__report", [path]) as run_dir:
            folder = SuiteFolder(run_dir, spec.name)
            report = read(folder)
            context.add_output_metadata(
                {
                    "tests": len(report.tests),
                    "seconds": sum(test.seconds for test in report.tests),
                    "log": dg.MetadataValue.path(str(folder.log)),
                    "report_log": dg.MetadataValue.path(str(folder.report)),
                }
            )

    @dg.graph_asset(
        key=key,
        ins={name: dg.AssetIn(key=dependency, dagster_type=dg.Nothing) for name, dependency in ready.items()},
        description=spec.description or f"The tests of the suite {spec.name}, run against the running stack.",
        group_name=GROUP,
        kinds={"pytest"},
        owners=[*OWNERS],
    )
    def suite(**inputs: Any) -> Any:
        return report_op(run_op(plan_op(**inputs)))

    return suite
