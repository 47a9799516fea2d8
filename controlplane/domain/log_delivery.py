"""A log delivery: which log of a cache's engines goes where, and how far that is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

SLOW_LOG, ENGINE_LOG = "slow-log", "engine-log"
CLOUDWATCH_LOGS, FIREHOSE = "cloudwatch-logs", "kinesis-firehose"
JSON, TEXT = "json", "text"


class LogState(StrEnum):
    """What the service shows as the status. ``ENABLING`` and ``MODIFYING`` last until the destination has taken something."""

    ENABLING = "enabling"
    ACTIVE = "active"
    MODIFYING = "modifying"
    DISABLING = "disabling"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LogDelivery:
    """One log type and its destination: a log group of CloudWatch Logs, or a delivery stream of Firehose.

    Nothing from before ``since`` is delivered. ``message`` says what is wrong, or what was dropped.
    """

    log_type: str
    destination_type: str
    destination: str
    format: str
    since: datetime
    state: LogState = LogState.ENABLING
    message: str = ""

    @property
    def is_pending(self) -> bool:
        """Whether the service shows it among the pending modified values."""
        return self.state in (LogState.ENABLING, LogState.MODIFYING, LogState.DISABLING)


@dataclass(frozen=True, slots=True)
class LogStream:
    """One log of one node, as its destination knows it."""

    account: str
    region: str
    delivery: LogDelivery
    engine: str
    cache_cluster: str
    cache_node: str

    @property
    def name(self) -> str:
        """The log stream's name in CloudWatch Logs."""
        return f"elasticache/{self.engine}/{self.cache_cluster}/{self.cache_node}/{self.delivery.log_type}"
