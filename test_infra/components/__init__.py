"""What users write in YAML: a stack, pipelines, Spark jobs, test suites."""

from test_infra.components.cdc_pipeline import CdcPipeline
from test_infra.components.service_stack import ServiceStack
from test_infra.components.spark_job import SparkJob
from test_infra.components.test_suite import TestSuite

__all__ = ["CdcPipeline", "ServiceStack", "SparkJob", "TestSuite"]
