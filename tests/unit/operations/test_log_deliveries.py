"""What may be asked of a topic and of log deliveries, and what is said of what may not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from factories import NOW, WORLD

from api_schemas.faults import Fault, InvalidParameterCombination, InvalidParameterValue
from api_schemas.parts import CloudWatchLogsDetails, DestinationDetails, KinesisFirehoseDetails, LogDeliveryConfigurationRequest
from controlplane.domain.log_delivery import LogState
from controlplane.domain.settings import Settings
from controlplane.operations.log_delivery import pending, shown, with_log_deliveries
from controlplane.operations.notifications import with_topic

TOPIC = f"arn:aws:sns:{WORLD.region}:{WORLD.account}:topic"
GROUP = DestinationDetails(cloud_watch_logs_details=CloudWatchLogsDetails(log_group="caches"))
STREAM = DestinationDetails(kinesis_firehose_details=KinesisFirehoseDetails(delivery_stream="stream"))


def request(**fields: Any) -> LogDeliveryConfigurationRequest:
    plain = {"log_type": "slow-log", "destination_type": "cloudwatch-logs", "destination_details": GROUP, "log_format": "json"}
    return LogDeliveryConfigurationRequest(**{**plain, **fields})


def asked(*requests: LogDeliveryConfigurationRequest, of: Settings | None = None, engine: str = "valkey", version: str = "8.1",
          at_once: bool = True) -> Settings:  # fmt: skip
    return with_log_deliveries(of or Settings(), requests, engine, version, NOW, at_once=at_once)


def test_a_new_delivery_is_enabling_and_pending_until_its_destination_takes_something() -> None:
    settings = asked(request(), request(log_type="engine-log", destination_type="kinesis-firehose", destination_details=STREAM))
    assert [(each.log_type, each.status, each.destination_details) for each in shown(settings)] == [
        ("slow-log", "enabling", GROUP), ("engine-log", "enabling", STREAM),
    ]  # fmt: skip
    assert [each.log_type for each in pending(settings)] == ["slow-log", "engine-log"]


@pytest.mark.parametrize(
    ("wrong", "fault", "fragment"),
    [
        ({"log_type": "audit-log"}, InvalidParameterValue, "LogType must be slow-log or engine-log"),
        ({"log_type": None}, InvalidParameterValue, "it is missing"),
        ({"log_format": "xml"}, InvalidParameterValue, "must be json or text"),
        ({"log_format": None}, InvalidParameterValue, "LogFormat"),
        ({"destination_type": "s3"}, InvalidParameterValue, "DestinationType"),
        ({"destination_details": None}, InvalidParameterValue, "LogGroup of slow-log must be the name of one; it is missing"),
        ({"destination_details": STREAM}, InvalidParameterCombination, "of which only a LogGroup"),
        ({"destination_type": "kinesis-firehose"}, InvalidParameterCombination, "of which only a DeliveryStream"),
        ({"destination_details": DestinationDetails(cloud_watch_logs_details=CloudWatchLogsDetails(log_group="a b"))},
         InvalidParameterValue, "'a b'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(wrong: dict[str, Any], fault: type[Fault], fragment: str) -> None:
    with pytest.raises(fault) as refused:
        asked(request(**wrong))
    assert fragment in str(refused.value)


def test_two_destinations_of_one_log_are_refused() -> None:
    with pytest.raises(InvalidParameterCombination, match="more than one configuration of the same LogType"):
        asked(request(), request(log_format="text"))


def test_a_change_needs_apply_immediately() -> None:
    with pytest.raises(InvalidParameterCombination, match="ApplyImmediately"):
        asked(request(), at_once=False)
    assert asked(at_once=False) == Settings()


@pytest.mark.parametrize(
    ("engine", "version", "log_type", "has"),
    [
        ("redis", "5.0.6", "slow-log", False),
        ("redis", "6.0", "slow-log", True),
        ("redis", "6.0", "engine-log", False),
        ("redis", "6.2", "engine-log", True),
        ("redis", "7.1", "engine-log", True),
        ("valkey", "7.2", "engine-log", True),
    ],
)
def test_older_engines_have_no_logs_to_deliver(engine: str, version: str, log_type: str, has: bool) -> None:
    if has:
        assert len(asked(request(log_type=log_type), engine=engine, version=version).log_deliveries) == 1
        return
    with pytest.raises(InvalidParameterCombination, match=f"{log_type} needs Redis 6"):
        asked(request(log_type=log_type), engine=engine, version=version)


def test_what_is_asked_again_stays_and_what_differs_is_modifying_from_where_it_was() -> None:
    settings = asked(request())
    assert asked(request(), of=settings) == settings
    later = with_log_deliveries(settings, [request(log_format="text")], "valkey", "8.1", NOW + timedelta(hours=1))
    assert [(each.state, each.format, each.since) for each in later.log_deliveries] == [(LogState.MODIFYING, "text", NOW)]


def test_what_is_not_enabled_any_more_is_disabling_and_what_never_was_is_nothing() -> None:
    settings = asked(request())
    off = asked(LogDeliveryConfigurationRequest(log_type="slow-log", enabled=False), of=settings)
    assert [each.state for each in off.log_deliveries] == [LogState.DISABLING]
    assert asked(LogDeliveryConfigurationRequest(log_type="engine-log", enabled=False), of=settings) == settings


def test_a_topic_is_active_until_it_is_turned_off_or_taken_away() -> None:
    on = with_topic(Settings(), WORLD, TOPIC)
    assert (on.notification_topic, on.notification_active) == (TOPIC, True)
    off = with_topic(on, WORLD, None, "inactive")
    assert (off.notification_topic, off.notification_active) == (TOPIC, False)
    assert with_topic(off, WORLD, None) == off
    assert with_topic(off, WORLD, f"{TOPIC}2").notification_active
    assert with_topic(off, WORLD, "", "inactive") == Settings()


@pytest.mark.parametrize(
    ("topic", "fragment"),
    [
        ("topic", "not the ARN of a topic"),
        (f"{TOPIC}.fifo", "not the ARN of a topic"),
        (TOPIC.replace(WORLD.region, "eu-west-1"), "must be of the cache's own account"),
        (TOPIC.replace(WORLD.account, "999999999999"), "must be of the cache's own account"),
    ],
)
def test_a_topic_is_of_the_account_and_region_of_its_cache(topic: str, fragment: str) -> None:
    with pytest.raises(InvalidParameterValue, match=fragment):
        with_topic(Settings(), WORLD, topic)


def test_a_status_needs_a_topic_and_is_one_of_two() -> None:
    with pytest.raises(InvalidParameterCombination, match="needs a topic"):
        with_topic(Settings(), WORLD, None, "active")
    with pytest.raises(InvalidParameterValue, match="active or inactive"):
        with_topic(Settings(), WORLD, TOPIC, "on")
