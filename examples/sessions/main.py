"""Sessions that survive their application server: one server is killed with SIGKILL, and the next goes on where it stopped.

Without ``--cache`` this is the story: it makes a cache, starts the servers and kills the first. With it, it is one such server.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import boto3
import redis

NAME = "sessions"
LIFE = 1800  # seconds that a session lives after its last request

# ---- the application server ------------------------------------------------------------------------------------------------


class Sessions:
    """What we know of a visitor, as a hash at the primary endpoint. Every use starts its TTL again."""

    def __init__(self, cache: redis.Redis) -> None:
        self._cache = cache

    def start(self, user: str) -> str:
        """A new session; the token is the visitor's only key to it."""
        token = secrets.token_urlsafe(32)
        with self._cache.pipeline() as together:  # in one transaction, because a crash in between would leave a session without end
            together.hset(f"session:{token}", "user", user)
            together.expire(f"session:{token}", LIFE)
            together.execute()
        return token

    def resume(self, token: str) -> dict[str, str]:
        """The session, which lives on; empty when there is none."""
        with self._cache.pipeline() as together:
            together.hgetall(f"session:{token}")
            together.expire(f"session:{token}", LIFE)
            return dict(together.execute()[0])

    def put_in_cart(self, token: str, item: str) -> None:
        """One more of it. Counted by the engine, so that two requests at once are two items."""
        self._cache.hincrby(f"session:{token}", f"cart:{item}", 1)

    def end(self, token: str) -> None:
        self._cache.delete(f"session:{token}")


class App(BaseHTTPRequestHandler):
    """A shop of three pages. It keeps nothing of its own between two requests."""

    sessions: ClassVar[Sessions]

    def do_POST(self) -> None:
        _, page, what = self.path.split("/")
        token = self.headers.get("Cookie", "").removeprefix("session=")
        if page == "login":
            token = self.sessions.start(user=what)
        elif page == "cart" and self.sessions.resume(token):
            self.sessions.put_in_cart(token, what)
        elif page == "logout":
            self.sessions.end(token)
        session = self.sessions.resume(token)
        answer = json.dumps({"served by": os.getpid(), **session}).encode()
        self.send_response(200 if session else 401)
        self.send_header("Set-Cookie", f"session={token}; HttpOnly; SameSite=Lax; Max-Age={LIFE}")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing of single requests."""


def serve(cache: str) -> None:
    """Serve at a free port, told on stdout, until killed."""
    host, port = cache.rsplit(":", 1)
    App.sessions = Sessions(redis.Redis(host=host, port=int(port), decode_responses=True, socket_timeout=2))
    with ThreadingHTTPServer(("127.0.0.1", 0), App) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


# ---- the story -------------------------------------------------------------------------------------------------------------


@contextmanager
def primary_endpoint(elasticache: Any) -> Iterator[str]:
    """The address of a primary with a replica in another zone, for the length of the block."""
    elasticache.create_replication_group(
        ReplicationGroupId=NAME, ReplicationGroupDescription="login sessions", Engine="valkey",
        NumCacheClusters=2, AutomaticFailoverEnabled=True, MultiAZEnabled=True,
    )  # fmt: skip
    try:
        elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=NAME)
        group = elasticache.describe_replication_groups(ReplicationGroupId=NAME)["ReplicationGroups"][0]
        endpoint = group["NodeGroups"][0]["PrimaryEndpoint"]
        yield f"{endpoint['Address']}:{endpoint['Port']}"
    finally:
        elasticache.delete_replication_group(ReplicationGroupId=NAME)
        elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=NAME)


@contextmanager
def app_server(cache: str) -> Iterator[tuple[subprocess.Popen[str], HTTPConnection]]:
    """A server process of its own, and a browser that is connected to it. It ends with SIGKILL at the end of the block at the latest."""
    with subprocess.Popen([sys.executable, __file__, "--cache", cache], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, HTTPConnection("127.0.0.1", int(process.stdout.readline()), timeout=10)
        finally:
            process.kill()


def post(browser: HTTPConnection, path: str, cookie: str = "") -> tuple[str, str]:
    """What the page said, and the cookie that came with it."""
    browser.request("POST", path, headers={"Cookie": cookie})
    answer = browser.getresponse()
    return f"{answer.status} {answer.read().decode()}", answer.headers["Set-Cookie"].split(";")[0]


def tell(cache: str) -> None:
    host, port = cache.rsplit(":", 1)
    with redis.Redis(host=host, port=int(port)) as look:
        with app_server(cache) as (first, browser):
            said, cookie = post(browser, "/login/ada")
            print("first server: login ", said)
            print("first server: cart  ", post(browser, "/cart/tea", cookie)[0])
            first.kill()
            print(f"first server: process {first.pid} ended with {first.wait()} (SIGKILL)")
        with app_server(cache) as (second, browser):
            key = f"session:{cookie.removeprefix('session=')}"
            left = look.pttl(key)
            print("second server: cart  ", post(browser, "/cart/milk", cookie)[0])
            print(f"second server: the session had {left} ms to live, and has {look.pttl(key)} again")
            print("second server: logout", post(browser, "/logout/", cookie)[0])
            assert second.poll() is None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint-url", default=os.environ.get("CACHEWRIGHT_URL", "http://127.0.0.1:8379"))
    parser.add_argument("--cache", metavar="HOST:PORT", help="be an application server with its sessions there")
    asked = parser.parse_args()
    if asked.cache:
        serve(asked.cache)
        return
    account = os.environ.get("AWS_ACCESS_KEY_ID", "000000000000")  # a local server takes any keys; 12 digits choose an account
    elasticache = boto3.client(
        "elasticache", endpoint_url=asked.endpoint_url, region_name="us-east-1",
        aws_access_key_id=account, aws_secret_access_key="local",
    )  # fmt: skip
    with primary_endpoint(elasticache) as cache:
        tell(cache)


if __name__ == "__main__":
    main()
