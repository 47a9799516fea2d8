"""Files of snapshots over HTTP: out of the archive and in, piece by piece, whatever callers do; and verifications over restarts."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from rdb_maker import aux, rdb, select, string
from servers import Server
from waiting import wait_until

MIB = 1 << 20
VALKEY_9 = aux(b"valkey-ver", b"9.1.2")
KEYS = 20_000


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """With room for uploads of 400 MiB."""
    monkeypatch.setenv("CACHEWRIGHT_LARGEST_IMPORT", str(400 * MIB))
    made = Server(tmp_path / "data")
    made.start()
    yield made
    made.clear()


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60, trust_env=False) as client:
        yield client


def a_file(*keys: bytes, value: bytes = b"value") -> bytes:
    return rdb(VALKEY_9, select(0, len(keys)), *(string(key, value) for key in keys))


def send(http: httpx.Client, server: Server, name: str, content: Any, file: str = "dump.rdb", **headers: str) -> httpx.Response:
    return http.put(f"{server.url}/v1/snapshot-imports/{name}/{file}", content=content, headers=headers)


def make(http: httpx.Client, server: Server, name: str, **asked: str) -> httpx.Response:
    return http.post(f"{server.url}/v1/snapshot-imports/{name}", json=asked)


def snapshot(http: httpx.Client, server: Server, name: str) -> Any:
    answer = http.get(f"{server.url}/v1/snapshots/{name}", headers={"Prefer": "wait=30"})
    return answer.json().get("snapshot")


def imported(http: httpx.Client, server: Server, name: str, content: bytes) -> Any:
    assert send(http, server, name, content).status_code == 201
    made = make(http, server, name)
    assert made.status_code == 202, made.text
    found = snapshot(http, server, name)
    assert found["snapshot_status"] == "available"
    return found


def error(answer: httpx.Response) -> tuple[int, str, str]:
    told = answer.json()["error"]
    return answer.status_code, told["code"], told["message"]


def uploads(server: Server) -> list[Path]:
    return [path for path in (server.folder / "scratch" / "imports").rglob("*") if path.is_file()]


def archived(server: Server) -> list[Path]:
    return [path for path in (server.folder / "snapshots").glob("*/*") if path.is_file()]


def test_a_file_comes_out_as_it_went_in(server: Server, http: httpx.Client) -> None:
    content = a_file(*(f"key:{number}".encode() for number in range(50_000)), value=b"x" * 100)
    imported(http, server, "monday", content)
    progress = http.get(f"{server.url}/v1/snapshots/monday/progress").json()
    file = progress["parts"][0]["file"]
    assert (file["size"], file["sha256"], file["keys"]) == (len(content), hashlib.sha256(content).hexdigest(), 50_000)
    at = f"{server.url}/v1/snapshots/monday/files"
    answer = http.get(f"{at}/{file['name']}")
    assert answer.content == content
    assert (answer.headers["content-length"], answer.headers["etag"]) == (str(len(content)), f'"{file["sha256"]}"')
    assert http.get(f"{at}/{file['name']}", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    manifest = http.get(f"{at}/manifest.json")
    assert hashlib.sha256(manifest.content).hexdigest() == progress["manifest"] == manifest.headers["etag"].strip('"')
    assert manifest.json()["manifest"]["engine"] == "valkey"


@pytest.mark.parametrize("file", ["archive.json", "..%2F..%2Farchive.json", "%2e%2e", "0001-0.rdb%00", "nothing.rdb"])
def test_only_what_the_record_names_comes_out(server: Server, http: httpx.Client, file: str) -> None:
    imported(http, server, "monday", a_file(b"a"))
    answer = http.get(f"{server.url}/v1/snapshots/monday/files/{file}")
    assert error(answer)[:2] == (404, "ResourceNotFound")
    assert error(http.get(f"{server.url}/v1/snapshots/tuesday/files/manifest.json"))[:2] == (404, "SnapshotNotFoundFault")
    other = http.get(f"{server.url}/v1/snapshots/monday/files/manifest.json", headers={"X-Account-Id": "111111111111"})
    assert error(other)[:2] == (404, "SnapshotNotFoundFault")


def test_large_files_go_through_in_little_memory(server: Server, http: httpx.Client) -> None:
    assert server.process is not None
    imported(http, server, "small", a_file(b"a"))
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    content = a_file(*(f"key:{number}".encode() for number in range(300)), value=os.urandom(MIB))
    imported(http, server, "large", content)
    sha, most = hashlib.sha256(), 0
    with http.stream("GET", f"{server.url}/v1/snapshots/large/files/0001-0.rdb") as answer:
        for piece in answer.iter_raw():
            sha.update(piece)
            most = max(most, process.memory_info().rss)
    assert sha.hexdigest() == hashlib.sha256(content).hexdigest()
    assert most - before < 100 * MIB, f"{(most - before) / MIB:.0f} MiB for a file of {len(content) / MIB:.0f} MiB"


def announced(server: Server, size: int) -> tuple[int, Any]:
    """The status and the error for a file of that size, of which no byte is sent."""
    with closing(HTTPConnection(server.url.removeprefix("http://"), timeout=20)) as connection:
        connection.putrequest("PUT", "/v1/snapshot-imports/monday/dump.rdb")
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())["error"]


def test_what_is_too_large_or_breaks_off_leaves_nothing(server: Server, http: httpx.Client) -> None:
    status, said = announced(server, 401 * MIB)
    assert (status, said["code"]) == (413, "RequestEntityTooLarge")
    assert "largest-import" in said["message"]

    def endless() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * MIB

    with suppress(httpx.TransportError):  # the server need not read all of what it does not want
        assert send(http, server, "monday", endless()).status_code == 413

    class BrokeOffError(Exception):
        pass

    def breaks_off() -> Iterator[bytes]:
        yield b"x" * 5 * MIB
        raise BrokeOffError

    with pytest.raises(BrokeOffError):
        send(http, server, "monday", breaks_off())
    wait_until(lambda: uploads(server) == [], within=20)
    assert error(make(http, server, "monday"))[:2] == (400, "InvalidParameterValue")
    assert error(http.get(f"{server.url}/v1/snapshot-imports/monday"))[:2] == (404, "ResourceNotFound")


def test_what_was_sent_is_told_and_can_be_given_up(server: Server, http: httpx.Client) -> None:
    content = a_file(b"a")
    assert send(http, server, "monday", content).json() == {
        "name": "dump.rdb", "size": len(content), "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    told = http.get(f"{server.url}/v1/snapshot-imports/monday").json()
    assert (told["step"], [file["name"] for file in told["files"]]) == ("waits for files", ["dump.rdb"])
    assert http.delete(f"{server.url}/v1/snapshot-imports/monday").json()["step"] == "given up"
    assert uploads(server) == []


@pytest.mark.parametrize("path", ["snapshot-imports/-/dump.rdb", "snapshot-imports/a--b/dump.rdb", "snapshot-imports/monday/.hidden"])
def test_names_that_are_none_are_refused(server: Server, http: httpx.Client, path: str) -> None:
    assert error(http.put(f"{server.url}/v1/{path}", content=b"x"))[:2] == (400, "InvalidParameterValue")
    assert uploads(server) == []


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"engine": 7}', b'{"no_such": "member"}'])
def test_what_cannot_be_read_makes_no_snapshot(server: Server, http: httpx.Client, body: bytes) -> None:
    send(http, server, "monday", a_file(b"a"))
    answer = http.post(f"{server.url}/v1/snapshot-imports/monday", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert archived(server) == []


def test_a_file_that_only_an_engine_would_refuse_is_refused_with_nothing_left(server: Server, http: httpx.Client) -> None:
    send(http, server, "monday", rdb(VALKEY_9, select(0, 1), bytes((0xF5,)) + b"\x10#!lua name=broken"))
    status, code, message = error(make(http, server, "monday"))
    assert (status, code) == (400, "InvalidParameterValue")
    assert message.startswith("No snapshot monday was made: ")
    wait_until(lambda: snapshot(http, server, "monday") is None, within=20)
    assert (uploads(server), archived(server)) == ([], [])


def test_a_server_that_is_killed_over_an_import_has_a_whole_snapshot_or_none(server: Server, http: httpx.Client) -> None:
    content = a_file(*(f"key:{number}".encode() for number in range(200_000)), value=b"x" * 200)
    send(http, server, "monday", content)
    with httpx.Client(timeout=0.5, trust_env=False) as impatient, pytest.raises(httpx.TimeoutException):
        make(impatient, server, "monday")
    server.end(signal.SIGKILL)
    server.start()
    assert uploads(server) == []
    found = snapshot(http, server, "monday")
    if found is not None and found["snapshot_status"] == "available":
        assert len(archived(server)) == 2
    else:
        wait_until(lambda: snapshot(http, server, "monday") is None and archived(server) == [], within=30)
        imported(http, server, "monday", content)


# ---- verifications


def verification(http: httpx.Client, server: Server) -> Any:
    return http.get(f"{server.url}/v1/snapshots/monday/verification").json()


def test_a_verification_goes_on_in_the_next_life(server: Server, http: httpx.Client) -> None:
    imported(http, server, "monday", a_file(*(f"key:{number}".encode() for number in range(KEYS * 5)), value=b"x" * 100))
    begun = http.post(f"{server.url}/v1/snapshots/monday/verify", json={}).json()
    assert begun["state"] == "running"
    refused = http.delete(f"{server.url}/v1/snapshots/monday")
    assert error(refused)[:2] == (400, "InvalidSnapshotState")
    wait_until(lambda: verification(http, server)["parts"][0]["state"] == "running", within=30)
    server.end(signal.SIGKILL)
    server.start()
    wait_until(lambda: verification(http, server)["state"] == "passed", within=90)
    seen = verification(http, server)
    assert (seen["asked_at"], seen["parts"][0]["keys"]) == (begun["asked_at"], KEYS * 5)
    assert http.delete(f"{server.url}/v1/snapshots/monday").status_code in (200, 202)
    wait_until(lambda: archived(server) == [], within=20)


def test_a_manifest_that_was_replaced_fails_a_verification(server: Server, http: httpx.Client) -> None:
    imported(http, server, "monday", a_file(b"a"))
    [path] = (server.folder / "snapshots").glob("*/manifest.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content))
    http.post(f"{server.url}/v1/snapshots/monday/verify", json={})
    wait_until(lambda: verification(http, server)["state"] != "running", within=30)
    seen = verification(http, server)
    assert (seen["state"], seen["problem"]) == ("failed", "the manifest of snapshot monday was replaced by another")
