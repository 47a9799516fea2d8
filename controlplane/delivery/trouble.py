"""What may go wrong where something is handed over: it is away, which may pass, or it refuses, which will not."""

from __future__ import annotations


class ReceiverAwayError(Exception):
    """It did not take what was handed over, and may later; the text says why."""


class ReceiverRefusedError(Exception):
    """It will not take that, however often it is offered; the text says why."""
