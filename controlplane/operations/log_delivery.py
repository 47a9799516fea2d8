"""The log deliveries of a cache: what callers ask for of its slow log and its engine log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from api_schemas.parts import (
    CloudWatchLogsDetails,
    DestinationDetails,
    KinesisFirehoseDetails,
    LogDeliveryConfiguration,
    LogDeliveryConfigurationRequest,
    PendingLogDeliveryConfiguration,
)
from controlplane.domain.log_delivery import CLOUDWATCH_LOGS, ENGINE_LOG, FIREHOSE, JSON, SLOW_LOG, TEXT, LogDelivery, LogState
from controlplane.domain.settings import Settings

_NEEDS = {SLOW_LOG: (6, 0), ENGINE_LOG: (6, 2)}
"""The first version of Redis that has each; Valkey has both."""

_LOG_GROUP = re.compile(r"[.\-_/#A-Za-z0-9]{1,512}")
_DELIVERY_STREAM = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def with_log_deliveries(settings: Settings, asked: Sequence[LogDeliveryConfigurationRequest], engine: str, version: str,
                        now: datetime, *, at_once: bool = True) -> Settings:  # fmt: skip
    """The settings with what is asked of each log type; others stay as they are.

    Raises InvalidParameterValue, and InvalidParameterCombination for what this engine does not have, or without ApplyImmediately.
    """
    if not asked:
        return settings
    if not at_once:
        raise InvalidParameterCombination("Log delivery is changed at once or not at all: set ApplyImmediately to true.")
    types = [_log_type(each) for each in asked]
    if len(set(types)) < len(types):
        raise InvalidParameterCombination("LogDeliveryConfigurations has more than one configuration of the same LogType.")
    known = {each.log_type: each for each in settings.log_deliveries}
    for log_type, request in zip(types, asked, strict=True):
        if request.enabled is False:
            known |= {log_type: replace(known[log_type], state=LogState.DISABLING, message="")} if log_type in known else {}
            continue
        _must_be_had(log_type, engine, version)
        known[log_type] = _changed(known.get(log_type), _wanted(log_type, request, now))
    return replace(settings, log_deliveries=tuple(known[log_type] for log_type in sorted(known, reverse=True)))


def shown(settings: Settings) -> list[LogDeliveryConfiguration]:
    """As Describe shows them, with their status."""
    return [
        LogDeliveryConfiguration(
            log_type=each.log_type,
            destination_type=each.destination_type,
            destination_details=_details(each),
            log_format=each.format,
            status=each.state.value,
            message=each.message or None,
        )
        for each in settings.log_deliveries
    ]


def pending(settings: Settings) -> list[PendingLogDeliveryConfiguration]:
    """Those that are under way."""
    return list(_pending(settings))


def _pending(settings: Settings) -> Iterator[PendingLogDeliveryConfiguration]:
    for each in settings.log_deliveries:
        if each.is_pending:
            yield PendingLogDeliveryConfiguration(
                log_type=each.log_type,
                destination_type=each.destination_type,
                destination_details=_details(each),
                log_format=each.format,
            )


def _changed(former: LogDelivery | None, wanted: LogDelivery) -> LogDelivery:
    """What was delivered goes on from where it is. One that failed is tried again when the same is asked for once more."""
    if former is None:
        return wanted
    same = (former.destination_type, former.destination, former.format) == (wanted.destination_type, wanted.destination, wanted.format)
    if same and former.state not in (LogState.ERROR, LogState.DISABLING):
        return former
    return replace(wanted, since=former.since, state=LogState.MODIFYING)


def _wanted(log_type: str, request: LogDeliveryConfigurationRequest, now: datetime) -> LogDelivery:
    if request.log_format not in (JSON, TEXT):
        raise InvalidParameterValue(f"LogFormat of {log_type} must be json or text; it is {_told(request.log_format)}.")
    return LogDelivery(log_type, _destination_type(log_type, request), _destination(log_type, request), request.log_format, now)


def _log_type(request: LogDeliveryConfigurationRequest) -> str:
    if request.log_type not in _NEEDS:
        raise InvalidParameterValue(f"LogType must be {SLOW_LOG} or {ENGINE_LOG}; it is {_told(request.log_type)}.")
    return request.log_type


def _destination_type(log_type: str, request: LogDeliveryConfigurationRequest) -> str:
    asked = request.destination_type
    if asked not in (CLOUDWATCH_LOGS, FIREHOSE):
        raise InvalidParameterValue(f"DestinationType of {log_type} must be {CLOUDWATCH_LOGS} or {FIREHOSE}; it is {_told(asked)}.")
    return asked


def _destination(log_type: str, request: LogDeliveryConfigurationRequest) -> str:
    """The log group or the delivery stream. Raises where it is missing, the other is given, or it cannot be one's name."""
    details = request.destination_details or DestinationDetails()
    group = details.cloud_watch_logs_details.log_group if details.cloud_watch_logs_details else None
    stream = details.kinesis_firehose_details.delivery_stream if details.kinesis_firehose_details else None
    is_group = request.destination_type == CLOUDWATCH_LOGS
    name, other = (group, stream) if is_group else (stream, group)
    what, form = ("LogGroup", _LOG_GROUP) if is_group else ("DeliveryStream", _DELIVERY_STREAM)
    if other:
        raise InvalidParameterCombination(f"The destination of {log_type} is {request.destination_type}, of which only a {what} is given.")
    if not name or not form.fullmatch(name):
        raise InvalidParameterValue(f"{what} of {log_type} must be the name of one; it is {_told(name)}.")
    return name


def _must_be_had(log_type: str, engine: str, version: str) -> None:
    first = _NEEDS[log_type]
    major, minor = [*(int(part) for part in version.split(".")[:2]), 0][:2]
    if engine == "redis" and (major, minor) < first:
        raise InvalidParameterCombination(f"{log_type} needs Redis {first[0]}.{first[1]} or a later version; this is {version}.")


def _details(delivery: LogDelivery) -> DestinationDetails:
    if delivery.destination_type == CLOUDWATCH_LOGS:
        return DestinationDetails(cloud_watch_logs_details=CloudWatchLogsDetails(log_group=delivery.destination))
    return DestinationDetails(kinesis_firehose_details=KinesisFirehoseDetails(delivery_stream=delivery.destination))


def _told(value: str | None) -> str:
    return "missing" if not value else repr(value[:60])
