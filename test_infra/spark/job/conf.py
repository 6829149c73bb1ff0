"""Which Spark properties and variables a job may set: what loads code, opens ports or takes another's name is refused.

A driver runs whatever program it was given, as the user of the stack; this list is no sandbox. It keeps a
*specification* - a manifest from somebody else's repository, say - from bringing in code and addresses that a look at
its application does not show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from test_infra.base.errors import BadDocument, FieldProblem

_CODE, _PEERS, _WHO = (
    "it loads code; use jar_groups",
    "the backend decides who may connect",
    "it changes who the job is",
)
_HOLES: tuple[tuple[str, str], ...] = (
    (r"spark\.(driver|executor)\.(extra|default)JavaOptions", "it loads agents and classes into Java"),
    (
        r"spark\.(driver|executor)\.(extraClassPath|extraLibraryPath|userClassPathFirst)",
        "it loads code; use jar_groups",
    ),
    (r"spark\.(jars|files|archives)(\..*)?|spark\.submit\.pyFiles", _CODE),
    (
        r"spark\.(plugins|extraListeners|sql\.queryExecutionListeners|sql\.streaming\.streamingQueryListeners)",
        "it loads code",
    ),
    (r"spark\.(pyspark|r)\..*|spark\.python\.(daemon|worker)\..*|spark\.executorEnv\..*", "it chooses programs"),
    (r"spark\.(master|remote|api\.mode|submit\..*)|spark\.app\.(id|attempt\.id)", "the backend decides it"),
    (r"spark\.(driver|executor)\.(memory|memoryOverhead|cores|instances)", "use resources"),
    (
        r"spark\.(driver\.(host|bindAddress|port)|blockManager\..*|ui\..*|history\..*)",
        "the backend decides who may connect",
    ),
    (r"spark\.connect\..*", "Connect servers are made by the gateway's clusters"),
    (
        r"spark\.(proxy|kerberos|yarn|kubernetes|security|authenticate|network\.crypto|ssl)(\..*)?",
        "it changes who the job is",
    ),
    (r"spark\.(acls|admin\.acls|modify\.acls|user\.groups)(\..*)?|spark\.redaction\..*", "it changes who may see it"),
    (
        r"spark\.(eventLog|local|metrics|driver\.log)(\..*)?|spark\.test_infra\..*",
        "the gateway keeps its own files there",
    ),
    (
        r"spark\.hadoop\.(hadoop\.security\..*|fs\.[a-z0-9]+\.impl|.*credential.*|.*proxyuser.*)",
        "it changes who the job is",
    ),
)
_VARIABLES = re.compile(
    r"(LD_|DYLD_|PYTHON|PYSPARK_|SPARK_|JAVA_|_JAVA|JDK_|CLASSPATH|HADOOP_|TEST_INFRA_|PATH$|HOME$|SHELL$|IFS$|BASH_|ENV$)"
)


def holes(conf: Iterable[str], allowed: frozenset[str] = frozenset()) -> list[FieldProblem]:
    """Properties that are refused, with the reason of each.

    Args:
        conf: names of the properties that a job sets.
        allowed: names that this gateway takes nevertheless.
    """
    found = []
    for key in conf:
        reason = next((why for pattern, why in _HOLES if re.fullmatch(pattern, key, re.IGNORECASE)), None)
        if reason is not None and key not in allowed:
            found.append(FieldProblem(f"conf.{key}", f"refused: {reason}"))
    return found


def check_conf(conf: Iterable[str], allowed: frozenset[str] = frozenset()) -> None:
    """Refuse a job that sets what it must not.

    Raises:
        BadDocument: names each property, the reason, and where it can be allowed.
    """
    if found := holes(conf, allowed):
        way = FieldProblem("try", "leave it out, or name it in services.gateway.allowed_conf of the stack")
        raise BadDocument("the Spark job", [*found, way])


def forbidden_variable(name: str) -> bool:
    """Whether an environment variable decides how programs are found and loaded."""
    return _VARIABLES.match(name) is not None
