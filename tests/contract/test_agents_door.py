"""The agents' door over TLS: who is let in to join, who may say what, and what a liar is told."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Collection, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from agents_door import CLOCK, OpenDoor, another_plane, ask
from waiting import wait_until

from agents.credentials import Credentials
from agents.joining import CannotJoinError, NoAnswerError, fetch_authority, join, renew
from agents.renewal import Renewal
from agents.reporter import Reporter
from agents.tls import AgentTls
from api_schemas.agent.agent import AgentHello, AgentReport, Welcome
from api_schemas.agent.identity import agent_host
from api_schemas.agent.join_token import JoinToken
from api_schemas.agent.joining import CertificateWanted
from controlplane.api.agents_door import AgentsDoor, agents_app
from controlplane.api.listening import listen, url_of
from controlplane.operations.enrolment import Enrolment
from controlplane.store.store import Store

A, B = "us-east-1a", "us-east-1b"
HELLO: dict[str, Any] = {
    "agent": "agent-b",
    "zone": B,
    "host": "here",
    "runtime": "process",
    "network": "127.102.9.0/24",
    "url": "https://127.0.0.1:1",
}
BAD_URLS = (None, "", "ftp://x", "http://h", "https://", "https://:80", "https://h:99999", "https://h:0", "/x", "https://u:p@h", "https://h?x")
LARGEST = 2000


class Door(OpenDoor):
    """The door, and who has come through it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.joined: dict[str, AgentHello] = {}
        self.heard: list[str] = []
        super().__init__(folder / "plane", self.welcome, self.take, LARGEST)
        self.agent_b = self.certify(folder / "agent-b", "agent-b", B)

    def welcome(self, hello: AgentHello) -> Welcome:
        self.joined[hello.agent] = hello
        return Welcome()

    def take(self, report: AgentReport) -> bool:
        self.heard.append(report.agent)
        return report.agent in self.joined

    def post(self, path: str, said: Any, who: ssl.SSLContext | None = None, **sent: Any) -> httpx.Response:
        return ask(who or self.agent_b.client, "POST", self.url + path, json=said, **sent)

    def remove(self, agent: str) -> None:
        with self.store.transaction() as unit:
            unit.certified_agents.forget(agent)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    made = Door(tmp_path)
    yield made
    made.close()


