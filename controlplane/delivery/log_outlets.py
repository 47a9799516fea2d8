"""A log outlet: takes the records of log streams, in files, at a webhook, or through CloudWatch Logs and Firehose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from controlplane.delivery.api_endpoint import ApiEndpoint, code_of
from controlplane.delivery.rolling_file import Mark, RollingFile
from controlplane.delivery.trouble import ReceiverAwayError
from controlplane.domain.delivery_place import DeliveryPlace, Way
from controlplane.domain.log_delivery import CLOUDWATCH_LOGS, JSON, LogStream
from controlplane.domain.log_records import LogRecord
from controlplane.domain.topology import World

if TYPE_CHECKING:
    from controlplane.delivery.webhook import Webhook

FOLDER = "logs"
"""Its name in the data folder."""

_MOST_EVENTS, _MOST_BYTES, _EVENT = 10_000, 900_000, 26  # of CloudWatch Logs: in a call, in bytes, and of each event besides its text
_MOST_FIREHOSE, _MOST_FIREHOSE_BYTES = 500, 3_500_000
_MOST_POSTED, _MOST_POSTED_BYTES = 1000, 1_000_000
_TRIES = 3  # of what a call to Firehose took only part of


class LogOutlet(Protocol):
    """Takes records in order. Whoever ends halfway hands the same ones over again."""

    def check(self, stream: LogStream) -> None:
        """Returns if its destination would take records. Raises ReceiverAwayError, ReceiverRefusedError."""

    def mark(self, stream: LogStream) -> Mark | None:
        """Where the first records will follow, if this is a file, in which it is told what was accounted for. Raises ReceiverAwayError."""

    def write(self, stream: LogStream, records: Sequence[LogRecord], after: Mark | None) -> Mark | None:
        """Returns once all were taken, with a mark to be given next time. Raises ReceiverAwayError, ReceiverRefusedError."""

    def close(self) -> None:
        """Let go of what is open."""


def outlet_at(place: DeliveryPlace, folder: Path) -> LogOutlet:
    """The one that a setting names; ``folder`` is the data folder."""
    match place.way:
        case Way.API:
            return ApiOutlet(ApiEndpoint(place))
        case Way.WEBHOOK:
            from controlplane.delivery.webhook import Webhook  # who has none need not wait for an HTTP client

            return WebhookOutlet(Webhook(place))
        case _:
            return FileOutlet(folder / FOLDER)


class FileOutlet:
    """A file for each log of each node, by account, region and destination. Each record is a line in it, once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, stream: LogStream) -> None:
        """Have the file, empty if it is new."""
        self._file(stream).append(b"")

    def mark(self, stream: LogStream) -> Mark | None:
        """The end of the file."""
        return self._file(stream).append(b"")

    def write(self, stream: LogStream, records: Sequence[LogRecord], after: Mark | None) -> Mark | None:
        """Append the records. What was written after the mark is written over: it was never accounted for."""
        lines = "".join(f"{record.text}\n" for record in records)
        return self._file(stream).append(lines.encode(errors="replace"), after)

    def close(self) -> None:
        """Nothing is open."""

    def _file(self, stream: LogStream) -> RollingFile:
        delivery = stream.delivery
        name = f"{stream.cache_cluster}-{stream.cache_node}-{delivery.log_type}.{'json' if delivery.format == JSON else 'log'}"
        return RollingFile(self._folder / _part(stream.account) / _part(stream.region) / _part(delivery.destination) / name)


class WebhookOutlet:
    """Posts records in batches, each with where CloudWatch Logs or Firehose would have it."""

    def __init__(self, webhook: Webhook) -> None:
        self._webhook = webhook

    def check(self, stream: LogStream) -> None:
        """Post a batch without records."""
        self._webhook.post(_batch(stream, []))

    def mark(self, stream: LogStream) -> Mark | None:
        """There is no file."""
        return None

    def write(self, stream: LogStream, records: Sequence[LogRecord], after: Mark | None) -> Mark | None:
        """Post the records."""
        for part in _parts(records, _MOST_POSTED, _MOST_POSTED_BYTES):
            self._webhook.post(_batch(stream, part))
        return None

    def close(self) -> None:
        """Let the connections go."""
        self._webhook.close()


