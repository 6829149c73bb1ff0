"""The YAML form of a test suite."""

from dataclasses import dataclass

import dagster as dg

from test_infra.assets.suite import suite_asset
from test_infra.components.attributes import attributes_are, with_absolute_paths
from test_infra.components.names import DeclaredName
from test_infra.components.scaffold import TestSuiteScaffolder
from test_infra.gates.gate import gate
from test_infra.gates.suite import suite_gate
from test_infra.resources.keys import stream_key
from test_infra.suites.spec import SuiteSpec


@dg.scaffold_with(TestSuiteScaffolder)
@attributes_are(SuiteSpec)
@dataclass
class TestSuite(dg.Component, dg.Resolvable):
    """Pytest files that are run against the running stack, with the gate that judges them."""

    __test__ = False

    spec: SuiteSpec
    declared_at: str = ""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The suite's asset and its gate. Relative paths start at the folder of the YAML."""
        spec = with_absolute_paths(self.spec, context.path)
        after = [dg.AssetKey(path.split("/")) for path in spec.after]
        if not after and spec.pipeline:
            after = [stream_key(spec.pipeline)]
        return dg.Definitions(
            assets=[suite_asset(spec, after)],
            asset_checks=[gate(suite_gate(spec))],
            metadata=DeclaredName("suite", spec.name, self.declared_at).metadata,
        )
