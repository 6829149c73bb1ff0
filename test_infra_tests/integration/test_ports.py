"""Ports for services: free, and nobody else's until the service listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from test_infra.stack import ports
from test_infra.stack.ports import FIRST_OWN_PORT, LOOPBACK, PortTaken, free_ports


@pytest.fixture
def handed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the system says which ports it hands out."""
    file = tmp_path / "ip_local_port_range"
    monkeypatch.setattr(ports, "ASSIGNED_RANGE", file)
    return file


def test_none_of_them_is_one_that_the_system_hands_out(handed_out: Path) -> None:
    handed_out.write_text("32768\t60999\n")
    found = free_ports(50)
    assert len(set(found)) == 50
    assert all(FIRST_OWN_PORT <= port < 32_768 for port in found)


def test_one_that_is_taken_is_left_out(handed_out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "FEWEST_OWN_PORTS", 1)
    first = free_ports(1)[0]
    monkeypatch.setattr(ports, "FIRST_OWN_PORT", first)
    handed_out.write_text(f"{first + 2} 60999")
    with socket.socket() as taken:
        taken.bind((LOOPBACK, first))
        taken.listen()
        assert free_ports(1) == [first + 1]
        with pytest.raises(PortTaken, match="there are not 2 free"):
            free_ports(2)


def test_where_the_system_hands_out_nearly_all_it_is_asked(handed_out: Path) -> None:
    handed_out.write_text("1024 65535")
    found = free_ports(20)
    assert len(set(found)) == 20


def test_where_the_system_does_not_say_the_registered_ones_are_taken(handed_out: Path) -> None:
    assert not handed_out.exists()
    assert all(FIRST_OWN_PORT <= port < ports.LOWEST_BY_IANA for port in free_ports(20))
