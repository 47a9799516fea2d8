"""The name server on the wire: what it answers to whom, by its own library, by dig and through a caching resolver, and what cannot harm it."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from dnslib import EDNS0, QTYPE, RCODE, RR, A, DNSHeader, DNSQuestion, DNSRecord
from factories import NOW, a_cache_cluster, a_group
from hypothesis import given, settings
from hypothesis import strategies as st
from situations import FIRST, SECOND, at_work, sharded_at_work
from waiting import wait_until

from cachewright.resolver import Resolver
from controlplane.dns.answer import LARGEST_ANSWER, MOST_RECORDS, answer
from controlplane.dns.listening import CannotListenError, Listeners, listen_for_queries
from controlplane.dns.server import NameServer
from controlplane.dns.zone import Authority, Zone
from controlplane.domain.endpoint_names import account_hash
from controlplane.domain.reported import RUNNING, SeenNode
from controlplane.domain.topology import Endpoints, Placement, Topology
from controlplane.store.store import Store

SUFFIX = "cache.test.internal"
HASH = "rfejuh"
PRIMARY = f"orders.{HASH}.ng.0001.use1.{SUFFIX}"
READER = f"orders-ro.{HASH}.ng.0001.use1.{SUFFIX}"
NODE = f"{SECOND}.{HASH}.0001.use1.{SUFFIX}"
CONFIGURATION = f"shards.{HASH}.clustercfg.use1.{SUFFIX}"


@dataclass
class World:
    """A store with one named group that is at work, and a zone over it."""

    store: Store
    zone: Zone

    def save(self, topology: Topology, seen: dict[str, SeenNode]) -> Topology:
        with self.store.transaction() as unit:
            former = unit.topologies.get(topology.uid)
            saved = unit.topologies.save(replace(topology, version=former.version if former else 0))
            for node, report in seen.items():
                unit.reports.put_node(topology.key(node), report, NOW)
        return saved

    def ask(self, name: str, kind: str = "A", *, packet: bytes | None = None) -> DNSRecord:
        found = answer(packet or DNSRecord.question(name, kind).pack(), self.zone)
        assert found is not None
        return DNSRecord.parse(found)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    made = World(store, Zone(store, Authority(SUFFIX, 1, "127.0.0.1")))
    made.save(*group())
    yield made
    store.close()


def group(**fields: object) -> tuple[Topology, dict[str, SeenNode]]:
    """The group ``orders`` at work, its endpoints named."""
    now = at_work(**fields)
    topology = replace(now.topology, endpoints=Endpoints.NAMED, primary_address=None, reader_address=None, reader_agent=None)
    return topology, now.reported.nodes


def shards(number: int) -> tuple[Topology, dict[str, SeenNode]]:
    now = sharded_at_work(shards=number, name="shards")
    return replace(now.topology, endpoints=Endpoints.NAMED, configuration_address=None), now.reported.nodes


def found(reply: DNSRecord) -> list[str]:
    return [str(record.rdata) for record in reply.rr]


@pytest.fixture
def server(world: World) -> Iterator[NameServer]:
    made = NameServer(listen_for_queries("127.0.0.1:0"), world.zone)
    made.start()
    yield made
    made.close()


def over_udp(server: NameServer, packet: bytes, within: float = 5) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(within)
        asking.sendto(packet, server.place)
        return asking.recv(4096)


# ---- answers


def test_a_name_has_its_address_and_the_answer_is_authoritative(world: World) -> None:
    reply = world.ask(PRIMARY)
    assert found(reply) == ["127.101.0.1"]
    assert (reply.rr[0].ttl, reply.header.aa, reply.header.ra, reply.header.tc) == (1, 1, 0, 0)
    assert found(world.ask(NODE)) == ["127.101.0.2"]


def test_names_have_no_case_and_come_back_as_they_were_asked(world: World) -> None:
    shouted = PRIMARY.upper()
    reply = world.ask(shouted)
    assert found(reply) == ["127.101.0.1"]
    assert str(reply.q.qname) == f"{shouted}."


def test_the_answer_is_as_new_as_the_last_commit(world: World) -> None:
    topology, seen = group()
    elected = topology.with_group(replace(topology.node_groups[0], primary=SECOND, holder=SECOND, epoch=2))
    world.save(elected, {})
    assert found(world.ask(PRIMARY)) == []
    world.save(elected, {SECOND: replace(seen[SECOND], role="primary", epoch=2)})
    assert found(world.ask(PRIMARY)) == ["127.101.0.2"]


def test_nobody_there_is_an_empty_answer_that_is_not_remembered(world: World) -> None:
    world.save(group()[0], {FIRST: SeenNode("dead", 1)})
    reply = world.ask(PRIMARY)
    assert (reply.header.rcode, found(reply)) == (RCODE.NOERROR, [])
    (authority,) = reply.auth
    assert (str(authority.rname), QTYPE[authority.rtype], authority.ttl) == (f"{SUFFIX}.", "SOA", 0)


def test_the_reader_turns_with_each_answer_whatever_else_is_asked_between(world: World) -> None:
    firsts = []
    for _ in range(6):
        reply = world.ask(READER)
        world.ask(READER, "AAAA")
        world.ask(PRIMARY)
        assert sorted(found(reply)) == ["127.101.0.2", "127.101.0.3"]
        firsts.append(found(reply)[0])
    assert firsts == firsts[:2] * 3
    assert len(set(firsts)) == 2


def test_a_node_with_an_ipv6_address_has_an_aaaa_and_no_a(world: World) -> None:
    topology, seen = group()
    node = topology.node(SECOND)
    assert node is not None
    assert node.placement is not None
    world.save(topology.with_node(replace(node, placement=Placement("agent-b", "fd00::7", node.placement.binary))), seen)
    assert found(world.ask(NODE, "AAAA")) == ["fd00::7"]
    assert found(world.ask(NODE, "A")) == []
    assert world.ask(NODE, "A").header.rcode == RCODE.NOERROR
    assert found(world.ask(NODE, "ANY")) == ["fd00::7"]


@pytest.mark.parametrize("kind", ["AAAA", "MX", "TXT", "SRV", "CNAME", "SOA", "NS", "PTR"])
def test_another_type_of_a_name_is_an_empty_answer(world: World, kind: str) -> None:
    reply = world.ask(PRIMARY, kind)
    assert (reply.header.rcode, found(reply), len(reply.auth)) == (RCODE.NOERROR, [], 1)


@pytest.mark.parametrize(
    "name",
    [
        f"others.{HASH}.ng.0001.use1.{SUFFIX}", f"orders-004.{HASH}.0001.use1.{SUFFIX}", f"orders.aaaaaa.ng.0001.use1.{SUFFIX}",
        f"orders.{HASH}.ng.0001.euw1.{SUFFIX}", f"orders.{HASH}.clustercfg.use1.{SUFFIX}", f"orders.{HASH}.cfg.use1.{SUFFIX}",
        f"nonsense.{SUFFIX}", f"a.{PRIMARY}", f"euw1.{SUFFIX}", f"*.{SUFFIX}",
    ],
)  # fmt: skip
def test_an_unknown_name_does_not_exist(world: World, name: str) -> None:
    reply = world.ask(name)
    assert (reply.header.rcode, reply.header.aa, found(reply), len(reply.auth)) == (RCODE.NXDOMAIN, 1, [], 1)


@pytest.mark.parametrize("above", [f"use1.{SUFFIX}", f"0001.use1.{SUFFIX}", f"ng.0001.use1.{SUFFIX}", f"{HASH}.ng.0001.use1.{SUFFIX}",
                                   f"cfg.use1.{SUFFIX}", f"{HASH}.use1.{SUFFIX}", f"orders.{HASH}.use1.{SUFFIX}"])  # fmt: skip
def test_what_lies_above_names_exists(world: World, above: str) -> None:
    reply = world.ask(above)
    assert (reply.header.rcode, found(reply), len(reply.auth)) == (RCODE.NOERROR, [], 1)


@pytest.mark.parametrize("name", ["example.com", "internal", f"x{SUFFIX}", "cache.test", "."])
def test_what_is_not_ours_is_refused(world: World, name: str) -> None:
    reply = world.ask(name)
    assert (reply.header.rcode, reply.header.aa, found(reply), reply.auth) == (RCODE.REFUSED, 0, [], [])


@pytest.mark.parametrize("kind", ["AXFR", "IXFR"])
def test_the_zone_is_not_given_away(world: World, kind: str) -> None:
    assert world.ask(SUFFIX, kind).header.rcode == RCODE.REFUSED


def test_the_zone_says_what_it_is(world: World) -> None:
    (soa,) = found(world.ask(SUFFIX, "SOA"))
    assert soa.split()[:2] == [f"ns.{SUFFIX}.", f"hostmaster.{SUFFIX}."]
    assert found(world.ask(SUFFIX, "NS")) == [f"ns.{SUFFIX}."]
    assert found(world.ask(f"ns.{SUFFIX}")) == ["127.0.0.1"]
    assert world.ask(SUFFIX, "A").header.rcode == RCODE.NOERROR
    assert len(world.ask(SUFFIX, "ANY").rr) == 2


def test_another_class_is_refused(world: World) -> None:
    assert world.ask("", packet=DNSRecord(q=DNSQuestion(f"version.{SUFFIX}", QTYPE.TXT, 3)).pack()).header.rcode == RCODE.REFUSED


# ---- sizes


def test_of_many_nodes_each_query_hears_of_some(world: World) -> None:
    topology, seen = shards(10)
    world.save(topology, seen)
    replies = [world.ask(CONFIGURATION) for _ in range(20)]
    assert {len(reply.rr) for reply in replies} == {MOST_RECORDS}
    assert {address for reply in replies for address in found(reply)} == {node.placement.address for node in topology.nodes if node.placement}


@pytest.mark.parametrize("kind", ["AAAA", "ANY", "SOA", "MX"])
def test_the_longest_answer_fits_into_any_datagram(world: World, kind: str) -> None:
    topology, seen = shards(10)
    name, region = "shards-of-a-name-as-long-as-there-may-be", "r" * 40
    for number, each in enumerate(topology.nodes):
        assert each.placement is not None
        far = Placement("agent-a", f"fd00:1111:2222:3333:4444:5555:6666:{number + 0x1000:x}", each.placement.binary)
        topology = topology.with_node(replace(each, placement=far))
    named = replace(topology, name=name, world=replace(topology.world, region=region))
    world.save(named, seen)
    zone = Zone(world.store, replace(world.zone.authority, suffix=("a" * 49 + ".") * 2 + "b" * 50))
    account = account_hash(named.world)
    for asked in (f"{name}.{account}.clustercfg.{region}", f"{'x' * 40}.{account}.clustercfg.{region}"):
        question = DNSRecord.question(f"{asked}.{zone.authority.suffix}".title(), kind)
        question.add_ar(EDNS0())
        reply = answer(question.pack(), zone)
        assert reply is not None
        assert len(reply) <= LARGEST_ANSWER
        if kind in ("AAAA", "ANY") and asked.startswith(name):
            assert len(DNSRecord.parse(reply).rr) == MOST_RECORDS


def test_an_answer_makes_no_amplifier(world: World) -> None:
    world.save(*shards(10))
    packet = DNSRecord.question(CONFIGURATION).pack()
    reply = answer(packet, world.zone)
    assert reply is not None
    assert len(reply) < 4 * len(packet)


# ---- EDNS


def test_who_speaks_edns_is_answered_so(world: World) -> None:
    asked = DNSRecord.question(PRIMARY)
    assert not world.ask("", packet=asked.pack()).ar
    asked.add_ar(EDNS0(udp_len=4096, flags="do"))
    (option,) = world.ask("", packet=asked.pack()).ar
    assert (QTYPE[option.rtype], option.rclass) == ("OPT", 1232)


def test_another_version_of_edns_is_not_spoken(world: World) -> None:
    asked = DNSRecord.question(PRIMARY)
    asked.add_ar(EDNS0(version=1))
    reply = world.ask("", packet=asked.pack())
    assert reply.ar[0].ttl >> 24 == 1  # the upper part of BADVERS
    assert found(reply) == []


def test_two_edns_options_are_an_error(world: World) -> None:
    asked = DNSRecord.question(PRIMARY)
    asked.add_ar(EDNS0(), EDNS0())
    assert world.ask("", packet=asked.pack()).header.rcode == RCODE.FORMERR


# ---- what is wrong


def test_an_answer_is_not_answered(world: World) -> None:
    reply = DNSRecord.question(PRIMARY).reply()
    assert answer(reply.pack(), world.zone) is None


@pytest.mark.parametrize("opcode", [1, 2, 4, 5, 15])
def test_nothing_but_a_query_is_understood(world: World, opcode: int) -> None:
    packet = DNSRecord(DNSHeader(opcode=opcode, qr=0), q=DNSQuestion(PRIMARY)).pack()
    assert world.ask("", packet=packet).header.rcode == RCODE.NOTIMP


@pytest.mark.parametrize("questions", [0, 2])
def test_there_is_one_question(world: World, questions: int) -> None:
    packet = DNSRecord(DNSHeader(), questions=[DNSQuestion(PRIMARY)] * questions).pack()
    assert world.ask("", packet=packet).header.rcode == RCODE.FORMERR


def test_a_name_that_points_at_itself_is_an_error(world: World) -> None:
    packet = struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01"
    assert world.ask("", packet=packet).header.rcode == RCODE.FORMERR


@pytest.mark.parametrize("labels", [[b"a" * 63] * 4, [b"a" * 63] * 3 + [b"b" * 61], [b"a" * 63] * 9, [b"\xff" * 20, b"."], [b"\x00"]])
def test_a_name_of_any_length_and_letters_is_refused_or_an_error(world: World, labels: list[bytes]) -> None:
    name = b"".join(bytes([len(label)]) + label for label in [*labels, *map(str.encode, SUFFIX.split("."))])
    for asked in (name, name[: len(name) - len(SUFFIX) - 1]):
        packet = struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0) + asked + b"\x00\x00\x01\x00\x01"
        reply = world.ask("", packet=packet)
        assert reply.header.rcode in (RCODE.FORMERR, RCODE.REFUSED, RCODE.NXDOMAIN)
        assert not reply.rr


def mangled() -> st.SearchStrategy[bytes]:
    """Queries with bytes changed, cut off and added, and what was never one."""
    good = DNSRecord.question(PRIMARY)
    good.add_ar(EDNS0(udp_len=4096))
    whole, strange = good.pack(), DNSRecord.question(PRIMARY)
    strange.add_answer(RR("a.b", QTYPE.A, 1, 1, A("1.2.3.4")))

    def change(packet: bytes, changes: list[tuple[int, int]], cut: int, tail: bytes) -> bytes:
        found = bytearray(packet)
        for place, value in changes:
            found[place % len(found)] = value
        return bytes(found[: len(found) - cut]) + tail

    edits = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6)
    near = st.builds(change, st.sampled_from([whole, strange.pack()]), edits, st.integers(0, 40), st.binary(max_size=20))
    headed = st.binary(max_size=200).map(lambda rest: struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 1) + rest)
    return st.one_of(near, near, headed, st.binary(max_size=300))


def test_no_packet_breaks_an_answer(world: World) -> None:
    @settings(max_examples=1500, deadline=None, database=None)
    @given(mangled())
    def any_packet(packet: bytes) -> None:
        reply = answer(packet, world.zone)
        if reply is not None:
            assert reply[:2] == packet[:2]
            assert reply[2] & 0x80, "no answer"
            assert len(reply) <= LARGEST_ANSWER
            DNSRecord.parse(reply)

    any_packet()


def test_the_server_outlives_what_it_is_sent(server: NameServer, caplog: pytest.LogCaptureFixture) -> None:
    @settings(max_examples=200, deadline=None, database=None)
    @given(mangled())
    def any_packet(packet: bytes) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.sendto(packet, server.place)

    any_packet()
    assert Resolver(*server.place, suffix=SUFFIX).resolve(PRIMARY) == ["127.101.0.1"]
    assert not caplog.records


# ---- transports


def test_udp_and_tcp_say_the_same(server: NameServer) -> None:
    packet = DNSRecord.question(PRIMARY).pack()
    with socket.create_connection(server.place, timeout=5) as asking, asking.makefile("rb") as stream:
        for _ in range(3):  # one after the other on one connection
            asking.sendall(struct.pack("!H", len(packet)) + packet)
            assert stream.read(int.from_bytes(stream.read(2), "big")) == over_udp(server, packet)


def test_a_query_over_tcp_may_come_in_pieces_and_several_at_once(server: NameServer) -> None:
    packet = DNSRecord.question(PRIMARY).pack()
    framed = struct.pack("!H", len(packet)) + packet
    with socket.create_connection(server.place, timeout=5) as asking, asking.makefile("rb") as stream:
        asking.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(framed)):
            asking.sendall(framed[at : at + 1])
        asking.sendall(framed * 4)
        replies = [stream.read(int.from_bytes(stream.read(2), "big")) for _ in range(5)]
    assert [found(DNSRecord.parse(reply)) for reply in replies] == [["127.101.0.1"]] * 5


@pytest.mark.parametrize("sent", [b"\xff\xff", b"\x00\x00", b"\x00\x05abcde", b"GET / HTTP/1.1\r\n\r\n"])
def test_who_talks_nonsense_over_tcp_is_not_heard_any_longer(server: NameServer, sent: bytes) -> None:
    with socket.create_connection(server.place, timeout=5) as asking:
        asking.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            assert asking.recv(100) == b""
    assert over_udp(server, DNSRecord.question(PRIMARY).pack())


def test_many_idle_connections_keep_nobody_out(server: NameServer) -> None:
    packet = DNSRecord.question(PRIMARY).pack()
    with contextlib.ExitStack() as kept:
        for _ in range(150):
            kept.enter_context(socket.create_connection(server.place, timeout=5))
        with socket.create_connection(server.place, timeout=5) as asking:
            asking.sendall(struct.pack("!H", len(packet)) + packet)
            assert asking.recv(100)


def test_a_server_that_is_closed_has_let_its_port_go(world: World) -> None:
    first = NameServer(listen_for_queries("127.0.0.1:0"), world.zone)
    first.start()
    host, port = first.place
    with pytest.raises(CannotListenError, match=f"cannot serve DNS at 127.0.0.1:{port}: .*--dns-listen"):
        listen_for_queries(f"127.0.0.1:{port}")
    first.close()
    second = NameServer(listen_for_queries(f"{host}:{port}"), world.zone)
    second.close()  # one that was never started


@pytest.mark.parametrize("where", ["", "127.0.0.1", ":53", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:٣"])
def test_a_place_is_a_host_and_a_port(where: str) -> None:
    with pytest.raises(CannotListenError, match="no place to serve DNS at"):
        listen_for_queries(where)


def test_it_can_be_asked_over_ipv6(world: World) -> None:
    server = NameServer(listen_for_queries("[::1]:0"), world.zone)
    server.start()
    try:
        assert Resolver(*server.place, suffix=SUFFIX).resolve(PRIMARY) == ["127.101.0.1"]
        assert f"at [::1]:{server.place[1]}" in server.invitation
    finally:
        server.close()


# ---- others' programs


def dig(server: NameServer, *words: str) -> str:
    host, port = server.place
    asked = subprocess.run(["dig", f"@{host}", "-p", str(port), "+noall", "+comments", "+answer", *words], capture_output=True, text=True, check=True)
    return " ".join(asked.stdout.split())


def test_dig_understands_every_kind_of_answer(server: NameServer) -> None:
    assert f"{PRIMARY}. 1 IN A 127.101.0.1" in dig(server, PRIMARY)
    assert "flags: qr aa rd; QUERY: 1, ANSWER: 2" in dig(server, "+tcp", READER)
    assert "status: NXDOMAIN" in dig(server, f"nonsense.{SUFFIX}")
    assert "status: REFUSED" in dig(server, "example.com")
    assert "status: BADVERS" in dig(server, "+edns=1", "+noednsneg", PRIMARY)
    assert "status: NOERROR" in dig(server, "-t", "AAAA", PRIMARY)
    assert "status: NOTIMP" in dig(server, "+opcode=notify", PRIMARY)
    for words in (dig(server, PRIMARY), dig(server, "+tcp", READER), dig(server, SUFFIX, "ANY")):
        assert "Warning" not in words
        assert "malformed" not in words


def free_place() -> Listeners:
    return listen_for_queries("127.0.0.1:0")


def test_a_caching_resolver_passes_names_on_and_forgets_them_in_time(world: World, server: NameServer) -> None:
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program is not None, "dnsmasq is not installed; run scripts/system-packages"
    place = free_place()
    host, port = place.place
    place.close()
    words = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", f"--listen-address={host}",
             f"--port={port}", f"--server=/{SUFFIX}/{server.place[0]}#{server.place[1]}", "--pid-file="]  # fmt: skip
    with subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as cache:
        try:
            through = Resolver(host, port, suffix=SUFFIX, timeout=0.5)
            wait_until(lambda: resolved(through, PRIMARY) == ["127.101.0.1"], within=10)
            topology, seen = group()
            elected = topology.with_group(replace(topology.node_groups[0], primary=SECOND, holder=SECOND, epoch=2))
            world.save(elected, {SECOND: replace(seen[SECOND], role="primary", epoch=2)})
            wait_until(lambda: resolved(through, PRIMARY) == ["127.101.0.2"], within=10)
            assert resolved(through, f"nonsense.{SUFFIX}") is None
        finally:
            cache.terminate()


def resolved(resolver: Resolver, name: str) -> list[str] | None:
    try:
        return resolver.resolve(name)
    except OSError:
        return None


# ---- several accounts, other kinds


def test_bound_endpoints_are_named_too(world: World) -> None:
    world.save(at_work().topology, {})
    assert found(world.ask(PRIMARY)) == ["127.100.0.1"]
    assert found(world.ask(READER)) == ["127.100.0.2"]
    assert found(world.ask(NODE)) == ["127.101.0.2"]


def test_what_is_forgotten_has_no_name(world: World) -> None:
    assert world.ask(PRIMARY).rr
    with world.store.transaction() as unit:
        topology = unit.topologies.get(group()[0].uid)
        assert topology is not None
        unit.topologies.forget(topology)
    assert world.ask(PRIMARY).header.rcode == RCODE.NXDOMAIN


def test_accounts_do_not_see_each_other(world: World) -> None:
    stranger = replace(a_group("orders"), uid="stranger", world=replace(a_group().world, account="111111111111"))
    world.save(stranger, {})
    assert found(world.ask(PRIMARY)) == ["127.101.0.1"]


def test_a_memcached_cluster_is_named(world: World) -> None:
    topology = a_cache_cluster(nodes=2, endpoints=Endpoints.NAMED)
    world.save(topology, {"0001": SeenNode(RUNNING, 1, "none")})
    reply = world.ask(f"sessions.{HASH}.0002.use1.{SUFFIX}")
    assert (reply.header.rcode, found(reply)) == (RCODE.NOERROR, []), "it is not placed yet"
    assert world.ask(f"sessions.{HASH}.0003.use1.{SUFFIX}").header.rcode == RCODE.NXDOMAIN
