"""The YAML form of a pipeline."""

from dataclasses import dataclass

import dagster as dg

from test_infra.assets.pipeline import cdc_pipeline
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.components.attributes import attributes_are, with_absolute_paths
from test_infra.components.names import DeclaredName
from test_infra.components.scaffold import CdcPipelineScaffolder
from test_infra.gates.gate import gate
from test_infra.gates.pipeline import pipeline_gates


@dg.scaffold_with(CdcPipelineScaffolder)
@attributes_are(PipelineSpec)
@dataclass
class CdcPipeline(dg.Component, dg.Resolvable):
    """Source tables -> connector -> topics -> stream -> change log and mirror, with the gates that prove it."""

    spec: PipelineSpec
    declared_at: str = ""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets and gates of the pipeline. Relative paths start at the folder of the YAML."""
        spec = with_absolute_paths(self.spec, context.path)
        return dg.Definitions(
            assets=cdc_pipeline(spec),
            asset_checks=[gate(definition) for definition in pipeline_gates(spec)],
            metadata=DeclaredName("pipeline", spec.name, self.declared_at, own_job=spec.own_job).metadata,
        )
