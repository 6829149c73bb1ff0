"""Names that a project cannot have: refused with file and line before Dagster meets two things of one name."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg

from test_infra.assets import jobs, spark_job, stack, suite, verdict
from test_infra.base.errors import BadDocument, FieldProblem
from test_infra.base.project import project_root

RESERVED = frozenset({stack.GROUP, suite.GROUP, verdict.GROUP, spark_job.GROUP, "default"})
"""Groups and first parts of asset keys that are not a pipeline's; ``default`` is Dagster's own group."""
_METADATA = "test_infra/declared at "


@dataclass(frozen=True)
class DeclaredName:
    """A name that a YAML file gives to a pipeline or a suite.

    Args:
        kind: ``pipeline`` or ``suite``.
        name: the name.
        at: file and line.
        own_job: whether a Dagster job is called the same.
    """

    kind: str
    name: str
    at: str
    own_job: bool = False

    @property
    def metadata(self) -> dict[str, dg.MetadataValue]:
        """For the definitions of the component, by which `declared_names` finds it; empty outside of a file."""
        if not self.at:
            return {}
        declared = {"kind": self.kind, "name": self.name, "own_job": self.own_job}
        return {f"{_METADATA}{self.at}": dg.MetadataValue.json(declared)}


def declared_at(context: dg.ResolutionContext) -> str:
    """File and line of a component's name; empty where the attributes come from no file."""
    if context.source_position_tree is None:
        return ""
    position, _ = context.source_position_tree.lookup_closest_and_path([*context.path, "name"], None)
    return f"{position.filename}:{position.start.line}"


def declared_names(definitions: dg.Definitions) -> list[DeclaredName]:
    """The names that the YAML files behind these definitions give, ordered by file and line."""
    return [
        DeclaredName(at=key.removeprefix(_METADATA), **value.value)
        for key, value in sorted(definitions.metadata.items())
        if key.startswith(_METADATA) and isinstance(value, dg.JsonMetadataValue) and isinstance(value.value, dict)
    ]


def refuse_clashes(declared: Sequence[DeclaredName], other_jobs: Iterable[str]) -> None:
    """Refuse reserved names, names given twice, and jobs of pipelines that are called like another Dagster job.

    Args:
        declared: the names of pipelines and suites.
        other_jobs: names of the Dagster jobs that the project defines itself.

    Raises:
        BadDocument: with the file and the line of every refused name.
    """
    taken = {**dict.fromkeys(other_jobs, "another Dagster job"), **dict.fromkeys(jobs.NAMES, "a built-in Dagster job")}
    given = Counter((one.kind, one.name) for one in declared)
    problems = []
    for one in declared:
        if one.kind == "pipeline" and one.name in RESERVED:
            problems.append(_problem(one, f"is reserved; others are {', '.join(sorted(RESERVED - {one.name}))}"))
        elif given[one.kind, one.name] > 1:
            places = [_place(other) for other in declared if (other.kind, other.name) == (one.kind, one.name)]
            problems.append(_problem(one, f"is also the name of the {one.kind} at {_others(places, _place(one))}"))
        elif one.own_job and one.name in taken:
            problems.append(_problem(one, f"is also the name of {taken[one.name]}, and the pipeline has own_job: true"))
    if problems:
        raise BadDocument("the YAML of this project", problems)


def _problem(declared: DeclaredName, fault: str) -> FieldProblem:
    return FieldProblem(_place(declared), f"name: {declared.name!r} {fault}")


def _place(declared: DeclaredName) -> str:
    file, _, line = declared.at.rpartition(":")
    return f"{os.path.relpath(file, project_root())}:{line}"


def _others(places: Sequence[str], own: str) -> str:
    return ", ".join(place for place in places if place != own)
