"""The TLS of an agent: it shows its own certificate, and believes those of its control plane's authority alone."""

from __future__ import annotations

import ssl

from agents.credentials import Credentials


class AgentTls:
    """Both contexts of an agent: ``server`` for the door where it takes orders, ``client`` for what it says to the control plane."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self.server = trusting(ssl.PROTOCOL_TLS_SERVER, credentials.authority)
        self.server.verify_mode = ssl.CERT_OPTIONAL  # who has none is told what is missing; orders are taken of nobody without
        self.server.num_tickets = 0  # whoever comes back shows its certificate again
        self.client = trusting(ssl.PROTOCOL_TLS_CLIENT, credentials.authority)
        self.refresh()

    def refresh(self) -> None:
        """Show the certificate that there is now; connections that are open keep the one before."""
        for context in (self.server, self.client):
            context.load_cert_chain(self._credentials.certificate_file, self._credentials.key_file)


def trusting(protocol: int, authority: str) -> ssl.SSLContext:
    """TLS that believes what that authority (PEM) has signed."""
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.hostname_checks_common_name = False
    context.load_verify_locations(cadata=authority)
    return context


def trusting_nobody() -> ssl.SSLContext:
    """TLS without knowing with whom: only to be shown an authority, and never to say anything that is not public."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
