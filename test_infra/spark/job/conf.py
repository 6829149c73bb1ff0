"""Which Spark properties and variables a job must not set: those that load code, open ports or change its identity.

This is no sandbox: a driver runs the program it was given as the user of the stack. The list keeps a *specification*,
for example a manifest from another team's repository, from bringing in code and addresses that reading its application
would not show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from test_infra.base.errors import BadDocument, FieldProblem

_LOADS_CODE = "it loads code"
_USE_JAR_GROUPS = "it loads code; use jar_groups"
_WHO_MAY_CONNECT = "the backend decides who may connect"
_IDENTITY = "it changes who the job is"
_REFUSED: tuple[tuple[str, str], ...] = (
    (r"spark\.(driver|executor)\.(extra|default)JavaOptions", "it loads agents and classes into Java"),
    (r"spark\.(driver|executor)\.(extraClassPath|extraLibraryPath|userClassPathFirst)", _USE_JAR_GROUPS),
    (r"spark\.(jars|files|archives)(\..*)?|spark\.submit\.pyFiles", _USE_JAR_GROUPS),
    (
        r"spark\.(plugins|extraListeners|sql\.queryExecutionListeners|sql\.streaming\.streamingQueryListeners)",
        _LOADS_CODE,
    ),
    (r"spark\.(pyspark|r)\..*|spark\.python\.(daemon|worker)\..*|spark\.executorEnv\..*", "it chooses programs"),
    (r"spark\.(master|remote|api\.mode|submit\..*)|spark\.app\.(id|attempt\.id)", "the backend decides it"),
    (r"spark\.(driver|executor)\.(memory|memoryOverhead|cores|instances)", "use resources"),
    (r"spark\.(driver\.(host|bindAddress|port)|blockManager\..*|ui\..*|history\..*)", _WHO_MAY_CONNECT),
    (r"spark\.connect\..*", "Connect servers are made by the gateway's clusters"),
    (r"spark\.(proxy|kerberos|yarn|kubernetes|security|authenticate|network\.crypto|ssl)(\..*)?", _IDENTITY),
    (r"spark\.(acls|admin\.acls|modify\.acls|user\.groups)(\..*)?|spark\.redaction\..*", "it changes who may see it"),
    (
        r"spark\.(eventLog|local|metrics|driver\.log)(\..*)?|spark\.test_infra\..*",
        "the gateway keeps its own files there",
    ),
    (r"spark\.hadoop\.(hadoop\.security\..*|fs\.[a-z0-9]+\.impl|.*credential.*|.*proxyuser.*)", _IDENTITY),
)
_VARIABLES = re.compile(
    r"(LD_|DYLD_|PYTHON|PYSPARK_|SPARK_|JAVA_|_JAVA|JDK_|CLASSPATH|HADOOP_|TEST_INFRA_|PATH$|HOME$|SHELL$|IFS$|BASH_|ENV$)"
)


def refused_properties(conf: Iterable[str], allowed: frozenset[str] = frozenset()) -> list[FieldProblem]:
    """Properties that are refused, with the reason of each.

    Args:
        conf: names of the properties that a job sets.
        allowed: names that this gateway accepts anyway.
    """
    found = []
    for key in conf:
        reason = next((why for pattern, why in _REFUSED if re.fullmatch(pattern, key, re.IGNORECASE)), None)
        if reason is not None and key not in allowed:
            found.append(FieldProblem(f"conf.{key}", f"refused: {reason}"))
    return found


def check_conf(conf: Iterable[str], allowed: frozenset[str] = frozenset()) -> None:
    """Raise where a job sets a property that it must not set.

    Raises:
        BadDocument: names each property, the reason, and where it can be allowed.
    """
    if found := refused_properties(conf, allowed):
        remedy = FieldProblem("try", "leave it out, or name it in services.gateway.allowed_conf of the stack")
        raise BadDocument("the Spark job", [*found, remedy])


def forbidden_variable(name: str) -> bool:
    """Whether an environment variable decides how programs are found and loaded."""
    return _VARIABLES.match(name) is not None
