"""The YAML form of a pipeline."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import BaseModel

from test_infra.assets.pipeline import cdc_pipeline
from test_infra.cdc.pipeline.spec import PipelineSpec
from test_infra.components.resolved import resolved
from test_infra.gates.gate import gate
from test_infra.gates.pipeline import pipeline_gates


@dataclass
class CdcPipeline(dg.Component, dg.Resolvable):
    """Source tables -> connector -> topics -> stream -> change log and mirror, with the gates that prove it."""

    spec: PipelineSpec

    @classmethod
    def model(cls) -> type[BaseModel]:
        """The attributes in YAML are the pipeline's own model."""
        return PipelineSpec

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: PipelineSpec) -> Self:  # type: ignore[override]
        """The component that the attributes describe."""
        return cls(resolved(model, context))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets and gates of the pipeline. Relative paths lead from the folder of the YAML."""
        spec = placed(self.spec, context.path)
        return dg.Definitions(
            assets=cdc_pipeline(spec), asset_checks=[gate(definition) for definition in pipeline_gates(spec)]
        )


def placed(spec: PipelineSpec, folder: Path) -> PipelineSpec:
    """The pipeline with absolute paths; relative ones lead from ``folder``."""
    if spec.source.ddl is None:
        return spec
    ddl = (folder / spec.source.ddl).resolve()
    return spec.model_copy(update={"source": spec.source.model_copy(update={"ddl": ddl})})
