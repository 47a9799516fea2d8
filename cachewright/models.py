"""The service models that our clients are made of: botocore's own, ours beside them, and waiters that look often."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from botocore.loaders import Loader

DATA = Path(__file__).parent / "data"
DELAY = 0.5
"""Seconds between two looks of a waiter. A server holds a Describe until something changes, so there seldom is a second look."""


class Models(Loader):  # type: ignore[misc]
    """What botocore loads, and the models below ``cachewright/data``. Made in memory: nothing is written."""

    def __init__(self) -> None:
        super().__init__(extra_search_paths=[str(DATA)])

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        """A model of a service; its waiters look every half second instead of every 15 or more, and wait as long as ever."""
        model = super().load_service_model(service_name, type_name, api_version)
        return quick(model) if type_name == "waiters-2" else model


def quick(waiters: Mapping[str, Any]) -> dict[str, Any]:
    """The same waiters with a short delay, and with so many more looks that they do not give up sooner."""
    return {**waiters, "waiters": {name: _quick(waiter) for name, waiter in waiters["waiters"].items()}}


def _quick(waiter: Mapping[str, Any]) -> dict[str, Any]:
    delay = min(DELAY, waiter["delay"])
    looks = math.ceil(waiter["maxAttempts"] * waiter["delay"] / delay) if delay else waiter["maxAttempts"]
    return {**waiter, "delay": delay, "maxAttempts": looks}


def say_errors_as_aws_does(response_dict: dict[str, Any], **_: Any) -> None:
    """Called before botocore reads an answer: an error of our REST API becomes one that its parser knows."""
    if response_dict["status_code"] < 400:
        return
    try:
        error = json.loads(response_dict["body"])["error"]
        said = {"__type": error["code"], "message": error["message"]}
    except (ValueError, KeyError, TypeError):
        return
    response_dict["body"] = json.dumps(said).encode()
