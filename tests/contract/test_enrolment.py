"""Enrolment over a database: one authority for all control planes on it, tokens, certificates that hold and that hold no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from factories import NOW, FixedClock, an_agent

from agents.credentials import Credentials
from api_schemas.agent.identity import Identity
from api_schemas.agent.join_token import JoinToken
from api_schemas.agent.joining import CertificateWanted
from api_schemas.faults import AccessDenied, InvalidParameterValue
from controlplane.api.join_token_file import JoinTokenError, have_join_token
from controlplane.operations.enrolment import Enrolment
from controlplane.pki.authority import new_authority
from controlplane.pki.peer import Peer
from controlplane.store.store import Store

B, C = "us-east-1b", "us-east-1c"


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    opened: list[Store] = []

    def open_again() -> Store:
        opened.append(Store(f"sqlite:///{tmp_path / 'plane.db'}"))
        return opened[-1]

    yield open_again
    for store in opened:
        store.close()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def enrolment(open_store: Callable[[], Store], clock: FixedClock) -> Enrolment:
    return Enrolment(open_store(), clock)


@pytest.fixture
def agent(tmp_path: Path) -> Credentials:
    return a_folder(tmp_path / "agent-b")


def a_folder(path: Path) -> Credentials:
    path.mkdir()
    return Credentials(path)


def wanted(credentials: Credentials, agent: str = "agent-b", zone: str = B) -> CertificateWanted:
    return CertificateWanted(agent=agent, zone=zone, signing_request=credentials.request(agent))


def peer_of(enrolment: Enrolment, agent: str = "agent-b", zone: str = B) -> Peer:
    """The agent as a connection shows it that has its present certificate."""
    with enrolment._store.reading() as unit:
        certified = unit.certified_agents.get(agent)
    assert certified is not None
    return Peer(Identity(agent, zone), certified.key_print)


# --- The authority ---


def test_there_is_one_authority_for_good(enrolment: Enrolment, open_store: Callable[[], Store], clock: FixedClock) -> None:
    assert Enrolment(open_store(), clock).authority.certificate == enrolment.authority.certificate


def test_control_planes_that_start_at_once_have_one_authority(open_store: Callable[[], Store], clock: FixedClock) -> None:
    planes = [Enrolment(open_store(), clock) for _ in range(4)]
    start, pins = threading.Barrier(len(planes)), list[str]()

    def begin(plane: Enrolment) -> None:
        start.wait()
        pins.append(plane.authority.pin)

    threads = [threading.Thread(target=begin, args=(plane,)) for plane in planes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pins) == len(planes)
    assert len(set(pins)) == 1


def test_who_makes_an_authority_too_late_is_given_the_first(enrolment: Enrolment) -> None:
    late = new_authority(NOW)
    first = enrolment.authority.certificate
    with enrolment._store.transaction() as unit:
        assert unit.authorities.put_first("agents", late.certificate, late.private_key)[0] == first
        assert unit.authorities.put_first("others", late.certificate, late.private_key)[0] == late.certificate


# --- Tokens ---


def test_a_valid_token_admits(enrolment: Enrolment) -> None:
    enrolment.admit(enrolment.new_token().text)


def test_a_token_of_one_control_plane_admits_at_every_other_on_the_database(
    enrolment: Enrolment, open_store: Callable[[], Store], clock: FixedClock
) -> None:
    token = enrolment.new_token()
    other = Enrolment(open_store(), clock)
    other.admit(token.text)
    with other._store.transaction() as unit:
        kept = unit.join_tokens.get(token.id)
        assert kept is not None
        unit.join_tokens.save(kept.with_revocation(NOW))
    with pytest.raises(AccessDenied, match="is revoked"):
        enrolment.admit(token.text)


def test_an_expired_token_admits_nobody(enrolment: Enrolment, clock: FixedClock) -> None:
    token = enrolment.new_token()
    with enrolment._store.transaction() as unit:
        kept = unit.join_tokens.get(token.id)
        assert kept is not None
        unit.join_tokens.save(replace(kept, expires_at=NOW + timedelta(hours=1)))
    enrolment.admit(token.text)
    clock.advance(hours=1)
    with pytest.raises(AccessDenied, match=rf"{token.id} is expired.*agent token create"):
        enrolment.admit(token.text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"secret": "0" * 48}, "no such token"),
        ({"id": "0000"}, "no such token"),
        ({"pin": "0" * 40}, "another control plane"),
    ],
)
def test_a_token_with_one_part_of_another_admits_nobody(enrolment: Enrolment, change: dict[str, str], told: str) -> None:
    token = replace(enrolment.new_token(), **change)
    with pytest.raises(AccessDenied, match=told) as refused:
        enrolment.admit(token.text)
    assert token.secret not in refused.value.message


def test_what_is_no_token_admits_nobody(enrolment: Enrolment) -> None:
    with pytest.raises(AccessDenied, match="CWJOIN-1-"):
        enrolment.admit("a-token-of-former-times")


def test_a_token_is_made_into_a_file_once_and_for_its_owner_only(enrolment: Enrolment, tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "token"
    have_join_token(file, enrolment)
    text = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    have_join_token(file, enrolment)
    assert file.read_text() == text
    enrolment.admit(text)


def test_a_file_with_a_revoked_token_is_left_as_it_is(enrolment: Enrolment, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "token"
    have_join_token(file, enrolment)
    token = JoinToken.parse(file.read_text())
    with enrolment._store.transaction() as unit:
        kept = unit.join_tokens.get(token.id)
        assert kept is not None
        unit.join_tokens.save(kept.with_revocation(NOW))
    have_join_token(file, enrolment)
    assert JoinToken.parse(file.read_text()) == token
    assert "nobody can join" in caplog.text
    assert token.secret not in caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [("a-token-of-former-times", "CWJOIN-1-"), (JoinToken("0" * 40, "0000", "0" * 48).text, "another control plane"), ("", "CWJOIN-1-")],
)
def test_a_file_with_another_token_is_refused_with_what_to_do(enrolment: Enrolment, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(JoinTokenError, match=rf"{told}.*Delete the file"):
        have_join_token(file, enrolment)
    assert file.read_text() == text


# --- Certificates ---


def test_a_certificate_holds_for_thirty_days(enrolment: Enrolment, agent: Credentials) -> None:
    agent.keep(enrolment.certify(wanted(agent)).certificate, enrolment.authority.certificate)
    assert agent.lasts_until() == NOW + timedelta(days=30)
    assert agent.pin == enrolment.authority.pin
    assert not agent.is_due(NOW + timedelta(days=19, hours=23))
    assert agent.is_due(NOW + timedelta(days=20))
    assert enrolment.check(peer_of(enrolment)) == Identity("agent-b", B)


def test_files_are_for_their_owner_only(enrolment: Enrolment, agent: Credentials) -> None:
    agent.keep(enrolment.certify(wanted(agent)).certificate, enrolment.authority.certificate)
    assert agent.folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in agent.folder.iterdir()} == {0o600}
    assert {file.name for file in agent.folder.iterdir()} == {"key.pem", "certificate.pem", "authority.pem"}


def test_who_asks_again_with_its_own_key_is_certified_again(enrolment: Enrolment, agent: Credentials, clock: FixedClock) -> None:
    enrolment.certify(wanted(agent))
    clock.advance(days=40)
    agent.keep(enrolment.certify(wanted(agent)).certificate)
    assert agent.lasts_until() == clock.now() + timedelta(days=30)


def test_two_agents_cannot_share_a_name(enrolment: Enrolment, agent: Credentials, tmp_path: Path) -> None:
    enrolment.certify(wanted(agent))
    with pytest.raises(AccessDenied, match=r"already certified.*agent remove agent-b"):
        enrolment.certify(wanted(a_folder(tmp_path / "other")))
    with pytest.raises(AccessDenied, match=f"in zone {B}"):
        enrolment.certify(wanted(agent, zone=C))


def test_the_name_of_an_agent_inside_the_control_plane_is_taken(enrolment: Enrolment, agent: Credentials) -> None:
    with enrolment._store.transaction() as unit:
        unit.agents.put(an_agent("agent-a", "us-east-1a"))
    with pytest.raises(InvalidParameterValue, match="inside the control plane"):
        enrolment.certify(wanted(agent, "agent-a"))


def test_a_request_that_is_not_in_order_is_refused(enrolment: Enrolment, agent: Credentials) -> None:
    with pytest.raises(InvalidParameterValue, match="common name agent-c"):
        enrolment.certify(CertificateWanted(agent="agent-c", zone=B, signing_request=agent.request("agent-b")))


def test_the_certificate_of_a_removed_agent_holds_no_more_also_when_its_name_has_another_bearer(
    enrolment: Enrolment, agent: Credentials, tmp_path: Path
) -> None:
    enrolment.certify(wanted(agent))
    former = peer_of(enrolment)
    with enrolment._store.transaction() as unit:
        unit.certified_agents.forget("agent-b")
    with pytest.raises(AccessDenied, match="was removed"):
        enrolment.check(former)
    enrolment.certify(wanted(a_folder(tmp_path / "other")))
    with pytest.raises(AccessDenied, match="Another agent has the name"):
        enrolment.check(former)
    assert enrolment.check(peer_of(enrolment)) == Identity("agent-b", B)


def test_a_control_plane_is_no_agent(enrolment: Enrolment) -> None:
    with pytest.raises(AccessDenied, match="not of an agent"):
        enrolment.check(Peer(Identity(), "key"))


def test_a_certificate_is_renewed_for_its_own_agent_zone_and_key_alone(
    enrolment: Enrolment, agent: Credentials, tmp_path: Path, clock: FixedClock
) -> None:
    enrolment.certify(wanted(agent))
    peer, other = peer_of(enrolment), a_folder(tmp_path / "other")
    for stranger in (wanted(agent, "agent-c"), wanted(agent, zone=C)):
        with pytest.raises(AccessDenied, match="cannot be renewed"):
            enrolment.renew(peer, stranger)
    with pytest.raises(AccessDenied, match="own key"):
        enrolment.renew(peer, wanted(other))
    clock.advance(days=20)
    agent.keep(enrolment.renew(peer, wanted(agent)).certificate)
    assert agent.lasts_until() == clock.now() + timedelta(days=30)
    with enrolment._store.transaction() as unit:
        unit.certified_agents.forget("agent-b")
    with pytest.raises(AccessDenied, match="was removed"):
        enrolment.renew(peer, wanted(agent))


def test_an_agent_keeps_no_certificate_of_another_key(enrolment: Enrolment, agent: Credentials, tmp_path: Path) -> None:
    certificate = enrolment.certify(wanted(agent)).certificate
    with pytest.raises(ValueError, match="not for our key"):
        a_folder(tmp_path / "other").keep(certificate)


def test_the_signer_decides_what_stands_in_a_certificate(enrolment: Enrolment, agent: Credentials) -> None:
    made = x509.load_pem_x509_certificate(enrolment.certify(wanted(agent)).certificate.encode())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [Identity("agent-b", B).uri]
    assert names.get_values_for_type(x509.DNSName) == [Identity("agent-b", B).host]
    assert len(list(names)) == 2
