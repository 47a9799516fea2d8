"""The pytest fixtures, in a test run of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = '''
import pytest

seen = []
accounts = []

def test_a_group_is_ready_to_use(replication_group):
    client = replication_group.client(decode_responses=True)
    client.set("colour", "blue")
    assert client.get("colour") == "blue"
    assert replication_group.primary != replication_group.reader
    assert client.wait(2, 1000) == 2
    assert replication_group.reader_client().get("colour") == b"blue"
    seen.append(client.info("server")["run_id"])

def test_the_next_test_has_another(replication_group):
    assert replication_group.client().dbsize() == 0
    assert replication_group.client().info("server")["run_id"] not in seen

@pytest.mark.cachewright(engine="redis", replicas=1)
def test_a_mark_says_which(replication_group, elasticache):
    [group] = elasticache.describe_replication_groups()["ReplicationGroups"]
    assert group["ReplicationGroupId"] == replication_group.id
    assert group["Engine"] == "redis"
    assert len(replication_group.members) == 2

@pytest.mark.cachewright(replicas=0)
class TestAlone:
    def test_a_class_may_have_the_mark(self, replication_group):
        assert len(replication_group.members) == 1

    @pytest.mark.cachewright(replicas=1)
    def test_the_nearest_mark_counts(self, replication_group):
        assert len(replication_group.members) == 2

def test_a_test_may_delete_its_group(replication_group, elasticache):
    elasticache.delete_replication_group(ReplicationGroupId=replication_group.id)
    elasticache.get_waiter("replication_group_deleted").wait(ReplicationGroupId=replication_group.id)

def test_the_laboratory_is_in_the_same_account(replication_group, lab, cachewright_account):
    primary, *_ = replication_group.members
    fault = lab.create_fault(Kind="node-slow", CacheClusterId=primary, DurationSeconds=600)["Fault"]
    assert fault["Nodes"] == [primary]
    accounts.append(cachewright_account)

def test_its_faults_end_with_their_test(cachewright_server):
    [fault] = cachewright_server.client("lab", account_id=accounts[0]).describe_faults()["Faults"]
    assert fault["Status"] == "ended"

def test_accounts_are_apart(elasticache, cachewright_server):
    assert elasticache.describe_cache_clusters()["CacheClusters"] == []
    assert elasticache.meta.endpoint_url == cachewright_server.url
'''


def pytest_in(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "--strict-markers", "-q", *words]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True, timeout=120)


def test_the_fixtures_give_real_caches(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(TESTS)
    done = pytest_in(tmp_path)
    assert "9 passed" in done.stdout, done.stdout


def test_the_configuration_says_what_is_usual(tmp_path: Path) -> None:
    settings = ("[pytest]", "cachewright_engine = redis", "cachewright_replicas = 0", "cachewright_zones = 1")
    (tmp_path / "pytest.ini").write_text("\n".join(settings))
    (tmp_path / "test_shop.py").write_text(
        "def test_it(replication_group, elasticache, cachewright_server):\n"
        "    [group] = elasticache.describe_replication_groups()['ReplicationGroups']\n"
        "    assert (group['Engine'], len(replication_group.members)) == ('redis', 1)\n"
        "    assert len(cachewright_server.client('lab').describe_zones()['Zones']) == 1\n"
    )
    done = pytest_in(tmp_path)
    assert "1 passed" in done.stdout, done.stdout


def test_a_wrong_mark_is_said(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(
        "import pytest\n\n@pytest.mark.cachewright(replica=1)\ndef test_it(replication_group):\n    assert False\n"
    )
    done = pytest_in(tmp_path)
    assert done.returncode == 1
    assert "takes engine, engine_version, replicas, node_type, automatic_failover by name" in done.stdout


def test_the_plugin_costs_nothing_to_those_who_do_not_use_it(tmp_path: Path) -> None:
    (tmp_path / "test_light.py").write_text(
        "import sys\n\ndef test_nothing_heavy_is_loaded():\n"
        "    heavy = {'boto3', 'botocore', 'httpx', 'redis', 'rich', 'typer', 'pydantic', 'controlplane', 'agents'}\n"
        "    assert 'cachewright.pytest_plugin' in sys.modules\n"
        "    assert not heavy & set(sys.modules)\n"
    )
    plugins = ("schemathesis", "hypothesispytest", "xdist", "xdist.looponfail", "anyio", "pytest_cov")
    done = pytest_in(tmp_path, *(word for name in plugins for word in ("-p", f"no:{name}")))
    assert "1 passed" in done.stdout, done.stdout
