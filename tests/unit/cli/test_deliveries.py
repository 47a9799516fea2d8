"""Topics and logs as `cachewright describe` shows them."""

from __future__ import annotations

from typing import Any

from cachewright.cli import deliveries

SLOW: dict[str, Any] = {
    "log_type": "slow-log", "destination_type": "cloudwatch-logs", "log_format": "json", "status": "active",
    "destination_details": {"cloud_watch_logs_details": {"log_group": "/caches/slow"}},
}  # fmt: skip
ENGINE: dict[str, Any] = {
    "log_type": "engine-log", "destination_type": "kinesis-firehose", "log_format": "text", "status": "error", "message": "it is not there",
    "destination_details": {"kinesis_firehose_details": {"delivery_stream": "stream"}},
}  # fmt: skip


def test_each_log_has_a_line_with_its_destination_and_what_is_wrong() -> None:
    assert deliveries.logs({"log_delivery_configurations": [SLOW, ENGINE]}) == {
        "slow-log": "cloudwatch-logs /caches/slow, json (active)",
        "engine-log": "kinesis-firehose stream, text (error: it is not there)",
    }
    assert deliveries.logs({}) == {}


def test_a_topic_is_shown_with_its_status() -> None:
    told = {"notification_configuration": {"topic_arn": "arn:aws:sns:us-east-1:000000000000:t", "topic_status": "active"}}
    assert deliveries.topic(told) == "arn:aws:sns:us-east-1:000000000000:t (active)"
    assert deliveries.topic({}) is deliveries.topic(None) is None
