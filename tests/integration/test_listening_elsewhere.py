"""Beyond loopback nobody is served without access keys; and web pages of other hosts only where somebody said so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from network import Network, free_network, may_make_networks

import cachewright
from api_schemas.credentials import Credentials
from cachewright import ServerFailedError, local_server

CACHEWRIGHT = (sys.executable, "-m", "cachewright")
PAGE = "https://console.example.com"


def run(*words: str, prefix: tuple[str, ...] = (), **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([*prefix, *CACHEWRIGHT, *words], env=environment, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def serving(*words: str, prefix: tuple[str, ...] = ()) -> Iterator[str]:
    """Where it answers."""
    with subprocess.Popen([*prefix, *CACHEWRIGHT, "serve", "--zones", "1", *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"ready at (\S+)", process.stdout.readline())
            assert found is not None
            yield found[1]
        finally:
            process.terminate()
            process.wait(60)


@pytest.mark.parametrize("where", [("--host", "0.0.0.0"), ("--host", "::"), ("--host", "192.0.2.1"), ("--authentication", "required")])
def test_without_a_key_it_does_not_start_and_says_how_to_make_one(tmp_path: Path, where: tuple[str, ...]) -> None:
    refused = run("serve", *where, "--port", "0", "--data-dir", str(tmp_path))
    if "cannot listen on" not in refused.stderr:  # no such address, or no IPv6, on this machine
        assert "cachewright access-key create --data-dir" in refused.stderr
        assert "there is no access key that is valid" in refused.stderr
    assert (refused.returncode, refused.stdout, "Traceback" in refused.stderr) == (1, "", False)


def test_there_is_no_way_to_turn_it_off(tmp_path: Path) -> None:
    refused = run("serve", "--host", "0.0.0.0", "--authentication", "off", "--data-dir", str(tmp_path))
    assert (refused.returncode, "'auto' or 'required'" in refused.stderr) == (1, True)


def test_the_control_plane_alone_asks_for_keys_as_well(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "controlplane", "--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path)]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, "no access key that is valid" in refused.stderr) == (1, True)


def test_a_key_made_before_the_first_start_lets_in_from_elsewhere(tmp_path: Path) -> None:
    if not may_make_networks():
        pytest.skip("no permission to make network namespaces")
    data, key = tmp_path / "data", tmp_path / "key"
    made = run("access-key", "create", "--data-dir", str(data), "--name", "me", "--write-to", str(key))
    assert (made.returncode, made.stderr.count(str(key))) == (0, 1), made.stderr
    network, net = Network(), free_network()
    try:
        network.add_this_machine(f"{net}.0.1/24")
        there = network.add("server", f"{net}.0.2/24")
        with serving("--host", there.address, "--port", "8379", "--data-dir", str(data), prefix=there.inside) as url:
            assert url == f"http://{there.address}:8379"
            assert httpx.get(f"{url}/v1/cache-clusters").status_code == 403
            client = cachewright.client(endpoint_url=url, access_key_file=key)
            assert client.describe_cache_clusters()["CacheClusters"] == []
            client.close()
            shown = run("access-key", "list", "--url", url, "--access-key-file", str(key), "--output", "json")
            assert [(each["name"], each["role"]) for each in json.loads(shown.stdout)["access_keys"]] == [("me", "admin")]
    finally:
        network.clear()
    assert json.loads((data / "audit.jsonl").read_text().splitlines()[0])["source"] == f"{net}.0.1"


def test_a_key_is_not_made_behind_the_back_of_a_server_that_runs(tmp_path: Path) -> None:
    with serving("--port", "0", "--data-dir", str(tmp_path)):
        refused = run("access-key", "create", "--data-dir", str(tmp_path))
    assert refused.returncode == 1
    assert "another server" in refused.stderr
    assert "leave --data-dir out" in refused.stderr


def test_the_key_in_the_file_is_the_same_after_a_restart_and_one_of_others_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    for _ in range(2):
        with local_server(access_key_file=file, data_dir=tmp_path / "data", zones=1) as server:
            client = server.client("lab")
            assert len(client.describe_access_keys()["AccessKeys"]) == 1
            client.close()
    with pytest.raises(ServerFailedError, match="is none of this control plane"), local_server(access_key_file=file, zones=1):
        pass
    file.write_text(Credentials(Credentials.parse_file(file.read_text()).id, "x" * 40).file)
    with pytest.raises(ServerFailedError, match="is not that of its access key"), local_server(access_key_file=file, data_dir=tmp_path / "data", zones=1):
        pass


def preflight(url: str, origin: str) -> httpx.Response:
    return httpx.options(f"{url}/v1/zones", headers={"Origin": origin, "Access-Control-Request-Method": "GET",
                                                     "Access-Control-Request-Headers": "authorization,x-region"})  # fmt: skip


def test_pages_of_other_hosts_are_let_in_only_where_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    monkeypatch.setenv("CACHEWRIGHT_CORS_ORIGINS", PAGE)
    with local_server(access_key_file=file, zones=1) as server:
        allowed = preflight(server.url, PAGE)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, PAGE)
        assert "access-control-allow-credentials" not in allowed.headers
        assert preflight(server.url, "https://evil.example").status_code == 403
        asked = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
        assert httpx.get(f"{server.url}/v1/zones", headers=asked).json()["error"]["code"] == "MissingAuthenticationToken"
        token = {"Authorization": f"Bearer {Credentials.parse_file(file.read_text()).token}"}
        answer = httpx.get(f"{server.url}/v1/zones", headers=asked | token)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    monkeypatch.delenv("CACHEWRIGHT_CORS_ORIGINS")
    with local_server(zones=1) as server:
        assert preflight(server.url, PAGE).status_code == 403
        assert "access-control-allow-origin" not in httpx.get(f"{server.url}/v1/zones").headers
        assert preflight(server.url, PAGE).json()["error"]["code"] == "AccessDenied"
        audited = [json.loads(line) for line in (server.data_dir / "audit.jsonl").read_text().splitlines()]
        assert [(entry["who"], entry["result"]) for entry in audited] == [("anonymous on loopback", "AccessDenied")] * 2


@pytest.mark.parametrize("audit", ["off", "{}/elsewhere.jsonl"])
def test_the_audit_is_where_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audit: str) -> None:
    monkeypatch.setenv("CACHEWRIGHT_AUDIT_LOG", audit.format(tmp_path))
    with local_server(zones=1) as server:
        made = httpx.post(f"{server.url}/v1/join-tokens", json={})
        assert made.status_code == 200
        assert not (server.data_dir / "audit.jsonl").exists()
    if audit != "off":
        entry = json.loads((tmp_path / "elsewhere.jsonl").read_text())
        assert (entry["who"], entry["operation"], entry["request_id"]) == (
            "anonymous on loopback", "CreateJoinToken", made.headers["x-amzn-requestid"]
        )  # fmt: skip
        assert made.json()["text"] not in (tmp_path / "elsewhere.jsonl").read_text()
