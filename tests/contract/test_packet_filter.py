"""One suite for every packet filter: packets are dropped between two networks and nowhere else, and nothing is left behind.

Only root may filter packets. For everybody else there is no filter, and that is what is shown then.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from agents.address_block import block_of, give_back
from agents.faulting.packet_filter import Drop, FilterRefusedError, Iptables, Nft, PacketFilter, find_filter, owner_of

ROOT = find_filter() is not None
FILTERS: list[PacketFilter] = [Nft(), Iptables()] if ROOT else []


class Link:
    """Connections between addresses of a block that nobody else uses."""

    def __init__(self, folder: Path) -> None:
        self.block = block_of(folder)
        self.owner = owner_of(folder)

    def network(self, letter: str) -> str:
        return f"127.{101 + 'abc'.index(letter)}.{self.block}.0/24"

    def passes(self, source: str, target: str) -> bool:
        """Whether a connection from one zone's address to another's comes about."""
        here, there = (f"127.{101 + 'abc'.index(letter)}.{self.block}.7" for letter in (source, target))
        with socket.socket() as listener, socket.socket() as client:
            listener.bind((there, 0))
            listener.listen()
            client.bind((here, 0))
            client.settimeout(0.2)
            try:
                client.connect(listener.getsockname())
            except TimeoutError:
                return False
            return True

    def drops(self, one: str, other: str) -> list[Drop]:
        return [Drop(self.network(a), self.network(b), "fault-1") for a, b in ((one, other), (other, one))]


@pytest.fixture
def link(tmp_path: Path) -> Iterator[Link]:
    yield Link(tmp_path)
    for each in FILTERS:
        each.put(owner_of(tmp_path), [])
    give_back(tmp_path)


@pytest.mark.parametrize("packet_filter", FILTERS, ids=lambda each: each.name)
def test_only_what_is_named_is_dropped_and_no_rules_leave_nothing(packet_filter: PacketFilter, link: Link) -> None:
    packet_filter.put(link.owner, link.drops("a", "b"))
    assert (link.passes("a", "b"), link.passes("b", "a")) == (False, False)
    assert (link.passes("a", "c"), link.passes("c", "b"), link.passes("a", "a")) == (True, True, True)
    assert packet_filter.count(link.owner) == 2
    packet_filter.put(link.owner, [])
    assert (link.passes("a", "b"), packet_filter.count(link.owner)) == (True, 0)


@pytest.mark.parametrize("packet_filter", FILTERS, ids=lambda each: each.name)
def test_rules_are_replaced_as_a_whole_and_no_rules_can_be_said_twice(packet_filter: PacketFilter, link: Link) -> None:
    for one, other in (("a", "b"), ("a", "b"), ("b", "c")):
        packet_filter.put(link.owner, link.drops(one, other))
        assert packet_filter.count(link.owner) == 2
    assert (link.passes("a", "b"), link.passes("b", "c")) == (True, False)
    for _ in range(2):
        packet_filter.put(link.owner, [])
        assert packet_filter.count(link.owner) == 0


@pytest.mark.parametrize("packet_filter", FILTERS, ids=lambda each: each.name)
def test_an_open_connection_is_cut_and_goes_on_afterwards(packet_filter: PacketFilter, link: Link) -> None:
    with socket.socket() as listener:
        listener.bind((f"127.102.{link.block}.7", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname(), source_address=(f"127.101.{link.block}.7", 0)) as client:
            server, _ = listener.accept()
            with server:
                server.settimeout(0.2)
                packet_filter.put(link.owner, link.drops("a", "b"))
                client.send(b"x")
                with pytest.raises(TimeoutError):
                    server.recv(1)
                packet_filter.put(link.owner, [])
                server.settimeout(10)
                assert server.recv(1) == b"x"


@pytest.mark.parametrize("packet_filter", FILTERS, ids=lambda each: each.name)
def test_one_owner_leaves_the_rules_of_another_alone(packet_filter: PacketFilter, link: Link, tmp_path: Path) -> None:
    other = owner_of(tmp_path / "other")
    packet_filter.put(link.owner, link.drops("a", "b"))
    packet_filter.put(other, link.drops("b", "c"))
    packet_filter.put(other, [])
    assert (packet_filter.count(link.owner), packet_filter.count(other)) == (2, 0)


@pytest.mark.parametrize("packet_filter", FILTERS, ids=lambda each: each.name)
def test_rules_that_make_no_sense_are_refused_and_leave_nothing(packet_filter: PacketFilter, link: Link) -> None:
    with pytest.raises(FilterRefusedError, match="refused"):
        packet_filter.put(link.owner, [Drop("127.101.0.0/24", "nowhere at all", "fault-1")])
    assert packet_filter.count(link.owner) == 0


def test_a_user_without_the_right_has_no_filter() -> None:
    """Asked by a child that has given its rights away."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        os.write(write, repr(find_filter.__wrapped__()).encode())
        os._exit(0)
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0
    assert wait_until(lambda: os.read(read, 100)) == b"None"
    os.close(read)
