"""``cachewright snapshot`` as people and scripts run it: every command against a real server, whose engines hold real data."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from caches import connected, describe_cache_cluster, new_account, new_name, remove_everything
from datasets import contents, fill
from groups import Group
from rdb_maker import aux, rdb, select, string
from waiting import wait_until

from cachewright import LocalServer
from cachewright.cli.command import INTERRUPTED

Run = Callable[..., "subprocess.CompletedProcess[str]"]
KEYS = 3000
PATIENCE = 120


@pytest.fixture(scope="module")
def account() -> str:
    return new_account()


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Iterator[Any]:
    client = server.client(account_id=account)
    yield client
    remove_everything(client)
    for snapshot in client.describe_snapshots()["Snapshots"]:
        client.delete_snapshot(SnapshotName=snapshot["SnapshotName"])
    wait_until(lambda: client.describe_snapshots()["Snapshots"] == [], within=30)


@pytest.fixture(scope="module")
def run(server: LocalServer, account: str) -> Run:
    """Runs ``cachewright snapshot`` with these words, in the account of these tests."""
    plain = {name: value for name, value in os.environ.items() if name not in ("FORCE_COLOR", "CLICOLOR_FORCE")}
    env = {**plain, "CACHEWRIGHT_URL": server.url, "CACHEWRIGHT_ACCOUNT_ID": account, "COLUMNS": "120"}

    def run(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cachewright", "snapshot", *words]
        done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == status, done.stderr or done.stdout
        return done

    return run


@pytest.fixture(scope="module")
def shop(server: LocalServer, elasticache: Any, account: str) -> Group:
    """Two shards with keys of every type, some of which expire."""
    name = new_name("g")
    elasticache.create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="shop", Engine="valkey", NumNodeGroups=2, ReplicasPerNodeGroup=0
    )
    elasticache.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    group = Group(elasticache, server.url, account, name)
    with group.connect() as client:
        fill(client, KEYS, int(time.time() + 3600) * 1000)
    return group


@pytest.fixture(scope="module")
def taken(run: Run, shop: Group) -> str:
    """A snapshot of it."""
    name = new_name("snap")
    run("create", shop.name, name)
    return name


@pytest.fixture(scope="module")
def exported(run: Run, taken: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "shop"
    run("export", taken, str(folder))
    return folder


def answer(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---- taken and shown


def test_a_snapshot_is_taken_shown_and_deleted(run: Run, shop: Group) -> None:
    made = run("create", shop.name, "--tag", "team=web")
    [named] = [line.split()[1] for line in made.stdout.splitlines() if line.startswith("snapshot ")]
    assert named.startswith(f"{shop.name}-20"), "a name was made up, with the time in it"
    assert f"{named} is available after" in made.stderr

    [listed] = [line.split() for line in run("list").stdout.splitlines() if line.startswith(named)]
    assert listed[1:3] == [shop.name, "valkey"]
    assert listed[-1] == "available"
    assert named in run("list", shop.name).stdout
    assert run("list", "nobody").stderr.startswith("There are no snapshots.")

    seen = answer(run("describe", named, "--output", "json"))
    assert (seen["progress"]["phase"], seen["progress"]["percent"], seen["progress"]["keys"]) == ("done", 100, KEYS)
    parts = seen["progress"]["parts"]
    assert [part["slots"] for part in parts] == ["0-8191", "8192-16383"]
    assert sum(part["file"]["size"] for part in parts) == seen["progress"]["bytes"]
    shown = run("describe", named).stdout
    for part in parts:
        assert part["file"]["sha256"] in shown

    assert answer(run("delete", named, "--yes", "--output", "json"))["snapshot"]["snapshot_status"] == "deleted"
    assert run("describe", named, status=1).stderr == f"SnapshotNotFoundFault: Snapshot {named} not found.\n"


def test_a_copy_has_files_of_its_own(run: Run, taken: str) -> None:
    copy = answer(run("copy", taken, new_name("copy"), "--output", "json"))
    original = answer(run("describe", taken, "--output", "json"))
    assert copy["progress"]["keys"] == KEYS
    sums = [[part["file"]["sha256"] for part in each["progress"]["parts"]] for each in (copy, original)]
    assert sums[0] == sums[1]
    run("delete", copy["snapshot"]["snapshot_name"], "--yes")


def test_who_is_not_there_cannot_be_asked_whether_it_shall_go(run: Run, taken: str) -> None:
    assert "say --yes" in run("delete", taken, status=2).stderr
    assert answer(run("describe", taken, "--output", "json"))["snapshot"]["snapshot_status"] == "available"


# ---- restored


@pytest.mark.parametrize("asked", [[], ["--shards", "3", "--replicas", "1", "--node-type", "cache.t4g.medium"]], ids=["as it was", "otherwise"])
def test_a_restored_group_has_the_same_data(
    run: Run, shop: Group, taken: str, server: LocalServer, elasticache: Any, account: str, asked: list[str]
) -> None:
    name = new_name("again")
    done = run("restore", taken, name, *asked)
    assert f"{name} is available after" in done.stderr
    group = Group(elasticache, server.url, account, name)
    assert len(group.seen()["NodeGroups"]) == (3 if asked else 2)
    assert contents(group) == contents(shop)
    elasticache.delete_replication_group(ReplicationGroupId=name)


def test_a_cache_alone_becomes_a_cache_again(run: Run, elasticache: Any) -> None:
    name, snapshot, again, group = (new_name("c") for _ in range(4))
    elasticache.create_cache_cluster(CacheClusterId=name, Engine="redis")
    elasticache.get_waiter("cache_cluster_available").wait(CacheClusterId=name)
    with connected(describe_cache_cluster(elasticache, name)["CacheNodes"][0]["Endpoint"]) as client:
        client.set("colour", "blue")
    run("create", name, snapshot)
    run("restore", snapshot, again)
    with connected(describe_cache_cluster(elasticache, again)["CacheNodes"][0]["Endpoint"]) as client:
        assert client.get("colour") == "blue"
    run("restore", snapshot, group, "--engine", "valkey", "--replicas", "1")
    assert len(elasticache.describe_replication_groups(ReplicationGroupId=group)["ReplicationGroups"][0]["MemberClusters"]) == 2
    assert "has no shards" in run("restore", snapshot, "x", "--kind", "cache", "--shards", "2", status=2).stderr


# ---- out and in


def test_an_exported_folder_holds_exactly_what_the_record_names(run: Run, taken: str, exported: Path) -> None:
    progress = answer(run("describe", taken, "--output", "json"))["progress"]
    named = {part["file"]["name"]: part["file"]["sha256"] for part in progress["parts"]} | {"manifest.json": progress["manifest"]}
    assert {path.name: sha256(path) for path in exported.iterdir()} == named
    assert list(exported.parent.iterdir()) == [exported], "what was aside is gone"


def test_nothing_is_exported_over_what_is_there(run: Run, taken: str, exported: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in exported.iterdir()}
    refusal = run("export", taken, str(exported), status=1).stderr
    assert refusal == f"{exported} is there already and not an empty folder; name another.\n"
    assert {path: path.stat().st_mtime_ns for path in exported.iterdir()} == before
    assert "a folder, or --bucket" in run("export", taken, status=2).stderr


def test_an_export_goes_to_a_bucket(run: Run, taken: str, server: LocalServer) -> None:
    bucket = new_name("bucket")
    (server.data_dir / "buckets" / bucket).mkdir(parents=True)
    done = run("export", taken, "--bucket", bucket, "--as", "weekly")
    assert done.stdout.splitlines() == [f"s3://{bucket}/weekly-0001.rdb", f"s3://{bucket}/weekly-0002.rdb"]
    assert sorted(path.name for path in (server.data_dir / "buckets" / bucket).iterdir()) == ["weekly-0001.rdb", "weekly-0002.rdb"]
    missing = run("export", taken, "--bucket", "no-such-bucket", status=1).stderr
    assert missing == "InvalidParameterValue: The S3 bucket no-such-bucket does not exist.\n"


def test_what_was_exported_comes_in_again_and_is_restored(
    run: Run, shop: Group, exported: Path, server: LocalServer, elasticache: Any, account: str
) -> None:
    name, again = new_name("in"), new_name("again")
    seen = answer(run("import", name, str(exported), "--output", "json"))
    assert (seen["snapshot"]["snapshot_status"], seen["snapshot"]["snapshot_source"]) == ("available", "manual")
    assert seen["snapshot"]["replication_group_id"] == shop.name
    assert seen["progress"]["keys"] == KEYS
    run("restore", name, again)
    group = Group(elasticache, server.url, account, again)
    assert contents(group) == contents(shop)
    elasticache.delete_replication_group(ReplicationGroupId=again)
    assert run("import", name, str(exported), status=1).stderr == f"SnapshotAlreadyExistsFault: Snapshot {name} already exists.\n"


def test_a_file_alone_says_itself_who_wrote_it(run: Run, exported: Path) -> None:
    [first, _] = sorted(exported.glob("*.rdb"))
    seen = answer(run("import", new_name("in"), str(first), "--output", "json"))["snapshot"]
    assert (seen["engine"], seen["engine_version"].rpartition(".")[0], seen["replication_group_id"]) == ("valkey", "9.1", seen["snapshot_name"])
    assert len(seen["node_snapshots"]) == 1


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign(path: Path) -> None:
    path.write_bytes(b"root:x:0:0:root:/root:/bin/bash\n")


@pytest.mark.parametrize(
    ("spoil", "because"), [(cut_short, "ended before"), (flipped, "damaged"), (foreign, "no RDB file")], ids=["cut", "flipped", "foreign"]
)
def test_files_that_are_not_whole_are_refused_and_nothing_stays(
    run: Run, server: LocalServer, exported: Path, tmp_path: Path, spoil: Callable[[Path], None], because: str
) -> None:
    name, path = new_name("bad"), tmp_path / "dump.rdb"
    path.write_bytes(min(exported.glob("*.rdb")).read_bytes())
    spoil(path)
    said = run("import", name, str(path), status=1).stderr.splitlines()[-1]
    assert said.startswith(f"InvalidParameterValue: No snapshot {name} was made: dump.rdb: ")
    assert because in said or "offset" in said
    assert run("describe", name, status=1).stderr == f"SnapshotNotFoundFault: Snapshot {name} not found.\n"
    assert [path for path in (server.data_dir / "scratch" / "imports").rglob("*") if path.is_file()] == []


def test_files_that_are_not_those_of_the_manifest_are_refused(run: Run, exported: Path, tmp_path: Path) -> None:
    manifest, first, second = exported / "manifest.json", *sorted(exported.glob("*.rdb"))
    said = run("import", new_name("bad"), str(manifest), str(first), status=1).stderr.splitlines()[-1]
    assert said.endswith(f"the manifest names {second.name}, which was not sent.")
    said = run("import", new_name("bad"), str(first), str(second), status=1).stderr.splitlines()[-1]
    assert "2 RDB files came without the manifest.json" in said and "SnapshotArns" in said
    changed = tmp_path / "manifest.json"
    changed.write_text(manifest.read_text().replace('"0-8191"', '"0-8000"'))
    said = run("import", new_name("bad"), str(changed), str(first), str(second), status=1).stderr.splitlines()[-1]
    assert "the manifest was changed after it was written" in said


def test_an_import_that_is_interrupted_leaves_nothing(server: LocalServer, account: str, run: Run, tmp_path: Path) -> None:
    path, name = tmp_path / "dump.rdb", new_name("in")
    keys = (string(f"key:{number}".encode(), b"x" * 50) for number in range(500_000))
    path.write_bytes(rdb(aux(b"valkey-ver", b"9.1.2"), select(0, 500_000), *keys))
    env = {**os.environ, "CACHEWRIGHT_URL": server.url, "CACHEWRIGHT_ACCOUNT_ID": account}
    command = [sys.executable, "-m", "cachewright", "snapshot", "import", name, str(path)]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible) as importing:
        assert importing.stderr is not None
        while "is looked through" not in importing.stderr.readline():
            assert importing.poll() is None
        importing.send_signal(signal.SIGINT)
        assert importing.wait(30) == INTERRUPTED
    assert run("describe", name, status=1).stderr == f"SnapshotNotFoundFault: Snapshot {name} not found.\n"
    assert [path for path in (server.data_dir / "scratch" / "imports").rglob("*") if path.is_file()] == []


def interruptible() -> None:
    """A background job may have been started with SIGINT ignored, and would hand that on."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_what_is_not_there_cannot_be_imported(run: Run, tmp_path: Path) -> None:
    assert "there is no file" in run("import", "x", str(tmp_path / "nothing"), status=2).stderr
    assert "there is no RDB file in" in run("import", "x", str(tmp_path), status=2).stderr


