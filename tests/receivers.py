"""What notifications and logs are delivered to in tests: moto's AWS on a port of its own, and a webhook that keeps what it is sent."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
from botocore.config import Config
from ports import free_port
from waiting import wait_until

ACCOUNT = "123456789012"
"""The account whose resources moto has."""

_KNOWN = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "secret", "region_name": "us-east-1"}
_ONCE = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1})


@dataclass
class Moto:
    """A server of moto's that can be ended and started again on its port; it forgets everything then."""

    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str) -> Any:
        return boto3.session.Session().client(service, endpoint_url=self.url, config=_ONCE, **_KNOWN)

    def start(self) -> None:
        words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, env={**os.environ, "AWS_DEFAULT_REGION": "us-east-1"}, **quiet)
        wait_until(self._answers, within=60, every=0.1)

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)
            self.process = None

    def topic(self, name: str) -> tuple[str, str]:
        """A topic, and the URL of a queue that hears of all that is published to it."""
        sns, sqs = self.client("sns"), self.client("sqs")
        arn = sns.create_topic(Name=name)["TopicArn"]
        queue = sqs.create_queue(QueueName=name)["QueueUrl"]
        of_queue = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=of_queue)
        return arn, queue

    def taken(self, queue: str) -> list[dict[str, Any]]:
        """What has come to a queue since it was last asked."""
        sqs, found = self.client("sqs"), []
        while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                found.append(json.loads(message["Body"]))
        return found

    def _answers(self) -> bool:
        try:
            self.client("sns").list_topics()
        except Exception:
            return False
        return True


@contextlib.contextmanager
def moto_server() -> Iterator[Moto]:
    """One that runs, until the end of the block."""
    moto = Moto()
    moto.start()
    try:
        yield moto
    finally:
        moto.end()


class Receiver:
    """A webhook: what it was sent, and what it answers."""

    def __init__(self, port: int = 0) -> None:
        self.came: list[dict[str, Any]] = []
        self.asked = 0
        self.answers = 200
        self.headers: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.asked += 1
            if receiver.answers < 300:
                receiver.came.append(body)
            self.send_response(receiver.answers)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    """One that listens, until the end of the block."""
    listening = Receiver()
    try:
        yield listening
    finally:
        listening.close()