def refusal(answer: httpx.Response) -> str:
    """The sentence of an AccessDenied."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AccessDenied")
    return str(answer.json()["error"]["message"])


# --- What is said with a certificate ---


def test_an_agent_introduces_itself_and_reports(door: Door) -> None:
    assert door.post("/v1/agents/agent-b/reports", {"agent": "agent-b"}).json() == {"unknown": True}
    assert door.post("/v1/agents", HELLO).json() == {"keeps": None}
    assert door.post("/v1/agents/agent-b/reports", {"agent": "agent-b"}).json() == {"unknown": False}
    assert door.joined["agent-b"].zone == B


@pytest.mark.parametrize(("path", "said"), [("/v1/agents", HELLO), ("/v1/agents/agent-b/reports", {"agent": "agent-b"})])
def test_who_has_no_certificate_is_not_listened_to(door: Door, path: str, said: Any) -> None:
    for body in (said, {"agent": "x" * 2 * LARGEST}):  # the second would be refused for its size, were it read
        answer = door.post(path, body, door.without_certificate())
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "AccessDenied")
    assert not door.joined
    assert not door.heard


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/agents", HELLO | {"agent": "agent-c"}),
        ("/v1/agents", HELLO | {"zone": A}),
        ("/v1/agents", HELLO | {"agent": "agent-c", "zone": A}),
        ("/v1/agents/agent-c/reports", {"agent": "agent-b"}),
        ("/v1/agents/agent-c/reports", {"agent": "agent-c"}),
        ("/v1/agents/agent-b/reports", {"agent": "agent-c"}),
    ],
)
def test_an_agent_that_lies_about_itself_is_refused_and_noted(
    door: Door, path: str, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    door.certify(door.folder / "agent-c", "agent-c", A)
    assert "The certificate is that of agent-b in us-east-1b" in refusal(door.post(path, said))
    assert "agent refused" in caplog.text
    assert "certificate=agent-b in us-east-1b" in caplog.text
    assert not door.joined
    assert not door.heard


def test_a_liar_is_noted_once_for_each_lie(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        door.post("/v1/agents", HELLO | {"zone": A})
    assert caplog.text.count("agent refused") == 1


def test_the_certificate_of_a_control_plane_is_no_agents(door: Door) -> None:
    assert "not of an agent" in refusal(door.post("/v1/agents", HELLO, door.tls.client))


def test_a_certificate_of_another_authority_opens_nothing(door: Door) -> None:
    stranger = another_plane().client
    stranger.load_verify_locations(cadata=door.enrolment.authority.certificate)
    with pytest.raises(httpx.TransportError):
        door.post("/v1/agents", HELLO, stranger)
    assert not door.joined


def test_a_removed_agent_is_refused_also_on_a_connection_that_is_open(door: Door) -> None:
    with httpx.Client(verify=door.agent_b.client, trust_env=False) as client:
        named = {"sni_hostname": "control-plane.cachewright.internal"}
        assert client.post(f"{door.url}/v1/agents", json=HELLO, extensions=named).status_code == 200
        door.remove("agent-b")
        assert "was removed" in refusal(client.post(f"{door.url}/v1/agents/agent-b/reports", json={"agent": "agent-b"}, extensions=named))
    assert "was removed" in refusal(door.post("/v1/agents", HELLO))
    assert not door.heard


def test_a_liar_knows_that_it_was_refused(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    class Liar:
        silent = False

        def hello(self) -> AgentHello:
            return AgentHello(**HELLO | {"agent": "agent-c"})

        def report_all(self) -> None:
            raise AssertionError("it was let in")

        def keys(self) -> frozenset[str]:
            return frozenset()

        def keep_only(self, keeps: Collection[str], of: Collection[str]) -> None:
            raise AssertionError("it was let in")

    reporter = Reporter([door.url], door.agent_b.client)
    reporter._introduce(Liar())
    reporter.close()
    assert not reporter.joined
    assert "the control plane did not take what we said" in caplog.text
    assert "403" in caplog.text


@pytest.mark.parametrize(
    ("field_name", "value"),
    [
        *[("agent", name) for name in ("", "Agent", "a/b", "a" * 64, "../x", "a_b", "a\n")],
        *[("zone", zone) for zone in ("", "us-east-1", "b", "us-east-1b/..", "US-EAST-1B")],
        *[("network", network) for network in ("", "127.102.9.1/24", "::1/128", "all")],
        *[("url", url) for url in BAD_URLS],
    ],
)
def test_who_introduces_itself_badly_is_refused_with_a_sentence(door: Door, field_name: str, value: Any) -> None:
    answer = door.post("/v1/agents", HELLO | {field_name: value})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidParameterValue")
    assert field_name in answer.json()["error"]["message"]
    assert door.joined == {}


@pytest.mark.parametrize(("said", "status"), [({"agent": "x" * 3000}, 413), ({"agent": 1}, 400), ([], 400), ({}, 400)])
def test_a_body_that_is_too_large_or_no_introduction_is_refused(door: Door, said: Any, status: int) -> None:
    answer = door.post("/v1/agents", said)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


# --- The handshake ---


def test_plain_http_gets_no_answer(door: Door) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{door.url.replace('https', 'http')}/v1/authority", trust_env=False)
    assert door.post("/v1/agents", HELLO).status_code == 200


def test_old_tls_is_refused(door: Door) -> None:
    old = door.without_certificate()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.ConnectError):
        ask(old, "GET", f"{door.url}/v1/authority")


def test_who_comes_back_shows_its_certificate_again(door: Door) -> None:
    address = ("127.0.0.1", int(door.url.rpartition(":")[2]))
    session = None
    for _ in range(2):
        with (
            socket.create_connection(address) as plain,
            door.agent_b.client.wrap_socket(plain, server_hostname="control-plane.cachewright.internal", session=session) as tls,
        ):
            tls.sendall(b"GET /v1/authority HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: tls.recv(65_536), b""))
            assert answer.startswith(b"HTTP/1.1 200")
            assert not tls.session_reused
            session = tls.session


def test_an_agent_is_no_control_plane_to_other_agents(door: Door) -> None:
    with pytest.raises(httpx.ConnectError, match="agent-b"):
        ask(door.agent_b.client, "GET", f"{door.url}/v1/authority", agent_host("agent-b"))


# --- Joining ---


def wanted(folder: Path, agent: str = "agent-c", zone: str = A) -> CertificateWanted:
    folder.mkdir(exist_ok=True)
    return CertificateWanted(agent=agent, zone=zone, signing_request=Credentials(folder).request(agent))


def token_of(door: Door) -> JoinToken:
    return JoinToken.parse(door.token())


def test_a_token_is_all_that_a_new_host_needs(door: Door, tmp_path: Path) -> None:
    token = token_of(door)
    asks = wanted(tmp_path / "c")
    authority = fetch_authority(door.url, token)
    credentials = Credentials(tmp_path / "c")
    credentials.keep(join(door.url, token, authority, asks), authority)
    hello = HELLO | {"agent": "agent-c", "zone": A}
    assert door.post("/v1/agents", hello, AgentTls(credentials).client).status_code == 200


@pytest.mark.parametrize(
    ("header", "status"),
    [(None, 401), ("Bearer", 401), ("Basic eDp5", 401), ("Bearer no", 403), (f"Bearer {JoinToken('0' * 40, '0000', '0' * 48).text}", 403)],
)
def test_without_a_valid_token_nobody_is_certified_nor_read(door: Door, tmp_path: Path, header: str | None, status: int) -> None:
    headers = {"Authorization": header} if header else {}
    for said in (wanted(tmp_path / "c").model_dump(), {"agent": "x" * 100_000}):
        answer = door.post("/v1/certificates", said, door.without_certificate(), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, "AccessDenied")
        assert "CERTIFICATE" not in answer.text


@pytest.mark.parametrize("said", [{"agent": "x" * 100_000}, {}, {"agent": "../x", "zone": A, "signing_request": "x"}])
def test_a_bad_request_for_a_certificate_is_refused_with_a_sentence(door: Door, said: Any) -> None:
    answer = door.post("/v1/certificates", said, door.without_certificate(), headers={"Authorization": f"Bearer {door.token()}"})
    assert answer.status_code in (400, 413)
    assert answer.json()["error"]["message"]


def test_a_revoked_token_is_refused(door: Door, tmp_path: Path) -> None:
    token = token_of(door)
    with door.store.transaction() as unit:
        kept = unit.join_tokens.get(token.id)
        assert kept is not None
        unit.join_tokens.save(kept.with_revocation(CLOCK.now()))
    with pytest.raises(CannotJoinError, match=f"403.*{token.id} is revoked"):
        join(door.url, token, fetch_authority(door.url, token), wanted(tmp_path / "c"))


def test_an_impostor_is_not_told_the_token(door: Door, tmp_path: Path) -> None:
    heard: list[bytes] = []
    store = Store(f"sqlite:///{tmp_path / 'impostor.db'}")
    false = Enrolment(store, CLOCK)
    inner = agents_app(false, lambda hello: None, lambda report: False, LARGEST)

    async def listening_in(scope: Any, receive: Any, send: Any) -> None:
        heard.append(str(scope["headers"]).encode() + scope["path"].encode())
        await inner(scope, receive, send)

    stranger = another_plane()
    listener = listen("127.0.0.1", 0)
    impostor = AgentsDoor(listening_in, stranger, CLOCK, listener)
    impostor.start()
    token = token_of(door)
    with pytest.raises(CannotJoinError, match=r"is not the one that the join token .* is for, so it was not sent"):
        fetch_authority(url_of(listener, "https"), token)
    with pytest.raises(NoAnswerError, match="does not answer"):  # it shows the right authority, but has no key of it
        join(url_of(listener, "https"), token, door.enrolment.authority.certificate, wanted(tmp_path / "c"))
    impostor.close()
    store.close()
    assert len(heard) == 1
    assert heard[0].endswith(b"/v1/authority")
    assert token.secret.encode() not in heard[0]


def test_an_agent_in_the_place_of_the_control_plane_is_not_told_the_token(door: Door, tmp_path: Path) -> None:
    """It has a certificate of the right authority, but not the control plane's."""
    heard: list[Any] = []

    async def listening_in(scope: Any, receive: Any, send: Any) -> None:
        heard.append(scope)

    class AgentsOwn:
        server = door.agent_b.server

    listener = listen("127.0.0.1", 0)
    impostor = AgentsDoor(listening_in, AgentsOwn(), CLOCK, listener)  # type: ignore[arg-type]
    impostor.start()
    with pytest.raises(NoAnswerError, match="control-plane"):
        join(url_of(listener, "https"), token_of(door), door.enrolment.authority.certificate, wanted(tmp_path / "c"))
    impostor.close()
    assert not heard


