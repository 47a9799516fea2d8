"""How orders go out over TLS: on one connection that is kept warm, and once more when it was closed meanwhile."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from agents_door import OpenDoor
from waiting import wait_until

from agents.tls import AgentTls
from api_schemas.agent.agent import Orders
from controlplane.reconciler.fleet import AgentUnreachableError
from controlplane.reconciler.http_fleet import HttpFleet

TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


class Scripted:
    """Stands where an agent takes orders: answers on each connection as many requests as it is told, then closes it."""

    def __init__(self, tls: AgentTls, *answers: int) -> None:
        self.asked: list[list[str]] = []
        self._answers = answers
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        for answers in self._answers:
            try:
                plain, _ = self._listener.accept()
                with self._tls.server.wrap_socket(plain, server_side=True) as connection:
                    self._answer(connection, answers)
            except OSError:
                return

    def _answer(self, connection: ssl.SSLSocket, answers: int) -> None:
        asked: list[str] = []
        self.asked.append(asked)
        while True:
            head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
            if not head:
                return
            lengths = [line.partition(b":")[2] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            while len(body) < sum(map(int, lengths)):
                body += connection.recv(65_536)
            asked.append(head.split(b" ")[1].decode())
            if len(asked) > answers:
                return
            connection.sendall(TAKEN)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[OpenDoor]:
    made = OpenDoor(tmp_path / "plane", lambda hello: None, lambda report: True)
    yield made
    made.close()


@pytest.fixture
def tls(door: OpenDoor, tmp_path: Path) -> AgentTls:
    return door.certify(tmp_path / "agent-b", "agent-b", "us-east-1b")


def test_an_idle_connection_is_kept_warm_and_used_again(door: OpenDoor, tls: AgentTls) -> None:
    agent = Scripted(tls, 1000)
    fleet = HttpFleet(lambda: door.tls.client, lambda _: agent.url, warm_every=0.02)
    fleet.push("agent-b", Orders())
    wait_until(lambda: agent.asked[0].count("/healthz") > 1)
    fleet.push("agent-b", Orders())
    fleet.close()
    agent.close()
    assert len(agent.asked) == 1
    assert agent.asked[0].count("/v1/orders") == 2


def test_orders_that_met_a_closing_connection_are_sent_once_more(door: OpenDoor, tls: AgentTls) -> None:
    agent = Scripted(tls, 1, 1)
    fleet = HttpFleet(lambda: door.tls.client, lambda _: agent.url)
    fleet.push("agent-b", Orders())
    fleet.push("agent-b", Orders())
    fleet.close()
    agent.close()
    assert agent.asked == [["/v1/orders", "/v1/orders"], ["/v1/orders"]]


def test_an_agent_that_always_hangs_up_is_unreachable(door: OpenDoor, tls: AgentTls) -> None:
    agent = Scripted(tls, 0, 0)
    fleet = HttpFleet(lambda: door.tls.client, lambda _: agent.url)
    with pytest.raises(AgentUnreachableError, match="does not answer"):
        fleet.push("agent-b", Orders())
    fleet.close()
    agent.close()
    assert len(agent.asked) == 2
