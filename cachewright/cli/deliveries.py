"""What is delivered of a cache to others, as ``cachewright describe`` shows it: the topic of its events, and its logs."""

from __future__ import annotations

from cachewright.cli.server import Json


def topic(cache: Json | None) -> str | None:
    """The topic of a cache cluster, and its status."""
    told = (cache or {}).get("notification_configuration")
    return f"{told['topic_arn']} ({told['topic_status']})" if told else None


def logs(resource: Json) -> dict[str, object]:
    """Each log that is delivered: where to, in which form, how far that is and what is wrong."""
    return {each["log_type"]: _log(each) for each in resource.get("log_delivery_configurations") or []}


def _log(each: Json) -> str:
    details = each.get("destination_details") or {}
    group, stream = details.get("cloud_watch_logs_details") or {}, details.get("kinesis_firehose_details") or {}
    place = group.get("log_group") or stream.get("delivery_stream")
    said = f": {each['message']}" if each.get("message") else ""
    return f"{each['destination_type']} {place}, {each['log_format']} ({each['status']}{said})"
