"""Signing requests: only a public key is taken from one, and one that says more is refused."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID

from controlplane.pki.signing_request import RequestRefusedError, key_print, requested_key

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent-b")])


def request(builder: x509.CertificateSigningRequestBuilder | None = None, key: CertificateIssuerPrivateKeyTypes = KEY) -> str:
    made = (builder or asked()).sign(key, hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


def asked(name: x509.Name = NAME) -> x509.CertificateSigningRequestBuilder:
    return x509.CertificateSigningRequestBuilder().subject_name(name)


def spoilt() -> str:
    """The request with another signature."""
    other = asked(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent-c")])).sign(KEY, hashes.SHA256())
    made = asked().sign(KEY, hashes.SHA256())
    der = made.public_bytes(Encoding.DER).replace(made.signature[-16:], other.signature[-16:])
    return x509.load_der_x509_csr(der).public_bytes(Encoding.PEM).decode()


def test_the_key_is_taken_from_a_request_in_order() -> None:
    key = requested_key(request(), "agent-b")
    assert key == KEY.public_key()
    assert key_print(key) == key_print(KEY.public_key())
    assert key_print(key) != key_print(ec.generate_private_key(ec.SECP256R1()).public_key())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: "nonsense", "cannot be read"),
        (lambda: "", "cannot be read"),
        (lambda: request() + "x" * 4096, "no more than"),
        (spoilt, "not signed"),
        (lambda: request(key=rsa.generate_private_key(65537, 2048)), "P-256"),
        (lambda: request(key=ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (lambda: request(asked(x509.Name([]))), "common name agent-b"),
        (lambda: request(asked(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent-c")]))), "common name agent-b"),
        (lambda: request(asked(x509.Name([*NAME, *NAME]))), "nothing else"),
        (lambda: request(asked(x509.Name([*NAME, x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "control plane")]))), "nothing else"),
        (lambda: request(asked().add_extension(x509.SubjectAlternativeName([x509.DNSName("x.example")]), critical=False)), "no extensions"),
        (lambda: request(asked().add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)), "no extensions"),
        (lambda: request(asked().add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"secret")), "no extensions"),
    ],
)
def test_a_request_that_is_not_in_order_is_refused_with_a_sentence(wrong, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RequestRefusedError, match=told):
        requested_key(wrong(), "agent-b")
