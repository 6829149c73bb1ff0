"""The Dagster jobs of a project: what they run, and with which settings."""

from collections.abc import Sequence

import dagster as dg

from test_infra.resources.keys import VERDICT

NAMES = ("e2e", "smoke", "parity")
"""The Dagster jobs of every project."""
PROJECT = "test_infra/project"
"""Tag of the Dagster jobs and their runs: which project they belong to."""
SMOKE_OPERATIONS = 1_000
STACK_GROUP = "stack"
OF_A_RUN = frozenset({"suite", "service_stability", "load"})
"""Gates that judge the run, not the state of a pipeline; the Dagster job parity leaves them out."""


def jobs(
    gates: Sequence[dg.AssetCheckKey],
    suites: Sequence[dg.AssetKey],
    loads: Sequence[dg.AssetKey],
    apart: Sequence[str] = (),
    project: str = "",
) -> dg.Definitions:
    """The Dagster jobs ``e2e`` (everything), ``smoke`` (small load, no suites) and ``parity`` (only the gates of the
    pipelines); and one for each pipeline with ``own_job: true``, which no other Dagster job runs.

    Args:
        gates: every gate of the project.
        suites: asset keys of the suites.
        loads: asset keys of the loads.
        apart: names of the pipelines with a job of their own.
        project: name of the project, by which sensors know the runs of its Dagster jobs.
    """
    everything: dg.AssetSelection = dg.AssetSelection.all()
    own = {name: dg.AssetSelection.groups(name) for name in apart}
    for pipeline in own.values():
        everything = everything - pipeline
    small = {
        load_step(load): {"config": {"operations": SMOKE_OPERATIONS}} for load in loads if load.path[0] not in apart
    }
    tags = {PROJECT: project} if project else {}
    e2e = dg.define_asset_job(
        "e2e",
        selection=everything,
        description="Stack, pipelines, load, gates, suites, verdict: is every committed row in the lake, exactly, "
        "and how late?",
        tags=tags,
    )
    smoke = dg.define_asset_job(
        "smoke",
        selection=everything - dg.AssetSelection.assets(*suites),
        config={"ops": small} if small else None,
        description=f"As e2e, with {SMOKE_OPERATIONS:,} operations and without suites.",
        tags=tags,
    )
    parity = dg.define_asset_job(
        "parity",
        selection=dg.AssetSelection.checks(
            *(gate for gate in gates if gate.name not in OF_A_RUN and gate.asset_key.path[0] not in apart)
        )
        | dg.AssetSelection.assets(VERDICT),
        description="The gates of every pipeline, against the running stack; nothing is created, no load runs.",
        tags=tags,
    )
    alone = [
        dg.define_asset_job(
            name,
            selection=pipeline | dg.AssetSelection.groups(STACK_GROUP) | dg.AssetSelection.assets(VERDICT),
            description=f"As e2e, with only the pipeline {name} and without suites.",
            tags=tags,
        )
        for name, pipeline in own.items()
    ]
    return dg.Definitions(jobs=[e2e, smoke, parity, *alone])


def load_step(load: dg.AssetKey) -> str:
    """Name of the step that makes a load."""
    return "__".join(load.path)
