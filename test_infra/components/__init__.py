"""What users write in YAML: a stack, pipelines, test suites."""

from test_infra.components.cdc_pipeline import CdcPipeline
from test_infra.components.service_stack import ServiceStack
from test_infra.components.test_suite import TestSuite

__all__ = ["CdcPipeline", "ServiceStack", "TestSuite"]