def test_what_is_no_agents_door_is_recognised(door: Door) -> None:
    with pytest.raises(NoAnswerError):
        fetch_authority("https://127.0.0.1:1", token_of(door))


# --- Renewal ---


def test_a_certificate_is_renewed_in_time_and_shown_from_then_on(door: Door) -> None:
    credentials = Credentials(door.folder / "agent-b")
    renewal = Renewal(lambda: door.url, "agent-b", B, credentials, door.agent_b)
    before = credentials.certificate_file.read_text()
    assert not renewal.look(CLOCK.now() + timedelta(days=19))
    assert credentials.certificate_file.read_text() == before
    assert renewal.look(CLOCK.now() + timedelta(days=21))
    assert credentials.certificate_file.read_text() != before
    assert door.post("/v1/agents", HELLO).status_code == 200


def test_a_control_plane_that_is_away_is_asked_for_a_certificate_again(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    renewal = Renewal(lambda: door.url, "agent-b", B, Credentials(door.folder / "agent-b"), door.agent_b)
    later = CLOCK.now() + timedelta(days=25)
    door.stop()
    assert not renewal.look(later)
    assert not renewal.look(later)
    assert caplog.text.count("certificate not renewed") == 1
    door.open()
    wait_until(lambda: renewal.look(later))


def test_a_removed_agent_does_not_renew(door: Door) -> None:
    door.remove("agent-b")
    with pytest.raises(CannotJoinError, match="was removed"):
        renew(door.url, door.agent_b.client, wanted(door.folder / "agent-b", "agent-b", B))


def test_an_agent_renews_for_itself_alone(door: Door) -> None:
    with pytest.raises(CannotJoinError, match="cannot be renewed"):
        renew(door.url, door.agent_b.client, wanted(door.folder / "agent-b", "agent-c", B))


def test_the_control_planes_own_certificate_is_renewed(door: Door) -> None:
    def serial() -> str:
        address = ("127.0.0.1", int(door.url.rpartition(":")[2]))
        context = door.without_certificate()
        with (
            socket.create_connection(address) as plain,
            context.wrap_socket(plain, server_hostname="control-plane.cachewright.internal") as tls,
        ):
            shown = tls.getpeercert()
            assert shown is not None
            return str(shown["serialNumber"])

    first = serial()
    door.tls.refresh(CLOCK.now() + timedelta(days=59))
    assert serial() == first
    door.tls.refresh(CLOCK.now() + timedelta(days=61))
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):  # it is of a time that is still to come
        serial()
