"""Rules about encryption in transit: engines have a certificate for everything that leads to them, and in time another one."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.transit import names_of, renewed_at, why_renewed
from controlplane.planner.decisions import Decision, IssueCertificate, LookAgain
from controlplane.planner.situation import Situation


def issue_certificates(now: Situation) -> Iterator[Decision]:
    """A topology that is encrypted has one certificate, for all its nodes and endpoints and for nobody else; it is renewed in time.

    It waits until every node has a place: nobody needs a certificate for a part of them.
    """
    topology = now.topology
    if not topology.speaks_tls or topology.deleting or not topology.is_addressed:
        return
    if any(node.placement is None for group in topology.node_groups for node in group.staying):
        return
    names = names_of(topology, now.policy.style)
    because = why_renewed(topology, names, now.now)
    if because is not None:
        yield IssueCertificate(names, because=because)
    elif topology.certified is not None:
        yield LookAgain(renewed_at(topology.certified.until), because="the certificate is to be renewed then")
