"""What is asked for but not built yet is refused by name, before anything is looked at. No field is decoration."""

from __future__ import annotations

from collections.abc import Mapping

from api_schemas.faults import InvalidParameterValue
from api_schemas.shape import Shape

NOT_BUILT: Mapping[str, str] = {
    "serverless_cache_snapshot_name": "serverless caches are not built yet",
    "at_rest_encryption_enabled": "encryption at rest is not built yet",
    "kms_key_id": "encryption at rest is not built yet",
    "data_tiering_enabled": "data tiering is not built yet",
    "global_replication_group_id": "global datastores are not built yet",
    "outpost_mode": "there are no outposts here",
    "preferred_outpost_arn": "there are no outposts here",
    "preferred_outpost_arns": "there are no outposts here",
    "cache_security_group_names": "use of cache security groups is not permitted in an account with a VPC; give security_group_ids",
}
"""Request fields that are refused when they carry anything, and why. ``False``, an empty text and an empty list carry nothing."""

_ONLY: Mapping[str, tuple[str, ...]] = {
    "network_type": ("ipv4",),
    "ip_discovery": ("ipv4",),
    "durability": ("default", "disabled"),
}


def refuse_what_is_not_built(asked: Shape, also: Mapping[str, str] | None = None) -> None:
    """Raises InvalidParameterValue for the first field that asks for something that is not built; ``also`` adds fields for one call."""
    names = asked.aws_names()
    for name, why in {**NOT_BUILT, **(also or {})}.items():
        if name in names and getattr(asked, name):
            raise InvalidParameterValue(f"{names[name]} cannot be given: {why}. Nothing was changed; leave it out.")
    for name, possible in _ONLY.items():
        value = getattr(asked, name, None)
        if value and value not in possible:
            raise InvalidParameterValue(f"{names[name]} {value} is not built yet; it can be {' or '.join(possible)}.")
