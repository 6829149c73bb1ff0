"""The Dagster jobs of a project: what they run, and with which settings."""

from collections.abc import Sequence

import dagster as dg

from test_infra.resources.keys import VERDICT

SMOKE_OPERATIONS = 1_000
OF_A_RUN = frozenset({"suite", "service_stability"})
"""Gates that judge a run rather than the state of a pipeline."""


def jobs(
    gates: Sequence[dg.AssetCheckKey], suites: Sequence[dg.AssetKey], loads: Sequence[dg.AssetKey]
) -> dg.Definitions:
    """The Dagster jobs ``e2e`` (everything), ``smoke`` (small load, no suites) and ``parity`` (the gates of the
    pipelines alone).

    Args:
        gates: every gate there is.
        suites: asset keys of the suites.
        loads: asset keys of the loads.
    """
    everything = dg.AssetSelection.all()
    small = {load_step(load): {"config": {"operations": SMOKE_OPERATIONS}} for load in loads}
    e2e = dg.define_asset_job(
        "e2e",
        selection=everything,
        description="Stack, pipelines, load, gates, suites, verdict: is every committed row in the lake, exactly, "
        "and how late?",
    )
    smoke = dg.define_asset_job(
        "smoke",
        selection=everything - dg.AssetSelection.assets(*suites),
        config={"ops": small} if small else None,
        description=f"As e2e, with {SMOKE_OPERATIONS:,} operations and without suites.",
    )
    parity = dg.define_asset_job(
        "parity",
        selection=dg.AssetSelection.checks(*(gate for gate in gates if gate.name not in OF_A_RUN))
        | dg.AssetSelection.assets(VERDICT),
        description="The gates of every pipeline against a stack that runs; nothing is made, nothing is loaded.",
    )
    return dg.Definitions(jobs=[e2e, smoke, parity])


def load_step(load: dg.AssetKey) -> str:
    """Name of the step that makes a load."""
    return "__".join(load.path)
