"""What a whole project has beyond its components: verdict, Dagster jobs, the gate on the services."""

import dagster as dg

from test_infra.assets.jobs import jobs
from test_infra.assets.pipeline import pipelines_in
from test_infra.assets.verdict import verdict_asset
from test_infra.components.names import declared_names, refuse_clashes
from test_infra.gates.gate import gate
from test_infra.gates.stack import service_stability
from test_infra.resources.keys import load_key
from test_infra.resources.stack import StackResource


def complete(definitions: dg.Definitions) -> dg.Definitions:
    """The definitions of a project, completed.

    Added are the gate on the services, the verdict, the Dagster jobs, the resource ``stack``, and the in-process
    executor: there are few steps, a process for each would cost seconds, and the verdict needs their order.

    Args:
        definitions: of all components of the project.

    Raises:
        BadDocument: two pipelines or suites have one name, or a name is reserved; with file and line.
    """
    refuse_clashes(declared_names(definitions), [job.name for job in definitions.jobs or ()])
    resources = {"stack": StackResource()}
    # Without schedules: they name Dagster jobs that are only defined below.
    graph = dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        resources={**(definitions.resources or {}), **resources},
    ).resolve_asset_graph()
    assets = sorted(graph.materializable_asset_keys)
    services = [key.path[-1] for key in assets if key.path[0] == "stack"]
    # The verdict depends on the last assets only; edges from every asset would clutter the graph in the UI.
    ends = [key for key in assets if not graph.get(key).child_keys]
    suites = [key for key in assets if key.path[0] == "suites"]
    loads = [key for key in assets if key == load_key(key.path[0])]
    apart = sorted(
        {pipeline.name for pipeline in pipelines_in([graph.get(key).metadata for key in assets]) if pipeline.own_job}
    )
    stability = service_stability(services, after=assets)
    checks = sorted([*graph.asset_check_keys, *(stability.check_key(service) for service in services)])
    return dg.Definitions.merge(
        definitions,
        jobs(checks, suites, loads, apart, _project_of(definitions)),
        dg.Definitions(
            assets=[verdict_asset(ends)],
            asset_checks=[gate(stability)],
            resources=resources,
            executor=dg.in_process_executor,
        ),
    )


def _project_of(definitions: dg.Definitions) -> str:
    """The module that holds the project's definitions; Dagster knows it where they were loaded from a folder."""
    return definitions.component_tree.defs_module_name if definitions.component_tree else ""
