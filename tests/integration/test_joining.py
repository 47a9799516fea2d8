"""Agents of other hosts join the control plane over TLS, all as programs of their own: who gets in, who does not, who stays."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from agents_door import ask
from botocore.exceptions import ClientError
from deployment import ROOT, ZONES, Deployment, Program, endpoint, say
from waiting import wait_until

from agents.credentials import Credentials
from agents.tls import AgentTls
from api_schemas.agent.agent import Orders
from api_schemas.agent.identity import agent_host
from cachewright import client

A, B = ZONES[0], ZONES[1]


class Hosts(Deployment):
    """A control plane, and agents that join it one by one."""

    def join(self, zone: str, *options: str, token: Path | None = None, folder: str | None = None) -> Program:
        """An agent that has not started yet; without a token if there is none."""
        words = ["--zone", zone, "--join", self.agents_url, "--data-dir", str(self.folder / (folder or zone))]
        words += ["--token-file", str(token)] if token else []
        self.agents[folder or zone] = Program("agents", self.folder / (folder or zone), *words, *options)
        return self.agents[folder or zone]

    def lab(self) -> Any:
        return client("lab", endpoint_url=self.url)

    def say(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of ours, which must succeed."""
        command = [sys.executable, "-m", "cachewright", *words, "--url", self.url]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    def token_with(self, text: str, name: str = "given") -> Path:
        file = self.folder / name
        file.write_text(text)
        return file

    def tls_of(self, zone: str) -> AgentTls:
        return AgentTls(Credentials(self.folder / zone))

    def log_of(self, folder: str) -> str:
        return (self.folder / f"{folder}.log").read_text()

    def names(self) -> dict[str, str]:
        return {agent["zone"]: agent["agent"] for agent in self.ask("/v1/agents")["agents"]}


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    made = Hosts(tmp_path)
    try:
        made.start_plane()
        yield made
    finally:
        made.clear()


def refused(program: Program) -> str:
    """What the program said that could not start."""
    with pytest.raises(AssertionError) as why:
        program.start()
    program.join()
    assert "Traceback" not in str(why.value)
    return str(why.value)


def test_a_token_lets_a_host_in_once_and_its_certificate_ever_after(hosts: Hosts) -> None:
    assert hosts.agents_url.startswith("https://")
    token = hosts.token_with(hosts.say("agent", "token", "create").stdout)
    agent = hosts.join(B, token=token)
    assert agent.start().startswith("https://")
    wait_until(lambda: hosts.heard() == {B: True})
    group = hosts.create(nodes=1)
    assert say(endpoint(group), "SET", "color", "green")
    agent.end(signal.SIGKILL)
    newest = json.loads(hosts.say("agent", "token", "list", "--output", "json").stdout)["join_tokens"][0]
    assert "revoked" in hosts.say("agent", "token", "revoke", newest["join_token_id"]).stdout
    wait_until(lambda: not hosts.heard()[B], every=0.1)
    hosts.join(B).start()  # with no token at all
    wait_until(lambda: hosts.heard() == {B: True})
    assert say(endpoint(hosts.available()), "GET", "color") == "green"


def test_secrets_are_in_nobodys_log_nor_answer(hosts: Hosts) -> None:
    hosts.join(B, "--log-level", "debug", token=hosts.token).start()
    wait_until(lambda: hosts.heard() == {B: True})
    secret = hosts.token.read_text().strip().rpartition("-")[2]
    said = [hosts.log_of("plane"), hosts.log_of(B), hosts.plane.line, json.dumps(hosts.ask("/v1/join-tokens")), json.dumps(hosts.ask("/v1/agents"))]
    for text in said:
        assert secret not in text
        assert "PRIVATE KEY" not in text
    assert hosts.token.stat().st_mode & 0o777 == 0o600
    assert (hosts.folder / B / "tls" / "key.pem").stat().st_mode & 0o777 == 0o600


