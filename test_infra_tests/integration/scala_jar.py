"""A user's jar: one Scala class, compiled by the compiler that is among Spark's own jars, so that no JDK is needed."""

from __future__ import annotations

import subprocess
from pathlib import Path

from test_infra.jvm.java import find_java
from test_infra.spark.driver.class_path import spark_home

MAIN_CLASS = "org.acme.Daily"
SOURCE = """
package org.acme

import org.apache.spark.sql.SparkSession

object Daily {
  def main(args: Array[String]): Unit = {
    val Array(rows, how) = args
    val spark = SparkSession.builder().getOrCreate()
    println(s"rows ${spark.range(rows.toLong).count()} ${spark.version} ${spark.conf.get("spark.acme.word")}")
    if (how == "throws") throw new IllegalStateException("no orders for this day")
    if (how == "waits") { println("waits"); Thread.sleep(600000) }
    spark.stop()
    sys.exit(how.toInt)
  }
}
"""


def compiled(folder: Path) -> Path:
    """The jar, which is not on Spark's class path by itself."""
    source, jar = folder / "Daily.scala", folder / "acme-daily.jar"
    source.write_text(SOURCE)
    java = [str(find_java().path), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{spark_home() / 'jars'}/*"]
    compiler = ["scala.tools.nsc.Main", "-usejavacp", "-nowarn", "-d", str(jar), str(source)]
    subprocess.run([*java, *compiler], check=True, timeout=200, capture_output=True, text=True)
    return jar
