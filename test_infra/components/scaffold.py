"""What `dg scaffold defs` writes for each component: a commented YAML that works as it is, and the files it names.

The texts are in ``skeletons/``; `test-infra init` makes a project of the same ones.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from string import Template

import dagster as dg
from pydantic import BaseModel, Field

from test_infra.base.errors import UsageError

SKELETONS = files("test_infra.components") / "skeletons"
LONGEST_NAME = 40


class NoSettings(BaseModel):
    """Nothing but the name of the folder."""


class OfPipeline(BaseModel):
    """Settings of a suite's skeleton."""

    pipeline: str | None = Field(default=None, description="Pipeline that the fixture `pipeline` gives to the tests.")


class ServiceStackScaffolder(dg.Scaffolder[NoSettings]):
    """A stack of local services, with an external one as a comment."""

    def scaffold(self, request: dg.ScaffoldRequest[NoSettings]) -> None:
        """Write ``defs.yaml``."""
        _write(request, "service_stack", {"type": request.type_name}, {})


class CdcPipelineScaffolder(dg.Scaffolder[NoSettings]):
    """A pipeline of two tables, with the SQL that makes them."""

    def scaffold(self, request: dg.ScaffoldRequest[NoSettings]) -> None:
        """Write ``defs.yaml`` and the SQL file, both named after the folder."""
        name = name_of(request)
        values = {"type": request.type_name, "name": name}
        _write(request, "cdc_pipeline", values, {f"{name}.sql": skeleton("cdc_pipeline.sql", name=name)})


class TestSuiteScaffolder(dg.Scaffolder[OfPipeline]):
    """A suite with one test file."""

    __test__ = False

    @classmethod
    def get_scaffold_params(cls) -> type[OfPipeline]:
        """The pipeline, which may be left out."""
        return OfPipeline

    def scaffold(self, request: dg.ScaffoldRequest[OfPipeline]) -> None:
        """Write ``defs.yaml`` and a test that is green."""
        name, pipeline = name_of(request), request.params.pipeline
        if pipeline:
            line, tests = f"  pipeline: {pipeline}", skeleton("test_suite_of_pipeline.py.txt", pipeline=pipeline)
        else:
            line, tests = "  # pipeline: the one that the fixture `pipeline` gives", skeleton("test_suite.py.txt")
        values = {"type": request.type_name, "name": name, "of_pipeline": line, "pipeline": repr(pipeline)}
        _write(request, "test_suite", values, {f"test_{name}.py": tests})


class SparkJobScaffolder(dg.Scaffolder[NoSettings]):
    """A Spark job of one Python file."""

    def scaffold(self, request: dg.ScaffoldRequest[NoSettings]) -> None:
        """Write ``defs.yaml`` and the program."""
        name = name_of(request)
        values = {"type": request.type_name, "name": name, "dashed": name.replace("_", "-")}
        _write(request, "spark_job", values, {f"{name}.py": skeleton("spark_job.py.txt", name=name)})


def skeleton(file: str, **values: str) -> str:
    """A text of ``skeletons/`` with its ``$names`` filled in."""
    return Template((SKELETONS / file).read_text(encoding="utf-8")).substitute(values)


def name_of(request: "dg.ScaffoldRequest[NoSettings] | dg.ScaffoldRequest[OfPipeline]") -> str:
    """The name of the component that is asked for: of its folder, in the letters that a name may have.

    Raises:
        UsageError: the folder's name has none of them.
    """
    folder = request.target_path.parent if request.append else request.target_path
    return plain_name(folder.name)


def plain_name(text: str) -> str:
    """The text in the letters that names of components and modules of Python may have.

    Raises:
        UsageError: it has none of them.
    """
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).lstrip("0123456789_")[:LONGEST_NAME].strip("_")
    if not name:
        raise UsageError(f"no name can be made from {text!r}", hint="take one that begins with a letter, a to z")
    return name


def _write(
    request: "dg.ScaffoldRequest[NoSettings] | dg.ScaffoldRequest[OfPipeline]",
    kind: str,
    values: Mapping[str, str],
    beside: Mapping[str, str],
) -> None:
    """Write the component in the form that was asked for, and the files beside it that are not there yet."""
    folder = request.target_path
    if request.append:  # the target is then a YAML file that is there
        with folder.open("a", encoding="utf-8") as file:
            file.write("---\n" + skeleton(f"{kind}.yaml", **values))
        folder = folder.parent
    elif request.scaffold_format == "yaml":
        (folder / "defs.yaml").write_text(skeleton(f"{kind}.yaml", **values), encoding="utf-8")
    else:
        (folder / "component.py").write_text(skeleton(f"{kind}.component.py.txt", **values), encoding="utf-8")
    for name, content in beside.items():
        if not (folder / name).exists():
            (folder / name).write_text(content, encoding="utf-8")