def test_an_agent_without_a_token_or_with_a_bad_one_says_what_to_do(hosts: Hosts) -> None:
    lab = hosts.lab()
    assert "agent token create" in refused(hosts.join(A, folder="none"))
    assert "CWJOIN-1-" in refused(hosts.join(A, token=hosts.token_with("a-token-of-former-times"), folder="former"))
    revoked = lab.create_join_token()
    lab.revoke_join_token(JoinTokenId=revoked["JoinToken"]["JoinTokenId"])
    assert "is revoked" in refused(hosts.join(A, token=hosts.token_with(revoked["Text"]), folder="revoked"))
    expiring = lab.create_join_token(ExpiresInSeconds=1)
    wait_until(lambda: "expired" in [token["Status"] for token in lab.describe_join_tokens()["JoinTokens"]], every=0.05)
    assert "is expired" in refused(hosts.join(A, token=hosts.token_with(expiring["Text"]), folder="expired"))
    assert expiring["Text"] not in hosts.log_of("expired")
    assert hosts.names() == {}


def test_an_unknown_token_cannot_be_revoked_nor_an_unknown_agent_removed(hosts: Hosts) -> None:
    with pytest.raises(ClientError, match="There is no join token x"):
        hosts.lab().revoke_join_token(JoinTokenId="x")
    with pytest.raises(ClientError, match="There is no agent x"):
        hosts.lab().remove_agent(Agent="x")


def test_a_token_is_not_sent_to_another_control_plane(hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "impostor").mkdir()
    impostor = Hosts(tmp_path / "impostor")
    try:
        impostor.start_plane()
        told = refused(hosts.join(B, "--join", impostor.agents_url, token=hosts.token))
        assert "is not the one that the join token" in told
        assert "agent refused" not in impostor.log_of("plane")  # it was asked for its authority, and nothing more
        assert impostor.names() == hosts.names() == {}
    finally:
        impostor.clear()


def test_an_agent_that_has_joined_is_not_moved_to_another_control_plane_by_chance(hosts: Hosts, tmp_path: Path) -> None:
    agent = hosts.join(B, token=hosts.token)
    agent.start()
    agent.end()
    (tmp_path / "second").mkdir()
    second = Hosts(tmp_path / "second")
    try:
        second.start_plane()
        assert "for another control plane" in refused(hosts.join(B, "--join", second.agents_url, token=second.token))
    finally:
        second.clear()


def test_agents_join_at_their_own_door_and_over_tls_only(hosts: Hosts) -> None:
    plain = hosts.agents_url.replace("https://", "http://")
    assert "https://" in refused(hosts.join(B, "--join", plain, token=hosts.token))
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{plain}/v1/authority", trust_env=False)
    assert httpx.post(f"{hosts.url}/v1/agents", json={}, trust_env=False).status_code == 405
    assert httpx.post(f"{hosts.url}/v1/agents/agent-b/reports", json={}, trust_env=False).status_code == 404
    assert httpx.get(f"{hosts.url}/v1/authority", trust_env=False).status_code == 404
    assert "Traceback" not in hosts.log_of("plane")


def test_an_agent_waits_for_a_control_plane_that_is_still_to_start(hosts: Hosts) -> None:
    hosts.plane.end(signal.SIGKILL)
    command = [sys.executable, "-m", "agents", "--zone", B, "--join", hosts.agents_url, "--token-file", str(hosts.token),
               "--data-dir", str(hosts.folder / B)]  # fmt: skip
    with (hosts.folder / f"{B}.log").open("w") as log:
        early = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    wait_until(lambda: "cannot join yet" in hosts.log_of(B), within=20)
    hosts.start_plane()
    wait_until(lambda: hosts.heard() == {B: True}, within=20)
    early.terminate()
    assert early.wait(20) == 0
    assert early.stdout is not None
    assert "is ready at https://" in early.stdout.read()
    early.stdout.close()


