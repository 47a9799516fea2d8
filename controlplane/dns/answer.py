"""A query becomes an answer, bytes for bytes. Authoritative for one zone and for nothing else, and never much longer than the query."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable

from dnslib import AAAA, CLASS, EDNS0, NS, QTYPE, RCODE, RR, SOA, A, DNSError, DNSHeader, DNSQuestion, DNSRecord
from dnslib.label import DNSLabelError

from controlplane.dns.zone import NAME_SERVER, Zone

MOST_RECORDS = 8
"""Addresses in one answer. Of more nodes than that, each query hears of others."""

LARGEST_ANSWER = 512
"""Bytes that any answer is within, so that none is ever cut off over UDP: the longest name, and so few records, make no more."""

_TAKEN = 1232  # bytes of a query over UDP that we say we take: what passes any path unfragmented

_HEADER = struct.Struct("!HHHHHH")
_RESPONSE, _OPCODE, _RECURSION_DESIRED = 0x8000, 0x7800, 0x0100
_IN, _ANY_CLASS = CLASS.IN, 255
_ADDRESS_TYPES = (QTYPE.A, QTYPE.AAAA, QTYPE.ANY)
_TRANSFERS = (QTYPE.AXFR, QTYPE.IXFR)
_BAD_VERSION = 1  # the upper part of the extended code BADVERS


def answer(query: bytes, zone: Zone) -> bytes | None:
    """The answer to a query; None for what deserves none, such as an answer."""
    if len(query) < _HEADER.size:
        return None
    _, flags, questions, *_ = _HEADER.unpack_from(query)
    if flags & _RESPONSE:
        return None
    if flags & _OPCODE:
        return _refused(query, RCODE.NOTIMP)
    if questions != 1:
        return _refused(query, RCODE.FORMERR)
    try:
        asked = DNSRecord.parse(query)
        return _Reply(asked, zone).packed()
    except (DNSError, DNSLabelError, ValueError, struct.error):
        return _refused(query, RCODE.FORMERR)


def _refused(query: bytes, code: int) -> bytes:
    """A header and nothing else: of a query that cannot be read nothing is repeated."""
    number, flags, *_ = _HEADER.unpack_from(query)
    return _HEADER.pack(number, _RESPONSE | flags & (_OPCODE | _RECURSION_DESIRED) | code, 0, 0, 0, 0)


class _Reply:
    """The reply to one query that could be read."""

    def __init__(self, asked: DNSRecord, zone: Zone) -> None:
        self._asked = asked
        self._zone = zone
        self._question: DNSQuestion = asked.q
        self._about = zone.authority
        options = [record for record in asked.ar if record.rtype == QTYPE.OPT]
        self._edns = options[0] if len(options) == 1 else None
        self._twice = len(options) > 1
        self._reply = self._empty(RCODE.NOERROR)

    def packed(self) -> bytes:
        """The reply as bytes."""
        self._fill()
        packed: bytes = self._reply.pack()
        return packed

    def _empty(self, code: int) -> DNSRecord:
        header = DNSHeader(id=self._asked.header.id, qr=1, aa=int(code in (RCODE.NOERROR, RCODE.NXDOMAIN)), ra=0,
                           rd=self._asked.header.rd, rcode=code)  # fmt: skip
        reply = DNSRecord(header, q=self._question)
        if self._edns is not None:
            version = self._edns.ttl >> 16 & 0xFF
            reply.add_ar(EDNS0(udp_len=_TAKEN, ext_rcode=_BAD_VERSION if version else 0))
        return reply

    def _fill(self) -> None:
        if self._twice:
            self._reply = self._empty(RCODE.FORMERR)
        elif self._edns is not None and self._edns.ttl >> 16 & 0xFF:
            self._reply.header.aa = 0  # that version of EDNS is not spoken; the option says so
        elif (labels := self._labels()) is None or self._question.qclass not in (_IN, _ANY_CLASS) or self._question.qtype in _TRANSFERS:
            self._reply = self._empty(RCODE.REFUSED)
        elif labels:
            self._tell_addresses(labels)
        else:
            self._tell_of_the_zone()

    def _labels(self) -> tuple[str, ...] | None:
        """The labels of the asked name before the suffix, in lower case; None outside the zone."""
        labels = tuple(label.decode("ascii", "replace").lower() for label in self._question.qname.label)
        own = tuple(self._about.suffix.split("."))
        return labels[: -len(own)] if labels[-len(own) :] == own else None

    def _tell_addresses(self, labels: tuple[str, ...]) -> None:
        found = self._zone.lookup(labels)
        if found is None:
            self._reply = self._empty(RCODE.NXDOMAIN)
        elif self._question.qtype in _ADDRESS_TYPES:
            fitting = [pair for pair in map(_record, found) if self._question.qtype in (pair[0], QTYPE.ANY)]
            for kind, record in self._zone.in_turn(labels, fitting)[:MOST_RECORDS]:
                self._reply.add_answer(RR(self._question.qname, kind, _IN, self._about.ttl, record))
        if not self._reply.rr:
            self._reply.add_auth(self._authority(0))  # what is not there may be the next moment: not to be remembered

    def _tell_of_the_zone(self) -> None:
        suffix, kind = self._about.suffix, self._question.qtype
        if kind in (QTYPE.SOA, QTYPE.ANY):
            self._reply.add_answer(self._authority(self._about.ttl))
        if kind in (QTYPE.NS, QTYPE.ANY):
            self._reply.add_answer(RR(self._question.qname, QTYPE.NS, _IN, self._about.ttl, NS(f"{NAME_SERVER}.{suffix}")))
        if not self._reply.rr:
            self._reply.add_auth(self._authority(0))

    def _authority(self, ttl: int) -> RR:
        """The zone's SOA. Nobody transfers it, so its serial stands still; its last number is how long a negative answer counts."""
        suffix = self._about.suffix
        return RR(suffix, QTYPE.SOA, _IN, ttl, SOA(f"{NAME_SERVER}.{suffix}", f"hostmaster.{suffix}", (1, 3600, 600, 86400, 0)))


def _record(address: str) -> tuple[int, A | AAAA]:
    form: Callable[[str], A | AAAA] = A if ipaddress.ip_address(address).version == 4 else AAAA
    return (QTYPE.A if form is A else QTYPE.AAAA), form(address)
