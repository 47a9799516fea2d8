"""Enrolment: who may join, whose certificate holds. It all lives in the database, for every control plane on it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from api_schemas.agent.identity import Identity
from api_schemas.agent.join_token import JoinToken
from api_schemas.agent.joining import CertificateWanted, Certified
from api_schemas.faults import AccessDenied, InvalidParameterValue
from controlplane.clock import Clock
from controlplane.domain.enrolment import CertifiedAgent, KeptToken
from controlplane.pki.authority import Authority, Pair, Subject, new_authority
from controlplane.pki.peer import Peer
from controlplane.pki.secret import hash_of, is_same, new_secret
from controlplane.pki.signing_request import PublicKey, RequestRefusedError, key_print, requested_key
from controlplane.store.store import Store, Unit

LASTS = timedelta(days=30)
"""How long an agent's certificate holds. The agent renews it in time."""

_AUTHORITY = "agents"


class TokenUnknownError(Exception):
    """The token is none of this control plane; the text says why."""


class Enrolment:
    """Lets agents in that know a join token, certifies them, and knows whose certificates hold."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._making = threading.Lock()
        self._authority: Authority | None = None

    @property
    def authority(self) -> Authority:
        """The one authority of this database, made at first need."""
        with self._making:
            if self._authority is None:
                with self._store.transaction() as unit:
                    self._authority = authority_of(unit, self._clock.now())
            return self._authority

    def new_token(self) -> JoinToken:
        """A token that never expires, unless it is revoked."""
        with self._store.transaction() as unit:
            return new_token(unit, self._clock, None)[0]

    def status_of(self, token: JoinToken) -> str:
        """``valid``, ``revoked`` or ``expired``. Raises TokenUnknownError."""
        if token.pin != self.authority.pin:
            raise TokenUnknownError("it is for another control plane, or for this one before its database was replaced")
        with self._store.reading() as unit:
            kept = unit.join_tokens.get(token.id)
        if kept is None or not is_same(token.secret, kept.secret_hash):
            raise TokenUnknownError(f"this control plane has made no such token as {token.id}")
        return kept.status(self._clock.now())

    def admit(self, text: str) -> None:
        """Raises AccessDenied unless it is a token that is valid now."""
        try:
            token = JoinToken.parse(text)
            status = self.status_of(token)
        except (ValueError, TokenUnknownError) as why:
            raise AccessDenied(f"The join token lets nobody in: {why}. Make another with cachewright agent token create.") from None
        if status != "valid":
            raise AccessDenied(f"The join token {token.id} is {status}. Make another with cachewright agent token create.")

    def check(self, peer: Peer) -> Identity:
        """The agent with that certificate. Raises AccessDenied for one that was removed, and for who is no agent."""
        agent = peer.identity.agent
        if agent is None:
            raise AccessDenied("This is the certificate of a control plane, not of an agent.")
        with self._store.reading() as unit:
            certified = unit.certified_agents.get(agent)
        if certified is None:
            raise AccessDenied(f"Agent {agent} was removed, and its certificate is refused. To have it join anew, stop it, delete the "
                               "folder tls in its data folder, and start it with a valid join token.")  # fmt: skip
        if certified.key_print != peer.key_print:
            raise AccessDenied(f"Another agent has the name {agent} by now; the certificate of its former bearer is refused.")
        return peer.identity

    def certify(self, wanted: CertificateWanted) -> Certified:
        """A certificate for an agent that was admitted.

        Raises InvalidParameterValue for a request that is not in order, AccessDenied for a name that is taken.
        """
        key = _key_in(wanted)
        with self._store.transaction() as unit:
            known, certified = unit.agents.get(wanted.agent), unit.certified_agents.get(wanted.agent)
            if known is not None and known.url is None:
                raise InvalidParameterValue(f"{wanted.agent} is an agent inside the control plane. Give yours another --name.")
            if certified is not None and (certified.key_print, certified.zone) != (key_print(key), wanted.zone):
                raise AccessDenied(_taken(certified))
            return self._sign(unit, wanted)

    def renew(self, peer: Peer, wanted: CertificateWanted) -> Certified:
        """Another certificate for the same agent, zone and key. Raises AccessDenied, InvalidParameterValue."""
        identity = self.check(peer)
        if (wanted.agent, wanted.zone) != (identity.agent, identity.zone):
            raise AccessDenied(f"The certificate is that of {identity} and cannot be renewed for {wanted.agent} in {wanted.zone}.")
        if key_print(_key_in(wanted)) != peer.key_print:
            raise AccessDenied(f"The certificate of {identity} can be renewed for its own key only.")
        with self._store.transaction() as unit:
            return self._sign(unit, wanted)

    def _sign(self, unit: Unit, wanted: CertificateWanted) -> Certified:
        key, now = _key_in(wanted), self._clock.now()
        authority = self._authority or authority_of(unit, now)
        identity = Identity(wanted.agent, wanted.zone)
        subject = Subject(wanted.agent, "agent", hosts=(identity.host,), uris=(identity.uri,))
        unit.certified_agents.save(CertifiedAgent(wanted.agent, wanted.zone, key_print(key), now, now + LASTS))
        return Certified(certificate=authority.certify(subject, key, now, LASTS))


def authority_of(unit: Unit, now: datetime) -> Authority:
    """The authority of the database, made if there is none. Of two control planes that begin at once, one makes it for both."""
    kept = unit.authorities.get(_AUTHORITY)
    if kept is None:
        made = new_authority(now)
        kept = unit.authorities.put_first(_AUTHORITY, made.certificate, made.private_key)
    return Authority(Pair(*kept))


def new_token(unit: Unit, clock: Clock, lasts: timedelta | None) -> tuple[JoinToken, KeptToken]:
    """A token that nobody had before, and what is kept of it."""
    now = clock.now()
    token = JoinToken(authority_of(unit, now).pin, clock.uid(), new_secret())
    kept = KeptToken(token.id, hash_of(token.secret), now, None if lasts is None else now + lasts)
    unit.join_tokens.save(kept)
    return token, kept


def _key_in(wanted: CertificateWanted) -> PublicKey:
    try:
        return requested_key(wanted.signing_request, wanted.agent)
    except RequestRefusedError as why:
        raise InvalidParameterValue(f"The signing request is refused: {why}.") from why


def _taken(certified: CertifiedAgent) -> str:
    return (f"{certified.agent} is already certified to another key, in zone {certified.zone}: no two agents share a name. Give this one "
            f"another --name; or, if that agent is gone for good, first say cachewright agent remove {certified.agent}.")  # fmt: skip