def test_an_agent_cannot_say_that_it_is_another_nor_give_orders(hosts: Hosts) -> None:
    urls = {zone: hosts.join(zone, token=hosts.token).start() for zone in (A, B)}
    wait_until(lambda: hosts.heard() == {A: True, B: True})
    names, liar = hosts.names(), hosts.tls_of(A).client
    before = hosts.ask("/v1/agents")
    hello = {"agent": names[A], "zone": A, "host": "x", "runtime": "process", "network": "127.101.9.0/24", "url": "https://127.0.0.1:1"}
    lies = [
        ("/v1/agents", hello | {"agent": names[B]}),
        ("/v1/agents", hello | {"zone": B}),
        (f"/v1/agents/{names[B]}/reports", {"agent": names[A]}),
        (f"/v1/agents/{names[A]}/reports", {"agent": names[B]}),
    ]
    for path, said in lies:
        answer = ask(liar, "POST", hosts.agents_url + path, json=said)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "AccessDenied")
    assert hosts.ask("/v1/agents") == before
    assert f"certificate={names[A]} in {A}" in hosts.log_of("plane")
    for method, path in (("PUT", "/v1/orders"), ("GET", "/v1/reports")):
        answer = ask(liar, method, urls[B] + path, agent_host(names[B]), content=Orders().model_dump_json())
        assert answer.status_code == 403
    assert f"certificate={names[A]} in {A}" in hosts.log_of(B)
    with pytest.raises(httpx.TransportError):
        httpx.put(f"{urls[B].replace('https', 'http')}/v1/orders", content="{}", trust_env=False)


def test_two_agents_cannot_share_a_name(hosts: Hosts) -> None:
    hosts.join(A, "--name", "agent-x", token=hosts.token).start()
    told = refused(hosts.join(B, "--name", "agent-x", token=hosts.token))
    assert "agent-x is already certified to another key" in told
    assert "agent remove agent-x" in told


def test_a_removed_agent_is_refused_until_it_joins_anew(hosts: Hosts) -> None:
    agent = hosts.join(B, token=hosts.token)
    agent.start()
    wait_until(lambda: hosts.heard() == {B: True})
    name = hosts.names()[B]
    hosts.create(nodes=1)
    with pytest.raises(ClientError, match=f"Agent {name} is in use by orders"):
        hosts.lab().remove_agent(Agent=name)
    assert hosts.heard() == {B: True}
    hosts.client().delete_replication_group(ReplicationGroupId="orders")
    wait_until(lambda: not hosts.client().describe_replication_groups()["ReplicationGroups"], within=20)
    assert "is removed" in hosts.say("agent", "remove", name).stdout
    wait_until(lambda: "was removed" in hosts.log_of(B))
    assert hosts.names() == {}
    agent.end()
    agent.start()  # it has its certificate still, and the token does not help it
    wait_until(lambda: hosts.log_of(B).count("was removed") > 1)
    assert hosts.names() == {}
    agent.end()
    shutil.rmtree(hosts.folder / B / "tls")
    agent.start()
    wait_until(lambda: hosts.heard() == {B: True})
    assert hosts.names() == {B: name}


def test_a_control_plane_refuses_a_token_file_of_another(hosts: Hosts, tmp_path: Path) -> None:
    hosts.plane.end()
    shutil.rmtree(tmp_path / "plane")
    (tmp_path / "plane").mkdir()
    program = Program("controlplane", tmp_path / "plane", "--data-dir", str(tmp_path / "plane"), "--port", "0",
                      "--join-token-file", str(hosts.token), "--agents-listen", "127.0.0.1:0")  # fmt: skip
    told = refused(program)
    assert "another control plane" in told
    assert "Delete the file" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--agents-listen", "0.0.0.0:0"], "--agents-url"),
        (["--agents-listen", "nonsense"], "--agents-listen"),
        (["--agents-listen", "127.0.0.1:99999"], "Choose another with --agents-listen"),
        (["--agents-url", "http://cache.example.com"], "--agents-url"),
    ],
)
def test_a_door_that_cannot_open_is_said_with_what_to_do(tmp_path: Path, options: list[str], told: str) -> None:
    program = Program("controlplane", tmp_path / "plane", "--data-dir", str(tmp_path / "plane"), "--port", "0", *options)
    assert told in refused(program)


def test_the_door_may_be_open_to_other_hosts_and_tells_their_url(tmp_path: Path) -> None:
    program = Program("controlplane", tmp_path / "plane", "--data-dir", str(tmp_path / "plane"), "--port", "0",
                      "--agents-listen", "0.0.0.0:0", "--agents-url", "https://cache.example.com:8380")  # fmt: skip
    program.start()
    assert program.agents_url == "https://cache.example.com:8380"
    program.end()


def test_without_a_door_nobody_can_join(tmp_path: Path) -> None:
    program = Program("controlplane", tmp_path / "plane", "--data-dir", str(tmp_path / "plane"), "--port", "0")
    program.start()
    assert "agents: none can join; see --join-token-file" in program.line
    program.end()
