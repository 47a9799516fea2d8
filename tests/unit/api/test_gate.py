"""Who is let in, how often one may fail, and what is done once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from factories import NOW, FixedClock

from api_schemas.credentials import Credentials
from api_schemas.faults import (
    AccessDenied,
    Fault,
    IncompleteSignature,
    InvalidClientTokenId,
    MissingAuthenticationToken,
    SignatureDoesNotMatch,
    Throttling,
)
from controlplane.api.failures import MOST, WINDOW, Failures
from controlplane.api.gate import Gate
from controlplane.api.replays import Replays
from controlplane.domain.access_key import Role
from controlplane.operations.keyring import Keyring, UnusableKeysError
from controlplane.pki.sealing import Sealer
from controlplane.store.store import Store

THERE = "192.0.2.7"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    yield opened
    opened.close()


@pytest.fixture
def keyring(store: Store, clock: FixedClock, tmp_path: Path) -> Keyring:
    return Keyring(store, clock, Sealer(tmp_path / "secrets.key"))


@pytest.fixture
def gate(keyring: Keyring, clock: FixedClock) -> Gate:
    return Gate(keyring, clock)


@pytest.fixture
def made(keyring: Keyring) -> Credentials:
    return keyring.make("111111111111", Role.OPERATOR, "ci", timedelta(hours=2))


def test_a_token_lets_its_bearer_in(gate: Gate, made: Credentials) -> None:
    caller = gate.bearing(f"Bearer {made.token}", THERE)
    assert (caller.key.id, caller.key.account, caller.arn) == (made.id, "111111111111", "arn:aws:iam::111111111111:user/ci")
    assert made.secret not in repr(caller) + repr(made)


@pytest.mark.parametrize(
    ("authorization", "refusal"),
    [
        (None, MissingAuthenticationToken),
        ("", MissingAuthenticationToken),
        ("Basic dXNlcjpwYXNz", IncompleteSignature),
        ("Bearer", IncompleteSignature),
        ("Bearer nonsense", IncompleteSignature),
        ("Bearer AKIAAAAAAAAAAAAAAAAA." + "s" * 40, IncompleteSignature),
        ("Bearer CWAKAAAAAAAAAAAAAAAA." + "s" * 40, InvalidClientTokenId),
    ],
)
def test_any_other_token_is_refused(gate: Gate, authorization: str | None, refusal: type[Fault]) -> None:
    with pytest.raises(refusal):
        gate.bearing(authorization, THERE)


def test_a_wrong_secret_is_refused(gate: Gate, made: Credentials) -> None:
    with pytest.raises(SignatureDoesNotMatch) as refused:
        gate.bearing(f"Bearer {made.id}.{'x' * 40}", THERE)
    assert "x" * 40 not in refused.value.message


def test_a_key_that_has_expired_or_was_revoked_lets_nobody_in(gate: Gate, made: Credentials, store: Store, clock: FixedClock) -> None:
    clock.advance(hours=2)
    with pytest.raises(InvalidClientTokenId, match="The security token included in the request is invalid"):
        gate.bearing(f"Bearer {made.token}", THERE)
    clock.advance(hours=-1)
    caller = gate.bearing(f"Bearer {made.token}", THERE)
    assert gate.is_valid(caller)
    with store.transaction() as unit:
        unit.access_keys.revoke(caller.key.with_revocation(NOW))
    assert not gate.is_valid(caller)
    with pytest.raises(InvalidClientTokenId):
        gate.bearing(f"Bearer {made.token}", THERE)


def test_the_use_of_a_key_is_known_to_the_hour(gate: Gate, made: Credentials, store: Store, clock: FixedClock) -> None:
    def last_used() -> object:
        with store.reading() as unit:
            return next(key.last_used for key in unit.access_keys.all())

    assert last_used() is None
    clock.advance(minutes=59)
    gate.bearing(f"Bearer {made.token}", THERE)
    assert last_used() == NOW
    clock.advance(minutes=1)
    gate.bearing(f"Bearer {made.token}", THERE)
    assert last_used() == NOW + timedelta(hours=1)


def test_a_role_is_allowed_its_own(gate: Gate, made: Credentials) -> None:
    caller = gate.bearing(f"Bearer {made.token}", THERE)
    gate.must_be_allowed(caller, "DeleteReplicationGroup", changes=True)
    with pytest.raises(AccessDenied, match=r"User: arn:aws:iam::111111111111:user/ci is not authorized to perform: elasticache:CreateAccessKey"):
        gate.must_be_allowed(caller, "CreateAccessKey", changes=True)


def test_without_a_valid_key_that_can_be_opened_nobody_could_come_in(keyring: Keyring, clock: FixedClock, store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnusableKeysError, match="no access key that is valid"):
        keyring.must_let_somebody_in()
    keyring.make("111111111111", Role.ADMIN, lasts=timedelta(hours=1))
    keyring.must_let_somebody_in()
    with pytest.raises(UnusableKeysError, match="sealed with another key"):
        Keyring(store, clock, Sealer(tmp_path / "another.key")).must_let_somebody_in()
    clock.advance(hours=1)
    with pytest.raises(UnusableKeysError, match="no access key that is valid"):
        keyring.must_let_somebody_in()


# --- Failing too often ---


def test_who_fails_too_often_waits_and_others_do_not(gate: Gate, made: Credentials) -> None:
    for _ in range(MOST):
        with pytest.raises(MissingAuthenticationToken):
            gate.bearing(None, THERE)
    with pytest.raises(Throttling, match="Rate exceeded"):
        gate.bearing(f"Bearer {made.token}", THERE)
    assert gate.bearing(f"Bearer {made.token}", "192.0.2.8").key.id == made.id


def test_the_wait_is_over_after_the_window() -> None:
    moment = [100.0]
    failures = Failures(lambda: moment[0])
    assert [failures.add(THERE) for _ in range(MOST)] == [False] * (MOST - 1) + [True]
    assert failures.wait(THERE) == WINDOW
    moment[0] += WINDOW
    assert failures.wait(THERE) == 0
    assert not failures.add(THERE)


def test_the_addresses_of_an_ipv6_host_count_as_one() -> None:
    failures = Failures(lambda: 0.0)
    for number in range(MOST):
        failures.add(f"2001:db8::{number:x}")
    assert failures.wait("2001:db8::ffff:1")
    assert not failures.wait("2001:db8:0:1::1")


def test_what_is_remembered_of_failures_is_bounded() -> None:
    failures = Failures(lambda: 0.0)
    for number in range(10_050):
        failures.add(f"10.0.{number // 256}.{number % 256}")
    assert len(failures._counts) == 10_000


# --- Replays ---


def test_a_signature_changes_something_once_but_for_a_retry_at_once() -> None:
    replays, until = Replays(), NOW + timedelta(minutes=15)
    replays.must_be_new("a", NOW, until)
    replays.must_be_new("a", NOW + timedelta(seconds=1), until)
    replays.must_be_new("a", NOW + timedelta(seconds=5), until)
    with pytest.raises(AccessDenied, match="has been carried out before"):
        replays.must_be_new("a", NOW + timedelta(seconds=6), until)
    replays.must_be_new("b", NOW + timedelta(seconds=6), until)
    with pytest.raises(AccessDenied):
        replays.must_be_new("a", until, until)


def test_what_is_remembered_of_signatures_is_bounded_and_ends_with_them() -> None:
    replays = Replays(most=3)
    for number in range(5):
        replays.must_be_new(str(number), NOW, NOW + timedelta(minutes=15))
    assert list(replays._seen) == ["2", "3", "4"]
    replays.must_be_new("5", NOW + timedelta(minutes=16), NOW + timedelta(minutes=30))
    assert list(replays._seen) == ["5"]
