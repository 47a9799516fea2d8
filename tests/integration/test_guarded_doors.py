"""A server that asks for access keys: who has one gets what its role allows, by unmodified clients, and nobody else gets anything."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signing import presigned, signed
from waiting import let_pass

import cachewright
from api_schemas.credentials import Credentials
from cachewright import LocalServer, local_server
from controlplane.api.failures import MOST
from controlplane.api.signature import Arrived
from controlplane.domain.access_key import Role
from controlplane.operations import keepers
from controlplane.operations.performs import kept_promises
from controlplane.operations.roles import may

A, B = "000000000000", "111111111111"
_addresses = itertools.count(1)


@dataclass(frozen=True)
class Guarded:
    """A guarded server with a key of every role, and of another account."""

    server: LocalServer
    admin: Credentials
    operator: Credentials
    read_only: Credentials
    other: Credentials

    @property
    def host(self) -> str:
        return self.server.url.removeprefix("http://")

    def of(self, role: Role) -> Credentials:
        return {Role.ADMIN: self.admin, Role.OPERATOR: self.operator, Role.READ_ONLY: self.read_only}[role]

    def client(self, key: Credentials, **options: Any) -> Any:
        """boto3 as it is."""
        return boto3.client("elasticache", endpoint_url=self.server.url, region_name="us-east-1", aws_access_key_id=key.id,
                            aws_secret_access_key=key.secret, config=Config(retries={"total_max_attempts": 1}), **options)  # fmt: skip

    def rest(self, key: Credentials | None = None, **headers: str) -> httpx.Client:
        """A client at an address of its own, so that no test uses up another's failures."""
        number = next(_addresses)
        bearer = {"Authorization": f"Bearer {key.token}"} if key else {}
        transport = httpx.HTTPTransport(local_address=f"127.9.{number // 250}.{number % 250 + 1}")
        return httpx.Client(base_url=self.server.url, headers={**bearer, **headers}, transport=transport, timeout=30)

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.server.data_dir / "audit.jsonl").read_text().splitlines()]

    def send(self, arrived: Arrived) -> httpx.Response:
        """The request, byte by byte as it was signed."""
        query = f"?{arrived.query}" if arrived.query else ""
        with self.rest() as client:
            return client.request(arrived.method, f"{arrived.raw_path}{query}", headers=arrived.headers, content=arrived.body)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("keys") / "admin"
    with local_server(access_key_file=file, zones=1) as server:
        admin = Credentials.parse_file(file.read_text())
        lab = server.client("lab")

        def make(role: str, name: str, account: str = A) -> Credentials:
            made = lab.create_access_key(Role=role, Name=name, AccountId=account)
            return Credentials(made["AccessKey"]["AccessKeyId"], made["SecretAccessKey"])

        keys = make("operator", "ops"), make("read-only", "watch"), make("operator", "theirs", B)
        lab.close()
        yield Guarded(server, admin, *keys)


def code_of(answer: httpx.Response) -> str:
    """The code of a refusal, in the form of either door."""
    if answer.headers["content-type"].startswith("application/json"):
        return str(answer.json()["error"]["code"])
    return next(found.text or "" for found in ElementTree.fromstring(answer.text).iter() if found.tag.endswith("Code"))


def now(**ago: float) -> datetime:
    return datetime.now(UTC) - timedelta(**ago)


# --- Unmodified clients ---


