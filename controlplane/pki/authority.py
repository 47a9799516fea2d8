"""Our own certificate authority: what it is made of, and what it signs. Every field of a certificate is decided here."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api_schemas.agent.join_token import pin_of

_LASTS = timedelta(days=20 * 365)
_EARLY = timedelta(minutes=10)  # how far behind the clock of another host may be


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a certificate is for: what it is called, the names and addresses that who connects may verify, and what it may be used as."""

    name: str
    unit: str
    hosts: Sequence[str] = ()
    uris: Sequence[str] = ()
    addresses: Sequence[str] = ()
    as_server: bool = True
    as_client: bool = True


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: str
    private_key: str = field(repr=False)


class Authority:
    """Signs certificates with the key of ``pair``, which nobody else ever sees. Raises ValueError for a pair that is none."""

    def __init__(self, pair: Pair) -> None:
        key = load_pem_private_key(pair.private_key.encode(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the authority's key is not of the kind that we make")
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(pair.certificate.encode())
        self.certificate = pair.certificate
        """PEM, for everybody."""
        self.pin = pin_of(self._certificate.public_bytes(Encoding.DER))
        """What a join token says of it."""

    def certify(self, subject: Subject, key: ec.EllipticCurvePublicKey, now: datetime, lasts: timedelta) -> str:
        """A certificate (PEM) that the key belongs to the subject, from some minutes ago on."""
        made = (
            _started(_name(subject.unit, subject.name), self._certificate.subject, key, now, lasts)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(_uses(subject)), critical=False)
            .add_extension(x509.SubjectAlternativeName(_names(subject)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        return _pem(made.sign(self._key, hashes.SHA256()))

    def issue(self, subject: Subject, now: datetime, lasts: timedelta) -> Pair:
        """A certificate for a key that is made for it."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Pair(self.certify(subject, key.public_key(), now, lasts), _key_pem(key))


def new_authority(now: datetime, called: str = "Cachewright") -> Pair:
    """The certificate and key of an authority that has never been before, under that name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("authority", called)
    made = (
        _started(name, name, key.public_key(), now, _LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return Pair(_pem(made.sign(key, hashes.SHA256())), _key_pem(key))


def _started(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime,
             lasts: timedelta) -> x509.CertificateBuilder:  # fmt: skip
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLY)
        .not_valid_after(now + lasts)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(unit: str, name: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, "Cachewright"), (NameOID.ORGANIZATIONAL_UNIT_NAME, unit), (NameOID.COMMON_NAME, name))
    return x509.Name([x509.NameAttribute(kind, text) for kind, text in parts])


def _names(subject: Subject) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(host) for host in subject.hosts),
        *(x509.UniformResourceIdentifier(uri) for uri in subject.uris),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in subject.addresses),
    ]


def _uses(subject: Subject) -> list[x509.ObjectIdentifier]:
    server = [ExtendedKeyUsageOID.SERVER_AUTH] if subject.as_server else []
    return server + ([ExtendedKeyUsageOID.CLIENT_AUTH] if subject.as_client else [])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
                         content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
                         encipher_only=False, decipher_only=False)  # fmt: skip


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
