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
YAML = "defs.yaml"
LONGEST_NAME = 40
PYTHON = '''"""The same as in YAML, where it must be computed."""

import dagster as dg
{imports}


@dg.component_instance
def load(context: dg.ComponentLoadContext) -> {component}:
    """See the fields of the specification for what else can be set."""
    return {component}({spec})
'''


class NoSettings(BaseModel):
    """Nothing but the name of the folder."""


class OfPipeline(BaseModel):
    """Settings of a suite's skeleton."""

    pipeline: str | None = Field(default=None, description="Pipeline that the fixture `pipeline` gives to the tests.")


class ServiceStackScaffolder(dg.Scaffolder[NoSettings]):
    """A stack of local services, with an external one as a comment."""

    def scaffold(self, request: dg.ScaffoldRequest[NoSettings]) -> None:
        """Write ``defs.yaml``."""
        _write(
            request,
            skeleton("service_stack.yaml", type=request.type_name),
            imports="from test_infra.components import ServiceStack\nfrom test_infra.stack.spec import StackSpec",
            spec="spec=StackSpec()",
        )


class CdcPipelineScaffolder(dg.Scaffolder[NoSettings]):
    """A pipeline of two tables, with the SQL that makes them."""

    def scaffold(self, request: dg.ScaffoldRequest[NoSettings]) -> None:
        """Write ``defs.yaml`` and the SQL file, both named after the folder."""
        name = name_of(request)
        _write(
            request,
            skeleton("cdc_pipeline.yaml", type=request.type_name, name=name),
            {f"{name}.sql": skeleton("cdc_pipeline.sql", name=name)},
            imports="from test_infra.cdc.pipeline.spec import PipelineSpec, SourceSpec\n"
            "from test_infra.components import CdcPipeline",
            spec=f'\n        spec=PipelineSpec(\n            name="{name}",\n'
            f'            tables=["{name}_documents", "{name}_lines"],\n'
            f'            source=SourceSpec(ddl="{name}.sql"),\n        )\n    ',
        )


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
        of_pipeline = (
            f"  pipeline: {pipeline}" if pipeline else "  # pipeline: the one that the fixture `pipeline` gives"
        )
        tests = (
            skeleton("test_suite_of_pipeline.py.txt", pipeline=pipeline) if pipeline else skeleton("test_suite.py.txt")
        )
        given = f', pipeline="{pipeline}"' if pipeline else ""
        _write(
            request,
            skeleton("test_suite.yaml", type=request.type_name, name=name, of_pipeline=of_pipeline),
            {f"test_{name}.py": tests},
            imports="from test_infra.components import TestSuite\nfrom test_infra.suites.spec import SuiteSpec",
            spec=f'spec=SuiteSpec(name="{name}"{given})',
        )


class SparkJobScaffolder(dg.Scaffolder[NoSettings]):
    """A Spark job of one Python file."""

    def scaffold(self, request: dg.ScaffoldRequest[NoSettings]) -> None:
        """Write ``defs.yaml`` and the program."""
        name = name_of(request)
        dashed = name.replace("_", "-")
        _write(
            request,
            skeleton("spark_job.yaml", type=request.type_name, name=name, dashed=dashed),
            {f"{name}.py": skeleton("spark_job.py.txt", name=name)},
            imports="from test_infra.components import SparkJob\n"
            "from test_infra.components.spark_job import SparkJobSpec\n"
            "from test_infra.spark.job.spec import JobSpec, PythonFile",
            spec=f'\n        spec=SparkJobSpec(\n            asset="jobs/{name}",\n'
            f'            job=JobSpec(name="{dashed}", team="ours", owner="ours", '
            f'application=PythonFile(python_file="{name}.py")),\n        )\n    ',
        )


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
    yaml: str,
    beside: Mapping[str, str] | None = None,
    *,
    imports: str,
    spec: str,
) -> None:
    """Write the component in the form that was asked for, and the files beside it that are not there yet."""
    folder = request.target_path
    component = request.type_name.rpartition(".")[2]
    if request.append:  # the target is then a file that is there
        with folder.open("a", encoding="utf-8") as file:
            file.write(f"---\n{yaml}")
        folder = folder.parent
    elif request.scaffold_format == "yaml":
        (folder / YAML).write_text(yaml, encoding="utf-8")
    else:
        text = PYTHON.format(imports=imports, component=component, spec=spec)
        (folder / "component.py").write_text(text, encoding="utf-8")
    for name, content in (beside or {}).items():
        if not (folder / name).exists():
            (folder / name).write_text(content, encoding="utf-8")
