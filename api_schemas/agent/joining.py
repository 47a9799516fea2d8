"""How an agent comes by its certificate."""

from __future__ import annotations

from api_schemas.shape import Shape


class AuthorityShown(Shape):
    """The authority's certificate (PEM). It is public: who has a join token compares it with the pin."""

    certificate: str


class CertificateWanted(Shape):
    """An agent asks for a certificate for its name and zone. Of ``signing_request`` (PEM) only the public key counts."""

    agent: str
    zone: str
    signing_request: str


class Certified(Shape):
    """The certificate (PEM)."""

    certificate: str
