"""An agent's key and certificate, and the authority that it trusts: files that only their owner reads. The key never leaves its folder."""

from __future__ import annotations

import os
import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from api_schemas.agent.join_token import pin_of


class Credentials:
    """The folder ``tls`` in an agent's data folder. There is a certificate once the agent has joined."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tls"
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.key_file, self.certificate_file = self.folder / "key.pem", self.folder / "certificate.pem"
        self._authority_file = self.folder / "authority.pem"

    def request(self, agent: str) -> str:
        """A signing request (PEM) for our key, which is made if there is none yet."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, agent)])
        made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(self._key(), hashes.SHA256())
        return made.public_bytes(Encoding.PEM).decode()

    def keep(self, certificate: str, authority: str | None = None) -> None:
        """Have that certificate from now on (PEM), and trust that authority if one is given. Raises ValueError for one of another key."""
        if x509.load_pem_x509_certificate(certificate.encode()).public_key() != self._key().public_key():
            raise ValueError("the certificate is not for our key")
        if authority is not None:
            _write(self._authority_file, authority)
        _write(self.certificate_file, certificate)

    def lasts_until(self) -> datetime | None:
        """The end of our certificate; None without one."""
        certificate = self._certificate()
        return certificate.not_valid_after_utc if certificate is not None else None

    def is_due(self, now: datetime) -> bool:
        """Whether our certificate has no more than a third of its time left."""
        certificate = self._certificate()
        if certificate is None:
            return False
        whole = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        return now >= certificate.not_valid_after_utc - whole / 3

    @property
    def authority(self) -> str:
        """The certificate (PEM) of the authority that we trust, and nobody else."""
        return self._authority_file.read_text()

    @property
    def pin(self) -> str:
        """What a join token says of that authority."""
        return pin_of(ssl.PEM_cert_to_DER_cert(self.authority))

    def _certificate(self) -> x509.Certificate | None:
        if not self.certificate_file.exists():
            return None
        return x509.load_pem_x509_certificate(self.certificate_file.read_bytes())

    def _key(self) -> ec.EllipticCurvePrivateKey:
        if not self.key_file.exists():
            made = ec.generate_private_key(ec.SECP256R1())
            _write(self.key_file, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
        key = load_pem_private_key(self.key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{self.key_file} is not a key of ours")
        return key


def _write(file: Path, text: str) -> None:
    """Whole or not at all, for the owner's eyes only."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as opened:
        opened.write(text)
    fresh.replace(file)
