"""The last asset of a run: the verdict."""

from collections.abc import Sequence

import dagster as dg

from test_infra.assets.step import OWNERS
from test_infra.resources.keys import VERDICT
from test_infra.resources.run_folder import record_services_and_pipelines, run_folder
from test_infra.resources.stack import StackResource
from test_infra.verdict.report import HTML, report
from test_infra.verdict.result import Result

GROUP = "verdict"
LAST_OF_ALL = "-100"


def verdict_asset(after: Sequence[dg.AssetKey]) -> dg.AssetsDefinition:
    """The asset that judges the run.

    Dagster has no dependency on a check that does not block, so this step has the lowest priority: with the in-process
    executor it runs after every gate. With an executor that runs steps in parallel a gate may not have ended yet; it
    then counts as missing, which is red.

    Args:
        after: assets without an asset that depends on them.
    """

    @dg.asset(
        key=VERDICT,
        deps=list(after),
        group_name=GROUP,
        kinds={"dagster"},
        owners=[*OWNERS],
        op_tags={"dagster/priority": LAST_OF_ALL},
        description=(
            "Every gate of the Dagster job has evidence in this run, and all gates passed; otherwise this step "
            "fails. The path of the report is in the metadata."
        ),
    )
    def verdict(context: dg.AssetExecutionContext, stack: StackResource) -> dg.MaterializeResult[None]:
        folder = run_folder(context, stack)
        record_services_and_pipelines(folder, stack.resolved_id)
        result = report(folder)
        if not result.green:
            raise dg.Failure(
                f"{len(result.reasons)} reasons for red\n" + "\n".join(result.reasons),
                metadata={"report": dg.MetadataValue.path(str(folder / HTML)), **_counts(result)},
                allow_retries=False,
            )
        return dg.MaterializeResult(metadata={"report": dg.MetadataValue.path(str(folder / HTML)), **_counts(result)})

    return verdict


def _counts(result: Result) -> dict[str, dg.MetadataValue]:
    return {f"gates_{outcome}": dg.MetadataValue.int(count) for outcome, count in result.counts.items()}
