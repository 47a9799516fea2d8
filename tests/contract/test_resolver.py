"""What a Python process that has a resolver in use finds behind names, and what it is told where there is nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnslib import QTYPE, RR, A, DNSRecord
from factories import NOW
from situations import FIRST, at_work, named

from cachewright.local_server import LocalServer
from cachewright.resolver import Resolver
from controlplane.dns.listening import listen_for_queries
from controlplane.dns.server import NameServer
from controlplane.dns.zone import Authority, Zone
from controlplane.domain.reported import SeenNode
from controlplane.store.store import Store

SUFFIX = "cache.test.internal"
PRIMARY = f"orders.rfejuh.ng.0001.use1.{SUFFIX}"
READER = f"orders-ro.rfejuh.ng.0001.use1.{SUFFIX}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The group ``orders`` at work."""
    opened = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    now = named(at_work())
    with opened.transaction() as unit:
        unit.topologies.save(now.topology)
        for node, seen in now.reported.nodes.items():
            unit.reports.put_node(now.topology.key(node), seen, NOW)
    yield opened
    opened.close()


@pytest.fixture
def resolver(store: Store) -> Iterator[Resolver]:
    server = NameServer(listen_for_queries("127.0.0.1:0"), Zone(store, Authority(SUFFIX, 1)))
    server.start()
    yield Resolver(*server.place, suffix=SUFFIX.upper())
    server.close()


def looked_up(name: str, family: int = 0) -> list[str]:
    return [entry[4][0] for entry in socket.getaddrinfo(name, 6379, family, socket.SOCK_STREAM)]


def test_in_use_it_answers_for_its_names_and_for_no_others(resolver: Resolver) -> None:
    former = socket.getaddrinfo
    with resolver.in_use():
        assert looked_up(PRIMARY) == looked_up(f"{PRIMARY}.") == looked_up(PRIMARY.upper()) == ["127.101.0.1"]
        assert sorted(looked_up(READER, socket.AF_INET)) == ["127.101.0.2", "127.101.0.3"]
        assert looked_up("127.0.0.9") == ["127.0.0.9"]
        assert socket.getaddrinfo(None, 1)
        with pytest.raises(socket.gaierror, match="no address of that family"):
            looked_up(PRIMARY, socket.AF_INET6)
    assert socket.getaddrinfo is former


def test_it_is_out_of_use_after_an_error_as_well(resolver: Resolver) -> None:
    former = socket.getaddrinfo
    with pytest.raises(KeyError), resolver.in_use():
        raise KeyError
    assert socket.getaddrinfo is former


def test_what_there_is_not_and_what_nobody_does_now_are_told_apart(store: Store, resolver: Resolver) -> None:
    with pytest.raises(socket.gaierror, match="the name of nothing") as unknown:
        resolver.resolve(f"others.rfejuh.ng.0001.use1.{SUFFIX}")
    assert unknown.value.errno == socket.EAI_NONAME
    with store.transaction() as unit:
        unit.reports.put_node(at_work().topology.key(FIRST), SeenNode("dead", 1), NOW)
    with pytest.raises(socket.gaierror, match=r"no node does what .* is for at this moment") as nobody:
        resolver.resolve(PRIMARY)
    assert nobody.value.errno == socket.EAI_AGAIN
    with pytest.raises(socket.gaierror, match=r"the server answers REFUSED for example\.com"):
        resolver.resolve("example.com")


@pytest.mark.parametrize("name", [f"{'a' * 64}.{SUFFIX}", f"a..{SUFFIX}", f"ö.{SUFFIX}", ("a" * 60 + ".") * 5 + SUFFIX])
def test_what_is_no_name_is_an_error_like_any_other(resolver: Resolver, name: str) -> None:
    with pytest.raises(socket.gaierror):
        resolver.resolve(name)


def test_where_nobody_answers_it_says_whom_it_asked() -> None:
    nowhere = listen_for_queries("127.0.0.1:0")
    host, port = nowhere.place
    nowhere.close()
    with pytest.raises(socket.gaierror, match=f"no name server answers at {host}:{port}.*serve --dns"):
        Resolver(host, port, timeout=0.2).resolve(PRIMARY)


def test_an_answer_that_was_cut_off_is_asked_for_over_tcp() -> None:
    """By another server between: ours cuts nothing off."""
    listeners = listen_for_queries("127.0.0.1:0")
    listeners.udp.setblocking(True)
    listeners.tcp.setblocking(True)

    def relay() -> None:
        for _ in ("A", "AAAA"):
            packet, sender = listeners.udp.recvfrom(4096)
            short = DNSRecord.parse(packet).reply()
            short.header.tc = 1
            listeners.udp.sendto(short.pack(), sender)
            accepted, _ = listeners.tcp.accept()
            with accepted, accepted.makefile("rb") as stream:
                asked = DNSRecord.parse(stream.read(int.from_bytes(stream.read(2), "big")))
                whole = asked.reply()
                if asked.q.qtype == QTYPE.A:
                    whole.add_answer(RR(asked.q.qname, QTYPE.A, 1, 1, A("127.1.2.3")))
                packed = whole.pack()
                accepted.sendall(len(packed).to_bytes(2, "big") + packed)

    between = threading.Thread(target=relay)
    between.start()
    try:
        assert Resolver(*listeners.place, suffix=SUFFIX, timeout=5).resolve(PRIMARY) == ["127.1.2.3"]
    finally:
        between.join(10)
        listeners.close()


def test_a_local_server_gives_a_resolver_only_where_it_serves_names(tmp_path: Path) -> None:
    server = LocalServer("http://127.0.0.1:1", 1, tmp_path, "none", (SUFFIX, "127.0.0.1", 8353))
    assert isinstance(server.resolver(), Resolver)
    with pytest.raises(ValueError, match="serves no names"):
        server._replace(dns=None).resolver()
