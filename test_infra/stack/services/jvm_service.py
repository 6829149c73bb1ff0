"""What Kafka and Connect have in common: one JVM with a class path, a small heap and a log on stdout."""

from __future__ import annotations

from pathlib import Path

from test_infra.jvm import jars
from test_infra.jvm.java import find_java
from test_infra.stack.service import Command

LOG_CONFIG = """\
status = warn
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
# It logs one line per property of every client and converter: thousands of lines, with host names and paths.
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
logger.reflections.name = org.reflections
logger.reflections.level = error
"""


def java_command(
    main: str, *, heap_mib: int, config: Path, system: dict[str, str], arguments: tuple[str, ...]
) -> Command:
    """A JVM of the ``kafka`` jars.

    Serial collector and C1 only: the fastest start on two cores.

    Args:
        main: main class.
        heap_mib: Java heap, MiB.
        config: folder that holds ``log4j2.properties``.
        system: system properties.
        arguments: of the main class.
    """
    properties = {
        "log4j2.configurationFile": str(config / "log4j2.properties"),
        "java.awt.headless": "true",
        # The JDBC driver hands it on to PostgreSQL, which then writes times in it.
        "user.timezone": "UTC",
        **system,
    }
    return Command(
        argv=(
            str(find_java().path),
            f"-Xmx{heap_mib}m",
            "-Xms64m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xshare:auto",
            "-XX:+ExitOnOutOfMemoryError",
            *(f"-D{name}={value}" for name, value in properties.items()),
            "-cp",
            ":".join(str(path) for path in jars.fetch("kafka")),
            main,
            *arguments,
        ),
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
    )
