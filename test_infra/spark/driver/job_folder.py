"""The folder of one attempt, as its driver sees it: the spec that was submitted and the Spark properties."""

from __future__ import annotations

import os
from pathlib import Path

from test_infra.spark.job.spec import JobSpec

JOB_DIR_VARIABLE = "TEST_INFRA_JOB_DIR"
PROPERTIES = "spark.properties"
SPEC = "job.json"


def job_dir() -> Path:
    """Folder of the job whose driver this process is."""
    return Path(os.environ[JOB_DIR_VARIABLE])


def job_spec(folder: Path) -> JobSpec:
    """The spec that was submitted."""
    return JobSpec.model_validate_json((folder / SPEC).read_text())