# ---- verified


def test_a_sound_snapshot_passes(run: Run, taken: str) -> None:
    done = run("verify", taken)
    assert done.stdout.splitlines()[-1] == f"{taken} holds what it should: 2 of 2 files were restored and compared."
    assert "0001: passed" in done.stderr
    seen = answer(run("verify", taken, "--output", "json"))
    assert seen["state"] == "passed"
    assert sum(part["keys"] for part in seen["parts"]) == KEYS
    for part in seen["parts"]:
        assert part["digest"] == part["digest_after"]
        assert part["engine"] == "valkey"


def test_a_snapshot_whose_file_was_changed_fails_and_is_neither_exported(run: Run, shop: Group, server: LocalServer, tmp_path: Path) -> None:
    name = new_name("snap")
    run("create", shop.name, name)
    progress = answer(run("describe", name, "--output", "json"))["progress"]
    file = progress["parts"][1]["file"]
    [path] = (server.data_dir / "snapshots").glob(f"*/{file['name']}")
    path.chmod(0o600)
    flipped(path)
    failed = run("verify", name, status=1)
    assert failed.stderr.splitlines()[-1].startswith(f"Snapshot {name} is not what it should be: 0002: ")
    assert "has been changed" in failed.stderr.splitlines()[-1]
    assert "0001: passed" in failed.stderr
    refused = run("export", name, str(tmp_path / "out"), status=1).stderr.splitlines()[-1]
    assert refused.startswith(f"{file['name']} of snapshot {name} came with the SHA-256 ")
    assert list(tmp_path.iterdir()) == []
