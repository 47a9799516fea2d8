"""Settings that both replication groups and cache clusters take: windows, retention, security groups, parameter and subnet groups."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from api_schemas.faults import CacheParameterGroupNotFound, CacheSubnetGroupNotFound, InvalidParameterCombination, InvalidParameterValue
from controlplane.domain.engine_versions import EngineVersion
from controlplane.domain.parameters import DEFAULT_GROUPS, default_group_for
from controlplane.domain.topology import Settings
from controlplane.domain.windows import chosen_windows, maintenance_window, must_not_overlap, snapshot_window
from controlplane.operations.context import Context

MOST_SECURITY_GROUPS = 50


class AskedSettings(Protocol):
    """The fields of a create or modify request that become settings."""

    @property
    def preferred_maintenance_window(self) -> str | None: ...
    @property
    def snapshot_window(self) -> str | None: ...
    @property
    def snapshot_retention_limit(self) -> int | None: ...
    @property
    def auto_minor_version_upgrade(self) -> bool | None: ...
    @property
    def notification_topic_arn(self) -> str | None: ...
    @property
    def security_group_ids(self) -> list[str] | None: ...


def new_settings(ctx: Context, asked: AskedSettings, *, snapshots: bool = True) -> Settings:
    """The settings of something new: what was asked, and windows picked at random where none were. Raises InvalidParameterValue."""
    maintenance, snapshot = chosen_windows(ctx.clock.pick(56))
    picked = Settings(maintenance_window=maintenance, snapshot_window=snapshot)
    if asked.preferred_maintenance_window and not asked.snapshot_window:
        picked = replace(picked, snapshot_window=_clear_of(asked.preferred_maintenance_window, snapshot))
    return changed_settings(picked, asked, snapshots=snapshots)


def changed_settings(settings: Settings, asked: AskedSettings, *, snapshots: bool = True) -> Settings:
    """The settings with what was asked. Raises InvalidParameterValue, and InvalidParameterCombination for what is not built.

    Without ``snapshots`` there is no snapshot window that the maintenance window could overlap.
    """
    if asked.snapshot_retention_limit:
        raise InvalidParameterValue("SnapshotRetentionLimit can only be 0: automatic snapshots are not built yet. Nothing was changed.")
    if asked.notification_topic_arn:
        raise InvalidParameterValue("NotificationTopicArn cannot be given: notifications are not built yet. Nothing was changed.")
    changed = settings
    if asked.preferred_maintenance_window:
        changed = replace(changed, maintenance_window=maintenance_window(asked.preferred_maintenance_window))
    if asked.snapshot_window:
        changed = replace(changed, snapshot_window=snapshot_window(asked.snapshot_window))
    if asked.auto_minor_version_upgrade is not None:
        changed = replace(changed, auto_minor_version_upgrade=asked.auto_minor_version_upgrade)
    if asked.security_group_ids is not None:
        changed = replace(changed, security_group_ids=_checked_security_groups(asked.security_group_ids))
    if snapshots:
        must_not_overlap(changed.maintenance_window, changed.snapshot_window)
    return changed


def parameter_group(asked: str | None, version: EngineVersion) -> str:
    """The name of the parameter group that applies. Raises CacheParameterGroupNotFound or InvalidParameterCombination."""
    if not asked:
        return default_group_for(version.family, cluster_mode=False).name
    found = next((group for group in DEFAULT_GROUPS if group.name == asked.lower()), None)
    if found is None:
        raise CacheParameterGroupNotFound(asked)
    if found.family != version.family:
        raise InvalidParameterCombination(
            f"Expected a parameter group of family {version.family} for {version.engine} {version.version}, "
            f"but {found.name} is of family {found.family}."
        )
    if found.cluster_mode:
        raise InvalidParameterValue(f"{found.name} asks for cluster mode, which is not built yet. Use default.{version.family}.")
    return found.name


def subnet_group(ctx: Context, asked: str | None) -> str:
    """The name of the subnet group that applies. Raises CacheSubnetGroupNotFound."""
    name = (asked or "default").lower()
    if name != "default" and ctx.unit.subnet_groups.get(ctx.world, name) is None:
        raise CacheSubnetGroupNotFound(asked or name)
    return name


def _checked_security_groups(asked: list[str]) -> tuple[str, ...]:
    for group in asked:
        if not (group.startswith("sg-") and 4 <= len(group) <= 64 and group[3:].replace("-", "").isalnum() and group.isascii()):
            raise InvalidParameterValue(f"{group[:60]!r} is not a security group id; they look like sg-0123456789abcdef0.")
    if len(asked) > MOST_SECURITY_GROUPS:
        raise InvalidParameterValue(f"{len(asked)} security groups were given; there can be {MOST_SECURITY_GROUPS} at most.")
    return tuple(asked)


def _clear_of(maintenance: str, snapshot: str) -> str:
    """A snapshot window that does not overlap a maintenance window that was asked for."""
    asked = maintenance_window(maintenance)
    for hour in range(24):
        window = f"{hour:02d}:00-{(hour + 1) % 24:02d}:00"
        try:
            must_not_overlap(asked, window)
        except InvalidParameterValue:
            continue
        return window
    return snapshot
