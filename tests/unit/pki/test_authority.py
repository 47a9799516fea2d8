"""The authority: what stands in the certificates that it signs, and that nothing else does."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store
from factories import NOW

from api_schemas.agent.join_token import pin_of
from controlplane.pki.authority import Authority, Pair, Subject, new_authority

DAY = timedelta(days=1)
AGENT = Subject("agent-b", "agent", hosts=("agent-b.agents.cachewright.internal",), uris=("cachewright://agent/us-east-1b/agent-b",))


@pytest.fixture(scope="module")
def pair() -> Pair:
    return new_authority(NOW)


@pytest.fixture(scope="module")
def authority(pair: Pair) -> Authority:
    return Authority(pair)


def signed(authority: Authority, subject: Subject = AGENT) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    return x509.load_pem_x509_certificate(authority.certify(subject, key, NOW, 30 * DAY).encode())


def test_a_certificate_says_who_it_is_for(authority: Authority) -> None:
    made = signed(authority)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [part.value for part in made.subject] == ["Cachewright", "agent", "agent-b"]
    assert made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "agent-b"
    assert names.get_values_for_type(x509.DNSName) == list(AGENT.hosts)
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == list(AGENT.uris)


def test_it_holds_from_some_minutes_ago_for_the_clocks_of_other_hosts(authority: Authority) -> None:
    made = signed(authority)
    assert made.not_valid_before_utc == NOW - timedelta(minutes=10)
    assert made.not_valid_after_utc == NOW + 30 * DAY


def test_it_signs_nothing_itself(authority: Authority) -> None:
    made = signed(authority)
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = made.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)


@pytest.mark.parametrize(
    ("server", "client", "uses"),
    [
        (True, True, [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
        (True, False, [ExtendedKeyUsageOID.SERVER_AUTH]),
        (False, True, [ExtendedKeyUsageOID.CLIENT_AUTH]),
    ],
)
def test_it_is_for_the_uses_of_its_subject(authority: Authority, server: bool, client: bool, uses: list[x509.ObjectIdentifier]) -> None:
    made = signed(authority, Subject("engine", "engine", addresses=("127.101.0.1",), as_server=server, as_client=client))
    assert list(made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == uses
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.101.0.1")]


def test_others_can_verify_it_by_the_authority_and_by_no_other(authority: Authority) -> None:
    made = signed(authority)
    policies = (ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.AGNOSTIC, None), ExtensionPolicy.permit_all())

    def verify(trusted: str) -> None:
        store = Store([x509.load_pem_x509_certificate(trusted.encode())])
        builder = PolicyBuilder().store(store).time(NOW).extension_policies(ca_policy=policies[0], ee_policy=policies[1])
        builder.build_client_verifier().verify(made, [])

    verify(authority.certificate)
    with pytest.raises(x509.verification.VerificationError):
        verify(Authority(new_authority(NOW)).certificate)


def test_no_two_certificates_have_one_number(authority: Authority) -> None:
    assert len({signed(authority).serial_number for _ in range(5)}) == 5


def test_an_issued_pair_belongs_together(authority: Authority) -> None:
    issued = authority.issue(AGENT, NOW, DAY)
    assert Authority(issued).certificate == issued.certificate  # a key of the kind that we make
    certified = x509.load_pem_x509_certificate(issued.certificate.encode()).public_key()
    assert isinstance(certified, ec.EllipticCurvePublicKey)


def test_the_pin_is_of_the_certificate(authority: Authority) -> None:
    assert authority.pin == pin_of(ssl.PEM_cert_to_DER_cert(authority.certificate))
    assert len(authority.pin) * 4 >= 128


def test_keys_are_not_shown(pair: Pair) -> None:
    assert "PRIVATE KEY" in pair.private_key
    assert "PRIVATE" not in repr(pair)


def test_a_key_of_another_kind_is_refused(pair: Pair) -> None:
    key = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ValueError, match="kind"):
        Authority(Pair(pair.certificate, key))
