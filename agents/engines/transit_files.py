"""The files by which an engine speaks TLS, in its node's folder, and what it is told of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from agents.engines.cluster_bus import BUS_OFFSET
from api_schemas.agent.node import NodeSpec
from api_schemas.agent.transit import Transit

SOCKET = "engine.sock"
"""Where the node's own agent, and a front, come in: a Unix socket, which needs no encryption."""

CERTIFICATE, PRIVATE_KEY, AUTHORITY = "transit.crt", "transit.key", "transit-authority.crt"


def write_transit(transit: Transit, folder: Path) -> None:
    """Write certificate, key and authority anew, for their owner alone. A link that somebody laid there is not followed."""
    proof = transit.certified
    for name, text in ((CERTIFICATE, proof.certificate), (PRIVATE_KEY, proof.private_key), (AUTHORITY, proof.authority)):
        fresh = folder / f"{name}.new"
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600, exist_ok=False)
        fresh.write_text(text)
        fresh.replace(folder / name)


def told_of_files(folder: Path) -> list[tuple[str, str]]:
    """What an engine with TLS is told of the files, all in one command: a certificate alone would not go with the former key."""
    return [("tls-cert-file", str(folder / CERTIFICATE)), ("tls-key-file", str(folder / PRIVATE_KEY)),
            ("tls-ca-cert-file", str(folder / AUTHORITY))]  # fmt: skip


def listening(spec: NodeSpec) -> Iterator[tuple[str, str]]:
    """Where an engine listens: at its own address in clear, or with TLS; with a front before it on a Unix socket only."""
    if spec.transit is None:
        yield "port", str(spec.port)
        return
    yield "port", "0"
    if spec.transit.native:
        yield "tls-port", str(spec.port)
    yield "unixsocket", SOCKET
    yield "unixsocketperm", "700"


def encryption(spec: NodeSpec, quoted_files: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """How an engine that can speak TLS does, to clients, to its primary and on the cluster bus. Nobody needs a certificate to come in."""
    if spec.transit is None or not spec.binary.tls:
        return
    yield from quoted_files
    yield "tls-auth-clients", "no"
    if spec.transit.native:
        yield "tls-replication", "yes"
        if spec.mesh is not None:
            yield "tls-cluster", "yes"


def bus_ports(spec: NodeSpec) -> Iterator[tuple[str, str]]:
    """What an engine that listens for no clients itself must be told: where its front does, and where it is met on the cluster bus."""
    if spec.transit is None or spec.transit.native:
        return
    yield "cluster-port", str(spec.port + BUS_OFFSET)
    yield "cluster-announce-port", str(spec.port)
    yield "cluster-announce-bus-port", str(spec.port + BUS_OFFSET)
