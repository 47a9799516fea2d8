"""What an agent that wants a certificate hands in. Only its public key is taken from it, so it may say nothing else."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

_LARGEST = 4096  # characters; ours have about 400


PublicKey = ec.EllipticCurvePublicKey


class RequestRefusedError(ValueError):
    """The signing request is none that we sign; the text says why."""


def requested_key(request: str, agent: str) -> PublicKey:
    """The public key in a signing request (PEM) of that agent. Raises RequestRefusedError."""
    found = _read(request)
    key = found.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RequestRefusedError("its key must be of the curve P-256")
    try:
        if not found.is_signature_valid:
            raise RequestRefusedError("it is not signed with the key that it is about")
    except InvalidSignature as wrong:
        raise RequestRefusedError("it is not signed with the key that it is about") from wrong
    if [(part.oid, part.value) for part in found.subject] != [(NameOID.COMMON_NAME, agent)]:
        raise RequestRefusedError(f"its subject must be the common name {agent} and nothing else")
    if len(found.attributes) or len(found.extensions):
        raise RequestRefusedError("it must ask for no extensions")
    return key


def key_print(key: PublicKey) -> str:
    """Names a public key: the SHA-256 of it."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def certified_key_print(certificate: bytes) -> str:
    """Names the public key in a certificate (DER); empty when it is of no kind that we sign."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key_print(key) if isinstance(key, ec.EllipticCurvePublicKey) else ""


def _read(request: str) -> x509.CertificateSigningRequest:
    if len(request) > _LARGEST:
        raise RequestRefusedError(f"it must have no more than {_LARGEST} characters")
    try:
        return x509.load_pem_x509_csr(request.encode())
    except (ValueError, UnicodeError) as wrong:
        raise RequestRefusedError("it cannot be read") from wrong
