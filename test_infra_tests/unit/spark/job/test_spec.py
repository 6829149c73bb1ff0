from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from test_infra.base.errors import BadDocument
from test_infra.spark.job.conf import check_conf, refused_properties
from test_infra.spark.job.spec import FromVariable, Jar, JobSpec, PythonFile, PythonModule

MODULE = {"module": "a.b"}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"module": "a.b", "wheel": "/w/a-1-py3-none-any.whl"}, PythonModule),
        ({"python_file": "/p/job.py"}, PythonFile),
        ({"jar": "/j/job.jar", "main_class": "org.acme.Job"}, Jar),
    ],
)
def test_an_application_is_known_by_what_it_names(given: dict[str, str], kind: type) -> None:
    spec = JobSpec.model_validate({"name": "job", "application": given})
    assert isinstance(spec.application, kind)
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"application": {}}, "name one of python_file, module"),
        ({"application": {"jar": "/a.jar"}}, "main_class"),
        ({"environment": {"A": {"from_file": "here"}}}, "no absolute path"),
        ({"application": {"module": "a; rm -rf /"}}, "module"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"resources": {"driver": {"memory": 1}}}, "Extra inputs are not permitted"),
        ({"name": "../up"}, "name"),
        ({"streaming": {"checkpoint": "/c"}}, "type is BATCH"),
        ({"environment": {"LD_PRELOAD": {"from_variable": "X"}}}, "decides how programs are loaded"),
        ({"environment": {"PASSWORD": "secret"}}, "environment"),
        ({"conf": {"a b": "1"}}, "conf"),
        ({"args": ["a\0b"]}, "args"),
        ({"ports": [0]}, "ports"),
    ],
)
def test_what_is_unknown_or_unsafe_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        JobSpec.model_validate({"name": "job", "application": MODULE, **change})


def test_the_fingerprint_does_not_depend_on_the_order_of_fields() -> None:
    one = JobSpec.model_validate_json(
        '{"name": "j", "application": {"module": "m"}, "conf": {"spark.a": "1", "spark.b": "2"}}'
    )
    two = JobSpec.model_validate_json(
        '{"conf": {"spark.b": "2", "spark.a": "1"}, "application": {"module": "m"}, "name": "j"}'
    )
    assert one.fingerprint == two.fingerprint
    assert one.fingerprint != one.model_copy(update={"args": ("x",)}).fingerprint


def test_a_relative_path_leads_from_the_folder_of_its_document() -> None:
    spec = JobSpec(name="j", application=PythonFile(python_file="job.py"))
    assert spec.relative_paths() == ["application.python_file"]
    assert spec.placed(Path("/docs")).application == PythonFile(python_file="/docs/job.py")
    assert spec.placed(Path("/docs")).relative_paths() == []


def test_references_hold_no_values() -> None:
    spec = JobSpec(
        name="j", application=PythonModule(module="m"), environment={"TOKEN": FromVariable(from_variable="T")}
    )
    assert json.loads(spec.model_dump_json())["environment"] == {"TOKEN": {"from_variable": "T"}}


@pytest.mark.parametrize(
    "key",
    [
        "spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions", "spark.driver.extraClassPath",
        "spark.executor.extraClassPath", "spark.jars", "spark.jars.packages", "spark.jars.ivySettings",
        "spark.jars.repositories", "spark.proxy.user", "spark.master", "spark.plugins", "spark.submit.pyFiles",
        "spark.pyspark.python", "spark.ui.enabled", "spark.driver.bindAddress", "spark.connect.authenticate.token",
        "spark.eventLog.dir", "spark.hadoop.fs.file.impl", "SPARK.JARS", "spark.driver.memory",
    ],
)  # fmt: skip
def test_a_property_that_opens_a_hole_is_refused_with_its_reason_unless_it_is_allowed(key: str) -> None:
    with pytest.raises(BadDocument, match="refused") as refused:
        check_conf([key])
    assert f"conf.{key}" in refused.value.details
    assert "allowed_conf" in refused.value.details["try"]
    check_conf([key], frozenset({key}))


def test_ordinary_properties_are_taken() -> None:
    assert (
        refused_properties(["spark.sql.shuffle.partitions", "spark.sql.extensions", "spark.hadoop.fs.s3a.endpoint"])
        == []
    )
