from __future__ import annotations

import json
import subprocess
from pathlib import Path

import javaproperties
from hypothesis import given
from hypothesis import strategies as st

from test_infra.jvm.java import find_java
from test_infra.jvm.properties import properties_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
AWKWARD = {
    "plain": "value",
    "number": "7",
    "key with = : # and space": "a = b: \\ #größer 100%",
    " leading": "  two leading spaces",
    "trailing": "tail \t",
    "lines": "one\ntwo\r\nthree\f",
    "!not a comment": "#nor this",
    "umlaut_ä": "\U0001f600 ☃ é",
    "empty": "",
}
READS = """
import java.io.*; import java.nio.charset.StandardCharsets; import java.util.*;
public class Reads {
    public static void main(String[] given) throws Exception {
        Properties read = new Properties();
        read.load(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, true, "US-ASCII");
        for (String name : new TreeSet<>(read.stringPropertyNames()))
            out.println(hex(name) + " " + hex(read.getProperty(name)));
    }
    static String hex(String text) {
        StringBuilder codes = new StringBuilder("x");
        for (byte one : text.getBytes(StandardCharsets.UTF_16BE)) codes.append(String.format("%02x", one));
        return codes.toString();
    }
}
"""


def test_java_reads_every_name_and_value_as_it_was_given(tmp_path: Path) -> None:
    program = tmp_path / "Reads.java"
    program.write_text(READS)
    text = properties_text(AWKWARD)
    java = [str(find_java().path), "-XX:TieredStopAtLevel=1", str(program)]
    read = subprocess.run(java, input=text, capture_output=True, text=True, check=True, timeout=60).stdout
    pairs = (line.split(" ") for line in read.splitlines())
    found = {_text(name): _text(value) for name, value in pairs}
    assert json.dumps(found, sort_keys=True) == json.dumps(AWKWARD, sort_keys=True)


@given(st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=5))
def test_names_and_values_survive_in_ascii_and_in_order(properties: dict[str, str]) -> None:
    text = properties_text(properties)
    assert text.isascii()
    assert list(javaproperties.loads(text).items()) == list(properties.items())


def test_a_file_has_no_time_in_it_so_that_equal_properties_are_equal_files() -> None:
    assert properties_text({"a": 1, "b": True}) == "a=1\nb=True\n"


def _text(codes: str) -> str:
    return bytes.fromhex(codes[1:]).decode("utf-16-be")