def test_boto3_does_the_main_job_with_a_key(guarded: Guarded) -> None:
    client = guarded.client(guarded.operator)
    client.create_replication_group(ReplicationGroupId="orders", ReplicationGroupDescription="d", NumCacheClusters=1, Engine="valkey")
    client.get_waiter("replication_group_available").wait(ReplicationGroupId="orders", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert [group["ReplicationGroupId"] for group in client.describe_replication_groups()["ReplicationGroups"]] == ["orders"]
    with guarded.rest(guarded.other) as theirs, guarded.rest(guarded.read_only) as ours:
        assert ours.get("/v1/replication-groups").json()["replication_groups"]
        assert not theirs.get("/v1/replication-groups").json()["replication_groups"]
        assert 'replication_group_id="orders"' in ours.get("/metrics").text
        assert "orders" not in theirs.get("/metrics").text
    assert guarded.client(guarded.other).describe_replication_groups()["ReplicationGroups"] == []
    client.delete_replication_group(ReplicationGroupId="orders")
    client.close()


def test_the_aws_command_line_does_with_the_file_that_the_server_wrote(guarded: Guarded) -> None:
    program = Path(sys.executable).with_name("aws")
    if not program.exists():
        pytest.skip("the aws command line is not installed: pip install awscli")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    keys = {"AWS_SHARED_CREDENTIALS_FILE": str(guarded.server.access_key_file), "AWS_CONFIG_FILE": os.devnull}
    command = [str(program), "--endpoint-url", guarded.server.url, "--region", "us-east-1", "elasticache", "describe-cache-engine-versions"]
    done = subprocess.run(command, env={**kept, **keys, "AWS_EC2_METADATA_DISABLED": "true"}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["CacheEngineVersions"]


@pytest.mark.parametrize("path", ["/", "/v1/events?duration=60", "/v1/cache-clusters"])
def test_curl_signs_for_both_doors(guarded: Guarded, path: str) -> None:
    curl = shutil.which("curl")
    if curl is None or "--aws-sigv4" not in subprocess.run([curl, "--help", "all"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("curl is not installed, or cannot sign")
    form = ["--data", "Action=DescribeEvents&Version=2015-02-02"] if path == "/" else []
    for secret, expected in ((guarded.read_only.secret, "200"), ("x" * 40, "403")):
        command = [curl, "--silent", "--output", os.devnull, "--write-out", "%{http_code}", "--aws-sigv4", "aws:amz:us-east-1:elasticache",
                   "--user", f"{guarded.read_only.id}:{secret}", *form, f"{guarded.server.url}{path}"]  # fmt: skip
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == expected


def test_our_own_clients_take_the_key_from_a_file_or_from_variables(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = guarded.server.client("lab")
    assert {key["Name"] for key in lab.describe_access_keys()["AccessKeys"]} >= {"first", "ops", "watch", "theirs"}
    lab.close()
    for prefix in ("AWS", "CACHEWRIGHT"):
        with monkeypatch.context() as variables:
            variables.setenv(f"{prefix}_ACCESS_KEY_ID", guarded.operator.id)
            variables.setenv(f"{prefix}_SECRET_ACCESS_KEY", guarded.operator.secret)
            client = cachewright.client("elasticache", endpoint_url=guarded.server.url)
            assert client.describe_cache_clusters()["CacheClusters"] == []
            client.close()


def command(guarded: Guarded, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CACHEWRIGHT_"))}
    environment = {**kept, "CACHEWRIGHT_URL": guarded.server.url, **variables}
    return subprocess.run([sys.executable, "-m", "cachewright", *words], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_line_makes_shows_and_revokes_keys(guarded: Guarded, tmp_path: Path) -> None:
    admin = {"CACHEWRIGHT_ACCESS_KEY_FILE": str(guarded.server.access_key_file)}
    made = command(guarded, "access-key", "create", "--role", "read-only", "--name", "dash", "--expires", "1h", "--write-to", str(tmp_path / "key"), **admin)
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    key = Credentials.parse_file((tmp_path / "key").read_text())
    assert key.secret not in made.stdout + made.stderr
    listed = command(guarded, "access-key", "list", "--access-key-file", str(guarded.server.access_key_file))
    assert re.search(rf"{key.id} +dash +read-only +{A} +valid", listed.stdout)
    assert key.secret not in listed.stdout
    as_reader = {"CACHEWRIGHT_ACCESS_KEY_ID": key.id, "CACHEWRIGHT_SECRET_ACCESS_KEY": key.secret}
    assert command(guarded, "zones", **as_reader).returncode == 0
    assert "is not authorized to perform: elasticache:DescribeAccessKeys" in command(guarded, "access-key", "list", **as_reader).stderr
    assert command(guarded, "access-key", "revoke", key.id, **admin).returncode == 0
    assert "InvalidClientTokenId" in command(guarded, "zones", **as_reader).stderr
    again = command(guarded, "access-key", "create", "--role", "admin", "--write-to", str(tmp_path / "key"), **admin)
    assert (again.returncode, "no key was made" in again.stderr) == (1, True)


def test_a_developers_own_keys_of_the_cloud_are_sent_to_nobody(guarded: Guarded) -> None:
    refused = command(guarded, "zones", AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY="wJalrXUtnFEMI")
    assert "MissingAuthenticationToken" in refused.stderr


# --- Who has no key ---

EVERYWHERE = [
    ("GET", "/v1/replication-groups"), ("POST", "/v1/replication-groups"), ("DELETE", "/v1/replication-groups/x"), ("GET", "/openapi.json"),
    ("GET", "/docs"), ("GET", "/metrics"), ("GET", "/v1/metrics"), ("GET", "/v1/events/stream"), ("GET", "/v1/snapshots/x/files/y"),
    ("PUT", "/v1/snapshot-imports/x/y"), ("POST", "/v1/snapshot-imports/x"), ("POST", "/v1/access-keys"), ("GET", "/v1/access-keys"),
    ("GET", "/nowhere"), ("PUT", "/"), ("DELETE", "/"), ("OPTIONS", "/v1/nodes"), ("PATCH", "/v1//nodes"), ("GET", "/healthz/x"), ("GET", "//"),
]  # fmt: skip


def test_without_a_key_there_is_nothing_but_health(guarded: Guarded) -> None:
    with guarded.rest() as nobody:
        assert nobody.get("/healthz").status_code == 200
        for method, path in EVERYWHERE:
            answer = nobody.request(method, f"{guarded.server.url}{path}")
            assert (answer.status_code, code_of(answer)) == (403, "MissingAuthenticationToken"), (method, path)
        for answer in (nobody.post("/", data={"Action": "DescribeEvents"}), nobody.get("/?Action=DeleteUser"), nobody.get("/"), nobody.post("/")):
            assert (answer.status_code, code_of(answer)) == (403, "MissingAuthenticationToken")
    client = cachewright.client(endpoint_url=guarded.server.url, account_id=A)
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client.describe_events()
    client.close()


def test_an_unknown_key_and_a_wrong_secret_are_told_apart_as_in_the_service(guarded: Guarded) -> None:
    unknown, wrong = Credentials("CWAK" + "Q" * 16, "q" * 40), Credentials(guarded.admin.id, "q" * 40)
    for key, expected in ((unknown, "InvalidClientTokenId"), (wrong, "SignatureDoesNotMatch")):
        client = guarded.client(key)
        with pytest.raises(ClientError) as refused:
            client.describe_events()
        assert refused.value.response["Error"]["Code"] == expected
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
        client.close()
        with guarded.rest(key) as bearer:
            answer = bearer.get("/v1/events")
            assert (answer.status_code, code_of(answer)) == (403, expected)


def test_a_signature_for_another_service_or_time_or_with_a_session_is_refused(guarded: Guarded) -> None:
    key = {"key": guarded.admin.id, "secret": guarded.admin.secret, "host": guarded.host}
    for arrived, expected in (
        (signed(at=now(), **key), None),
        (signed(at=now(), service="s3", **key), "SignatureDoesNotMatch"),
        (signed(at=now(minutes=16), **key), "SignatureDoesNotMatch"),
        (signed(at=now(minutes=-16), **key), "SignatureDoesNotMatch"),
        (signed(at=now(), headers={"X-Amz-Security-Token": "t"}, **key), "InvalidClientTokenId"),
        (presigned(at=now(), **key), None),
        (presigned(at=now(minutes=2), expires=60, **key), "RequestExpired"),
    ):  # fmt: skip
        answer = guarded.send(arrived)
        assert (answer.status_code == 200) is (expected is None), answer.text
        assert expected is None or code_of(answer) == expected


def test_a_tampered_request_is_refused_at_either_door(guarded: Guarded) -> None:
    key = {"key": guarded.admin.id, "secret": guarded.admin.secret, "host": guarded.host, "at": now()}
    whole, url, rest = signed(**key), presigned(**key), signed(b"", method="GET", path="/v1/events?duration=60", **key)
    assert [guarded.send(each).status_code for each in (whole, url, rest)] == [200, 200, 200]
    for tampered in (
        replace(whole, body=b"Action=DescribeUsers&Version=2015-02-02"),
        replace(whole, query="Action=DescribeUsers"),
        replace(whole, headers=[*whole.headers, ("x-amz-target", "x")]),
        replace(url, query=url.query.replace("DescribeEvents", "DescribeUsers")),
        replace(rest, query="duration=61"),
        replace(rest, raw_path="/v1/zones"),
        replace(rest, method="DELETE"),
        replace(rest, body=b"{}"),
    ):  # fmt: skip
        answer = guarded.send(tampered)
        assert (answer.status_code, code_of(answer)) == (403, "SignatureDoesNotMatch"), tampered


def test_a_request_is_carried_out_once_but_for_a_retry_at_once(guarded: Guarded) -> None:
    body = b"Action=CreateCacheParameterGroup&Version=2015-02-02&CacheParameterGroupFamily=valkey8&CacheParameterGroupName=again&Description=d"
    key = {"key": guarded.operator.id, "secret": guarded.operator.secret, "host": guarded.host, "at": now()}
    captured, read = signed(body, **key), signed(**key)
    rest = signed(b"", method="DELETE", path="/v1/parameter-groups/again", **key)
    assert guarded.send(captured).status_code == 200
    assert code_of(guarded.send(captured)) == "CacheParameterGroupAlreadyExists"  # as a retry whose answer was lost
    assert guarded.send(rest).status_code < 300
    assert guarded.send(read).status_code == 200
    let_pass(5.2)
    for replayed in (captured, rest):
        answer = guarded.send(replayed)
        assert (answer.status_code, code_of(answer)) == (403, "AccessDenied")
        assert "has been carried out before" in answer.text
    assert guarded.send(read).status_code == 200


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(header=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200), start=st.sampled_from(["", "Bearer ", "AWS4-HMAC-SHA256 Credential="]))
def test_a_mangled_authorization_is_refused_and_never_fails(guarded: Guarded, header: str, start: str) -> None:
    with guarded.rest(None, Authorization=(start + header).strip()) as client:
        for answer in (client.get("/v1/events"), client.post("/", data={"Action": "DescribeEvents"})):
            assert 400 <= answer.status_code < 500
            assert code_of(answer) in ("IncompleteSignature", "MissingAuthenticationToken", "InvalidClientTokenId")


# --- Roles ---


@pytest.mark.parametrize("role", list(Role))
def test_the_query_door_allows_each_role_its_own(guarded: Guarded, role: Role) -> None:
    keepers.load()
    key = guarded.of(role)
    for name, promise in kept_promises().items():
        if promise.ours:
            continue
        body = f"Action={name}&Version=2015-02-02&Nothing={uuid.uuid4()}".encode()
        answer = guarded.send(signed(body, at=now(), key=key.id, secret=key.secret, host=guarded.host))
        denied = answer.status_code == 403 and code_of(answer) == "AccessDenied"
        assert denied is not may(role, name), (name, answer.text)
        if denied:
            assert f"is not authorized to perform: elasticache:{name}" in answer.text


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.READ_ONLY])
def test_rest_allows_each_role_its_own(guarded: Guarded, role: Role) -> None:
    keepers.load()
    with guarded.rest(guarded.of(role)) as client:
        for name, promise in kept_promises().items():
            path = re.sub(r"{\w+}", "nothing", promise.path)
            answer = client.request(promise.method, f"/v1{path}", **({} if promise.method in ("GET", "DELETE") else {"json": {}}))
            if may(role, name):
                assert answer.status_code != 403, (name, answer.text)
            else:
                assert answer.status_code in (400, 403), (name, answer.text)
                assert answer.status_code == 403 or code_of(answer) in ("MissingParameter", "InvalidParameterValue"), (name, answer.text)
        files = client.get("/v1/snapshots/nothing/files/manifest.json"), client.put("/v1/snapshot-imports/nothing/x.rdb", content=b"x")
        assert [answer.status_code == 403 for answer in files] == [role is Role.READ_ONLY] * 2
        for page in ("/openapi.json", "/docs", "/metrics"):
            assert client.get(page).status_code == 200


def test_a_key_has_one_account(guarded: Guarded) -> None:
    for key in (guarded.operator, guarded.admin):
        with guarded.rest(key, **{"X-Account-Id": B}) as client:
            answer = client.get("/v1/cache-clusters")
            assert (answer.status_code, code_of(answer)) == (403, "AccessDenied")
            assert "an access key has one account" in answer.text
    with guarded.rest(guarded.operator, **{"X-Account-Id": A, "X-Region": "eu-west-1"}) as client:
        assert client.get("/v1/cache-clusters").status_code == 200
    lab = guarded.server.client("lab", region_name="eu-west-1")
    assert lab.describe_nodes()["Nodes"] == []
    lab.close()


def test_events_are_streamed_to_who_has_a_key(guarded: Guarded) -> None:
    with guarded.rest(guarded.read_only) as client, client.stream("GET", "/v1/events/stream") as stream:
        assert stream.status_code == 200
        assert next(stream.iter_lines()) == ": following"


# --- Limits ---


def test_who_fails_too_often_waits_and_others_do_not(guarded: Guarded) -> None:
    with guarded.rest() as hasty, guarded.rest(guarded.read_only) as other:
        for _ in range(MOST):
            assert hasty.get("/v1/events").status_code == 403
        answer = hasty.get("/v1/events", headers={"Authorization": f"Bearer {guarded.admin.token}"})
        assert (answer.status_code, code_of(answer), answer.headers["retry-after"]) == (429, "Throttling", "60")
        asked = hasty.post("/", data={"Action": "DescribeEvents"})
        assert (asked.status_code, code_of(asked)) == (400, "Throttling")
        assert other.get("/v1/events").status_code == 200


@pytest.mark.parametrize(
    "head", [b"GET /" + b"a" * 70_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101]
)
def test_a_request_whose_head_has_no_end_is_cut_off(guarded: Guarded, head: bytes) -> None:
    host, _, port = guarded.host.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        answer = b""
        try:
            connection.sendall(head)
            while b"400 Bad Request" not in answer:
                connection.sendall(b"b" * 1000)
                connection.settimeout(0.05)
                try:
                    answer += connection.recv(1000)
                except TimeoutError:
                    continue
        except (BrokenPipeError, ConnectionResetError):
            answer += b"400 Bad Request"  # cut off while we still sent
    assert b"400 Bad Request" in answer
    with guarded.rest() as client:
        assert client.get("/healthz").status_code == 200


def test_a_connection_lasts_for_any_number_of_requests(guarded: Guarded) -> None:
    with guarded.rest(None, Padding="x" * 20_000) as client:
        assert [client.get("/healthz").status_code for _ in range(20)] == [200] * 20
        padded = client.build_request("GET", "/healthz")
    host, _, port = guarded.host.rpartition(":")
    one = b"GET /healthz HTTP/1.1\r\nHost: x\r\nPadding: " + padded.headers["padding"].encode() + b"\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as pipelining:
        pipelining.sendall(one * 10)
        answers = b""
        while answers.count(b"200 OK") < 10:
            answers += pipelining.recv(65536)


# --- What is written down, and what is not ---


def test_the_audit_tells_who_did_and_who_was_refused_what(guarded: Guarded) -> None:
    name = f"audited-{uuid.uuid4().hex[:8]}"
    client = guarded.client(guarded.operator)
    made = client.create_cache_parameter_group(CacheParameterGroupName=name, CacheParameterGroupFamily="valkey8", Description="mysterious")
    client.describe_cache_parameter_groups()
    with pytest.raises(ClientError, match="CacheClusterNotFound"):
        client.describe_cache_clusters(CacheClusterId="nowhere")
    client.close()
    with guarded.rest(guarded.read_only) as watch, guarded.rest(Credentials(guarded.admin.id, "q" * 40)) as thief:
        watch.delete(f"/v1/parameter-groups/{name}")
        thief.get("/v1/events")
    done, refused, unknown = guarded.audit()[-3:]
    assert done | {"time": "", "milliseconds": 0} == {
        "time": "", "milliseconds": 0, "request_id": made["ResponseMetadata"]["RequestId"], "source": "127.0.0.1", "result": "ok",
        "who": {"access_key_id": guarded.operator.id, "name": "ops", "account_id": A, "role": "operator"},
        "operation": "CreateCacheParameterGroup", "resource": name,
        "parameters": ["cache_parameter_group_family", "cache_parameter_group_name", "description"],
    }  # fmt: skip
    assert (refused["who"]["name"], refused["operation"], refused["result"]) == ("watch", "DeleteCacheParameterGroup", "AccessDenied")
    assert (unknown["who"], unknown["operation"], unknown["result"]) == ({"claims": guarded.admin.id}, "GET /v1/events", "SignatureDoesNotMatch")
    assert unknown["source"].startswith("127.9.")
    assert "mysterious" not in (guarded.server.data_dir / "audit.jsonl").read_text()


def test_secrets_are_nowhere_but_with_their_bearers(tmp_path: Path) -> None:
    """The log at its most talkative, the audit, the database, lists of processes."""
    data, log = tmp_path / "data", tmp_path / "log"
    serve = [sys.executable, "-m", "cachewright", "serve", "--data-dir", str(data), "--port", "0", "--zones", "1", "--log-level", "debug",
             "--authentication", "required", "--access-key-file", str(tmp_path / "key")]  # fmt: skip
    token = "auth-token-of-16-letters"
    with log.open("w") as writing, subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=writing, text=True) as process:
        try:
            assert process.stdout is not None
            url = (re.search(r"ready at (\S+)", process.stdout.readline()) or [""])[1]
            key = Credentials.parse_file((tmp_path / "key").read_text())
            client = cachewright.client(endpoint_url=url, access_key_file=tmp_path / "key")
            with pytest.raises(ClientError):
                client.create_replication_group(ReplicationGroupId="x", ReplicationGroupDescription="d", AuthToken=token, NumCacheClusters=1)
            client.close()
            with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key.token}"}) as rest:
                made = rest.post("/v1/access-keys", json={"role": "admin"}).json()["secret_access_key"]
                answers = [rest.get("/v1/access-keys").text, rest.get("/openapi.json").text]
                answers += [rest.post("/v1/access-keys", json={"role": made}).text[:0], rest.post("/v1/replication-groups", json={"auth_token": [token]}).text]
            running = [found.read_bytes() for found in Path("/proc").glob("[0-9]*/cmdline") if found.exists()]
        finally:
            process.terminate()
            process.wait(60)
    files = {path: path.read_bytes() for path in [log, *data.rglob("*")] if path.is_file()}
    for secret in (key.secret, made, token):
        assert [path for path, content in files.items() if secret.encode() in content] == []
        assert not any(secret in answer for answer in answers)
        assert not any(secret.encode() in line for line in running)
    private = [tmp_path / "key", data / "secrets.key", data / "audit.jsonl"]
    assert [path.stat().st_mode & 0o777 for path in private] == [0o600] * 3
