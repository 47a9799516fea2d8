"""What callers set of a cache that no engine needs to hear of."""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.domain.log_delivery import LogDelivery


@dataclass(frozen=True, slots=True)
class Settings:
    """What callers set that no engine needs to hear of. Windows are lower case and UTC, as the service stores them.

    ``snapshot_retention_limit`` is in days; ``snapshotting_cluster`` is the member that automatic snapshots are taken from, None for the
    last. ``fronted``: every node of this Memcached cluster answers ``config get cluster``, for which a front stands before its engine.
    """

    description: str = ""
    maintenance_window: str = "sun:05:00-sun:06:00"
    snapshot_window: str = "03:00-04:00"
    snapshot_retention_limit: int = 0
    snapshotting_cluster: str | None = None
    auto_minor_version_upgrade: bool = True
    automatic_failover: bool = False
    multi_az: bool = False
    cross_az: bool = False
    fronted: bool = False
    security_group_ids: tuple[str, ...] = ()
    notification_topic: str | None = None
    notification_active: bool = True
    log_deliveries: tuple[LogDelivery, ...] = ()
