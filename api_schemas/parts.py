"""Parts that several resources share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api_schemas.shape import Shape

ZoneName = Annotated[str, Field(max_length=64)]


class Endpoint(Shape):
    """Where to connect: an address and a port."""

    address: str
    port: int


class Tag(Shape):
    """A label on a resource."""

    key: str
    value: str = ""


class SecurityGroupMembership(Shape):
    """A VPC security group of a cache cluster. It is remembered and shown; nothing here filters traffic by it."""

    security_group_id: str
    status: str


class CacheSecurityGroupMembership(Shape):
    """A classic security group; none exists in an account with a VPC."""

    cache_security_group_name: str
    status: str


class NotificationConfiguration(Shape):
    """The topic that hears of events."""

    topic_arn: str
    topic_status: str


class CloudWatchLogsDetails(Shape):
    """A log group that logs are delivered to."""

    log_group: str | None = None


class KinesisFirehoseDetails(Shape):
    """A delivery stream that logs are delivered to."""

    delivery_stream: str | None = None


class DestinationDetails(Shape):
    """Where exactly a log is delivered to: one of the two."""

    cloud_watch_logs_details: CloudWatchLogsDetails | None = None
    kinesis_firehose_details: KinesisFirehoseDetails | None = None


class LogDeliveryConfigurationRequest(Shape):
    """Where a log shall be delivered to, and how; or, not ``enabled``, that it shall not be delivered any more."""

    log_type: str | None = None
    destination_type: str | None = None
    destination_details: DestinationDetails | None = None
    log_format: str | None = None
    enabled: bool | None = None


class LogDeliveryConfiguration(Shape):
    """Where a log is delivered to, how, and how far that is."""

    log_type: str | None = None
    destination_type: str | None = None
    destination_details: DestinationDetails | None = None
    log_format: str | None = None
    status: str | None = None
    message: str | None = None


class PendingLogDeliveryConfiguration(Shape):
    """A log delivery that is being begun, changed or ended."""

    log_type: str | None = None
    destination_type: str | None = None
    destination_details: DestinationDetails | None = None
    log_format: str | None = None


class NodeGroupConfiguration(Shape):
    """How one node group shall look: its id, slots, replica count and zones."""

    node_group_id: str | None = None
    slots: str | None = None
    replica_count: int | None = None
    primary_availability_zone: str | None = None
    replica_availability_zones: list[str] = Field(default_factory=list)
    primary_outpost_arn: str | None = None
    replica_outpost_arns: list[str] = Field(default_factory=list)


class Nothing(Shape):
    """An answer that says no more than that it was done."""
