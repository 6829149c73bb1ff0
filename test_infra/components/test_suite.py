"""The YAML form of a test suite."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import BaseModel

from test_infra.assets.suite import suite_asset
from test_infra.components.resolved import resolved
from test_infra.gates.gate import gate
from test_infra.gates.suite import suite_gate
from test_infra.resources.keys import stream_key
from test_infra.suites.spec import SuiteSpec


@dataclass
class TestSuite(dg.Component, dg.Resolvable):
    """Pytest files that are run against the running stack, with the gate that judges them."""

    __test__ = False

    spec: SuiteSpec

    @classmethod
    def model(cls) -> type[BaseModel]:
        """The attributes in YAML are the suite's own model."""
        return SuiteSpec

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: SuiteSpec) -> Self:  # type: ignore[override]
        """The component that the attributes describe."""
        return cls(resolved(model, context))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The suite's asset and its gate. Relative paths lead from the folder of the YAML."""
        spec = placed(self.spec, context.path)
        after = [dg.AssetKey(path.split("/")) for path in spec.after]
        if not after and spec.pipeline:
            after = [stream_key(spec.pipeline)]
        return dg.Definitions(assets=[suite_asset(spec, after)], asset_checks=[gate(suite_gate(spec))])


def placed(spec: SuiteSpec, folder: Path) -> SuiteSpec:
    """The suite with absolute paths; relative ones lead from ``folder``."""
    return spec.model_copy(update={"paths": [(folder / path).resolve() for path in spec.paths]})
