"""The authority that engines are certified by: made when it is first needed, kept in the database for every control plane on it."""

from __future__ import annotations

import ipaddress
from datetime import datetime

from api_schemas.agent.transit import Certified
from controlplane.domain.certificate import Issued
from controlplane.domain.transit import LASTS
from controlplane.pki.authority import Authority, Pair, Subject, new_authority
from controlplane.store.store import Unit

_AUTHORITY = "engines"


def engine_authority(unit: Unit, now: datetime) -> Authority:
    """The authority of all engines, another than that of the agents: who has its certificate may be let in nowhere by it."""
    kept = unit.authorities.get(_AUTHORITY)
    if kept is None:
        made = new_authority(now, "engine authority")
        kept = unit.authorities.put_first(_AUTHORITY, made.certificate, made.private_key)
    return Authority(Pair(*kept))


def issued(unit: Unit, topology: str, names: tuple[str, ...], now: datetime) -> Issued:
    """A certificate for the engines of the topology of that name, with a key of its own."""
    authority = engine_authority(unit, now)
    addresses = [name for name in names if _is_address(name)]
    subject = Subject(topology, "engines", hosts=[name for name in names if name not in addresses], addresses=addresses)
    pair = authority.issue(subject, now, LASTS)
    return Issued(Certified(pair.certificate, pair.private_key, authority.certificate), names, now + LASTS)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
