"""The services of a stack as assets."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import dagster as dg

from test_infra.assets.pipeline import pipelines_of
from test_infra.assets.step import OWNERS, step
from test_infra.base.redaction import redact
from test_infra.resources.keys import service_key
from test_infra.resources.run_folder import record_services
from test_infra.resources.stack import StackResource

if TYPE_CHECKING:
    from test_infra.cdc.pipeline.spec import PipelineSpec
    from test_infra.stack import Endpoint, Stack, StackSpec

GROUP = "stack"
UP_TIMEOUT_S = 120.0


def service_stack(spec: "StackSpec") -> dg.AssetsDefinition:
    """One step that makes every service of a stack usable, in parallel; one asset for each service.

    Args:
        spec: the services.
    """
    from test_infra.stack.registry import known_services, services_of

    services, known = services_of(spec), known_services()
    specs = [
        dg.AssetSpec(
            service_key(name),
            deps=[service_key(dependency) for dependency in services[name].depends_on],
            description=_description(name),
            group_name=GROUP,
            kinds=set(known[name].asset_kinds),
            owners=[*OWNERS],
        )
        for name in _ordered({name: service.depends_on for name, service in services.items()})
    ]

    @dg.multi_asset(name=GROUP, specs=specs, can_subset=True)
    def usable_services(
        context: dg.AssetExecutionContext, stack: StackResource
    ) -> Iterator[dg.MaterializeResult[None]]:
        from test_infra.stack import up

        pipelines = pipelines_of(context.job_def)
        with step(context, stack, GROUP, [key.to_user_string() for key in context.selected_asset_keys]) as folder:
            running = up(
                spec,
                stack_id=stack.stack_id,
                lease=stack.lease(),
                timeout_s=UP_TIMEOUT_S,
                progress=lambda now: context.log.info(f"{now.service}: {now.text}"),
                alongside=_submit_streams(pipelines, context.log.warning),
            )
            record_services(folder, running)
            for asset in specs:
                if asset.key in context.selected_asset_keys:
                    yield dg.MaterializeResult(
                        asset.key, metadata=endpoint_metadata(running.endpoint(asset.key.path[-1]))
                    )

    return usable_services


def endpoint_metadata(endpoint: "Endpoint") -> dict[str, dg.MetadataValue]:
    """What the UI shows of a service; never a secret."""
    metadata: dict[str, dg.MetadataValue] = {
        "url": dg.MetadataValue.text(redact(endpoint.url)),
        "host": dg.MetadataValue.text(endpoint.host),
        "port": dg.MetadataValue.int(endpoint.port),
        "version": dg.MetadataValue.text(endpoint.version),
        "start_s": dg.MetadataValue.float(endpoint.start_s),
    }
    if endpoint.log_path is not None:
        metadata["log"] = dg.MetadataValue.path(str(endpoint.log_path))
    return metadata


def _submit_streams(pipelines: "list[PipelineSpec]", warn: Callable[[str], None]) -> "Callable[[Stack], None]":
    """Let the Spark drivers start while the services do: a driver needs seconds before it needs a topic.

    Only a head start. Where it fails, the stream's own step submits again, and reports.
    """

    def submit_all(stack: "Stack") -> None:
        from test_infra.cdc.pipeline.running import RunningPipeline
        from test_infra.cdc.stream.stream import stream_of

        for spec in pipelines:
            try:
                stream_of(RunningPipeline(stack, spec)).submit()
            except Exception as error:
                warn(f"the stream of {spec.name} did not get its head start: {redact(str(error))}")

    return submit_all


def _description(service: str) -> str:
    return (
        f"After the step, {service} answers a real request at the endpoint in the metadata, and its log is at the "
        "path there. "
        "A service that runs already is attached to, not started again."
    )


def _ordered(depends_on: dict[str, tuple[str, ...]]) -> list[str]:
    """Services after those they depend on: the order in which a step must report its assets."""
    from graphlib import TopologicalSorter

    return list(TopologicalSorter(depends_on).static_order())