class ApiOutlet:
    """Hands records to CloudWatch Logs and Firehose through their own APIs."""

    def __init__(self, endpoint: ApiEndpoint) -> None:
        self._endpoint = endpoint

    def check(self, stream: LogStream) -> None:
        """The log group exists and has the log stream, or the delivery stream exists."""
        with self._endpoint.errors():
            if stream.delivery.destination_type == CLOUDWATCH_LOGS:
                self._have_stream(stream)
            else:
                self._client(stream).describe_delivery_stream(DeliveryStreamName=stream.delivery.destination)

    def mark(self, stream: LogStream) -> Mark | None:
        """There is no file."""
        return None

    def write(self, stream: LogStream, records: Sequence[LogRecord], after: Mark | None) -> Mark | None:
        """Put the records."""
        with self._endpoint.errors():
            if stream.delivery.destination_type == CLOUDWATCH_LOGS:
                for part in _parts(sorted(records, key=lambda record: record.at), _MOST_EVENTS, _MOST_BYTES, _EVENT):
                    self._put_events(stream, part)
            else:
                for part in _parts(records, _MOST_FIREHOSE, _MOST_FIREHOSE_BYTES):
                    self._put_records(stream, part)
        return None

    def close(self) -> None:
        """Let the connections go."""
        self._endpoint.close()

    def _client(self, stream: LogStream) -> Any:
        service = "logs" if stream.delivery.destination_type == CLOUDWATCH_LOGS else "firehose"
        return self._endpoint.client(service, World(stream.account, stream.region))

    def _have_stream(self, stream: LogStream) -> None:
        from botocore.exceptions import ClientError

        try:
            self._client(stream).create_log_stream(logGroupName=stream.delivery.destination, logStreamName=stream.name)
        except ClientError as failed:
            if code_of(failed) != "ResourceAlreadyExistsException":
                raise

    def _put_events(self, stream: LogStream, records: Sequence[LogRecord]) -> None:
        from botocore.exceptions import ClientError

        events = [{"timestamp": int(record.at.timestamp() * 1000), "message": record.text} for record in records]
        where = {"logGroupName": stream.delivery.destination, "logStreamName": stream.name}
        try:
            self._client(stream).put_log_events(**where, logEvents=events)
        except ClientError as failed:
            if code_of(failed) != "ResourceNotFoundException":
                raise
            self._have_stream(stream)  # the node is new, or somebody took its log stream away
            self._client(stream).put_log_events(**where, logEvents=events)

    def _put_records(self, stream: LogStream, records: Sequence[LogRecord]) -> None:
        left = [{"Data": f"{record.text}\n".encode(errors="replace")} for record in records]
        for _ in range(_TRIES):
            told = self._client(stream).put_record_batch(DeliveryStreamName=stream.delivery.destination, Records=left)
            if not told.get("FailedPutCount"):
                return
            left = [record for record, answer in zip(left, told["RequestResponses"], strict=True) if answer.get("ErrorCode")]
        raise ReceiverAwayError(f"delivery stream {stream.delivery.destination} takes only part of what it is given")


def _batch(stream: LogStream, records: Sequence[LogRecord]) -> dict[str, Any]:
    delivery = stream.delivery
    member = "logGroup" if delivery.destination_type == CLOUDWATCH_LOGS else "deliveryStream"
    told = [json.loads(record.text) if delivery.format == JSON else record.text for record in records]
    return {"account": stream.account, "region": stream.region, "logType": delivery.log_type, member: delivery.destination,
            "logStream": stream.name, "records": told}  # fmt: skip


def _parts(records: Sequence[LogRecord], most: int, most_bytes: int, each: int = 1) -> Iterator[list[LogRecord]]:
    """The records in parts that a call takes: so many, of so many bytes, each having so many besides its text."""
    part: list[LogRecord] = []
    size = 0
    for record in records:
        length = len(record.text.encode(errors="replace")) + each
        if part and (len(part) >= most or size + length > most_bytes):
            yield part
            part, size = [], 0
        part.append(record)
        size += length
    if part:
        yield part


def _part(name: str) -> str:
    """A name as one part of a path, whatever it contains."""
    quoted = quote(name, safe="#")
    return quoted.replace(".", "%2E") if quoted.strip(".") == "" else quoted
