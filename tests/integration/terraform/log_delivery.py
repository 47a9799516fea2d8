"""The ``log_delivery_configuration`` blocks of caches: a set of destination, its type, the format and the log type."""

from __future__ import annotations

from typing import Any

Block = dict[str, str]


def equal_blocks(wanted: Any, present: Any) -> bool:
    """The same blocks in any order."""
    return _as_set(wanted) == _as_set(present)


def create_request(blocks: list[Block]) -> list[dict[str, Any]]:
    """What a create sends."""
    return [_request(block) for block in blocks]


def update_request(wanted: list[Block] | None, present: list[Block] | None) -> list[dict[str, Any]]:
    """Every block that is new or changed; of a log type that is configured no more, only that it is not enabled."""
    kept = {block["log_type"] for block in wanted or []}
    gone = [{"LogType": block["log_type"], "Enabled": False} for block in present or [] if block["log_type"] not in kept]
    return [_request(block) for block in wanted or [] if _as_set([block]) - _as_set(present)] + gone


def read_blocks(found: Any) -> list[Block]:
    """What Read stores of a cluster or a group."""
    blocks = []
    for each in found.get("LogDeliveryConfigurations") or []:
        details = each["DestinationDetails"]
        group, stream = details.get("CloudWatchLogsDetails"), details.get("KinesisFirehoseDetails")
        blocks.append({
            "destination": group["LogGroup"] if group else stream["DeliveryStream"],
            "destination_type": each["DestinationType"],
            "log_format": each["LogFormat"],
            "log_type": each["LogType"],
        })  # fmt: skip
    return blocks


def _request(block: Block) -> dict[str, Any]:
    where = {"CloudWatchLogsDetails": {"LogGroup": block["destination"]}}
    if block["destination_type"] == "kinesis-firehose":
        where = {"KinesisFirehoseDetails": {"DeliveryStream": block["destination"]}}
    return {"LogType": block["log_type"], "LogFormat": block["log_format"], "DestinationType": block["destination_type"],
            "DestinationDetails": where, "Enabled": True}  # fmt: skip


def _as_set(blocks: Any) -> frozenset[tuple[tuple[str, str], ...]]:
    return frozenset(tuple(sorted(block.items())) for block in blocks or [])
