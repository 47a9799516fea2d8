"""A log record: one entry of a slow log or one line of an engine log, in the form that the service documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from api_schemas.agent.logs import EngineLine, SlowEntry
from controlplane.domain.log_delivery import JSON, SLOW_LOG, LogStream

_SLOW_TEXT = ("CacheClusterId", "CacheNodeId", "Timestamp", "Duration (us)", "Command", "ClientAddress", "ClientName")
"""What a slow log entry as text is joined of. The service's documented example has no Id."""

_SIGNS = {"DEBUG": ".", "VERBOSE": "-", "NOTICE": "*", "WARNING": "#"}


@dataclass(frozen=True, slots=True)
class LogRecord:
    """What is delivered, and the moment that it is of."""

    at: datetime
    text: str


def slow_record(stream: LogStream, entry: SlowEntry) -> LogRecord:
    """An entry of the slow log."""
    fields = {
        "CacheClusterId": stream.cache_cluster,
        "CacheNodeId": stream.cache_node,
        "Id": entry.id,
        "Timestamp": entry.at,
        "Duration (us)": entry.took,
        "Command": entry.command,
        "ClientAddress": entry.client_address,
        "ClientName": entry.client_name,
    }
    text = _json(fields) if stream.delivery.format == JSON else ",".join(str(fields[name]) for name in _SLOW_TEXT)
    return LogRecord(datetime.fromtimestamp(entry.at, UTC), text)


def engine_record(stream: LogStream, line: EngineLine) -> LogRecord:
    """A line of the engine log."""
    at = line.at.astimezone(UTC)
    moment = f"{at:%d %b %Y %H:%M:%S}.{at.microsecond // 1000:03d} UTC"
    fields = {
        "CacheClusterId": stream.cache_cluster,
        "CacheNodeId": stream.cache_node,
        "LogLevel": line.level,
        "Role": line.role,
        "Time": moment,
        "Message": line.message,
    }
    sign = _SIGNS.get(line.level, "*")
    text = f"{stream.cache_cluster}/{stream.cache_node}:{line.role} {moment} {sign} {line.message}"
    return LogRecord(at, _json(fields) if stream.delivery.format == JSON else text)


def lost_record(stream: LogStream, number: int, now: datetime) -> LogRecord:
    """In the place of records that nobody has any more, a word of how many they were."""
    said = f"{number} records were dropped, for there were more than could be read"
    if stream.delivery.log_type == SLOW_LOG:
        entry = SlowEntry(id=0, at=int(now.timestamp()), took=0, command=f"({said})", client_address="", client_name="")
        return slow_record(stream, entry)
    return engine_record(stream, EngineLine(at=now, level="WARNING", role="X", message=said))


def _json(fields: Mapping[str, Any]) -> str:
    return json.dumps(fields, ensure_ascii=False)
