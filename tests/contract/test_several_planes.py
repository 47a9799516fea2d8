"""Several control planes on one PostgreSQL: each knows what the others wrote, no write is lost, and one of them leads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from factories import NOW, WORLD, a_group, an_agent
from postgres import Postgres, postgres_server
from waiting import let_pass, wait_until

from api_schemas.fault_kind import FaultKind
from api_schemas.faults import InvalidClientTokenId, ServiceUnavailable
from cachewright.first_key import NoKeyMadeError, make
from controlplane.clock import SystemClock
from controlplane.domain.access_key import Role
from controlplane.domain.events import Event
from controlplane.domain.fault import InjectedFault, Target
from controlplane.domain.reported import DEAD, RUNNING, SeenNode
from controlplane.operations.keyring import Keyring, UnusableKeysError
from controlplane.pki.sealing import Sealer
from controlplane.store.leadership import LEASE, PATIENCE, Elected, NotLeadingError
from controlplane.store.session import open_database
from controlplane.store.store import Committed, Store, StoreAwayError

KEY = a_group().key("orders-001")
SEEN = SeenNode(RUNNING, 1, "primary", 1, offset=100)
ARN = "arn:aws:elasticache:us-east-1:000000000000:replicationgroup:orders"
HAPPENED = Event(WORLD, "replication-group", "orders", "created", NOW, "asked for")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as running:
        yield running


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.database()


@pytest.fixture
def planes(url: str) -> Iterator[tuple[Store, Store]]:
    both = Store(url, "one"), Store(url, "other")
    yield both
    for store in both:
        store.close()


# ---- what one writes, the other knows


def test_everything_held_in_memory_reaches_the_other(planes: tuple[Store, Store]) -> None:
    one, other = planes
    told: list[Committed] = []
    other.listen(told.append)
    fault = InjectedFault("f", WORLD, FaultKind.CUT, Target(zones=("us-east-1a", "us-east-1b")), NOW, NOW)
    with one.transaction() as unit:
        unit.topologies.save(a_group())
        unit.reports.put_node(KEY, SEEN, NOW)
        unit.agents.put(an_agent("agent-a", "us-east-1a"))
        unit.addresses.draw("127.101.0.0/24", KEY)
        unit.events.say(HAPPENED)
        unit.faults.save(fault)
        unit.woken.add("woken")
    wait_until(lambda: told)
    assert [(each.topologies, each.faults) for each in told] == [(frozenset({a_group().uid, "woken"}), True)]
    assert [replace(event, number=0) for each in told for event in each.events] == [HAPPENED]
    with other.reading() as unit:
        assert unit.topologies.get(a_group().uid) == replace(a_group(), version=1)
        assert unit.reports.of(a_group()).nodes == {"orders-001": SEEN}
        assert unit.reports.times(a_group()) == {"orders-001": NOW}
        assert unit.agents.get("agent-a") == an_agent("agent-a", "us-east-1a")
        assert unit.faults.active() == [fault]
    assert other.addresses == one.addresses != {}
    assert let_pass(0.1) is None and len(told) == 1, "what was read once is no news"


def test_what_was_forgotten_is_forgotten_by_the_other(planes: tuple[Store, Store]) -> None:
    one, other = planes
    with one.transaction() as unit:
        group = unit.topologies.save(a_group())
        unit.reports.put_node(KEY, SEEN, NOW)
        unit.addresses.draw("127.101.0.0/24", KEY)
    with other.transaction() as unit:
        assert unit.topologies.get(group.uid) == group
        unit.topologies.forget(group)
        unit.reports.forget(KEY)
        unit.addresses.give_back(KEY)
    wait_until(lambda: not one.topologies.by_uid and not one.reports.nodes and not one.addresses)


def test_a_fresh_reader_knows_what_anybody_had_committed(planes: tuple[Store, Store]) -> None:
    one, other = planes
    for version in range(1, 30):
        with one.transaction() as unit:
            unit.topologies.save(replace(unit.topologies.get(a_group().uid) or a_group(), port=version))
        with other.reading(fresh=True) as unit:
            found = unit.topologies.get(a_group().uid)
            assert found is not None and found.port == version


def test_a_writer_works_on_what_the_other_has_just_written(planes: tuple[Store, Store]) -> None:
    one, other = planes
    with one.transaction() as unit:
        unit.topologies.save(a_group())
    for store in (other, one, other, one):
        with store.transaction() as unit:
            mine = unit.topologies.get(a_group().uid)
            assert mine is not None
            unit.topologies.save(replace(mine, port=mine.port + 1))
    assert one.topologies.by_uid[a_group().uid].version == 5


def test_planes_that_write_at_once_lose_nothing(planes: tuple[Store, Store]) -> None:
    each = 40
    with planes[0].transaction() as unit:
        uid = unit.topologies.save(a_group(port=0)).uid

    def write(number: int) -> None:
        for count in range(each):
            with planes[number % 2].transaction() as unit:
                mine = unit.topologies.get(uid)
                assert mine is not None
                unit.topologies.save(replace(mine, port=mine.port + 1))
                unit.addresses.draw("127.101.0.0/16", f"{number}-{count}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    for store in planes:
        store.catch_up()
        assert store.topologies.by_uid[uid].port == 4 * each
        assert len(set(store.addresses.values())) == len(store.addresses) == 4 * each


def test_what_raises_is_no_news(planes: tuple[Store, Store]) -> None:
    one, other = planes
    with pytest.raises(ZeroDivisionError), one.transaction() as unit:
        unit.topologies.save(a_group())
        raise ZeroDivisionError
    with one.transaction() as unit:
        unit.addresses.draw("127.101.0.0/24", "k")
    other.catch_up()
    assert (dict(other.topologies.by_uid), list(other.addresses.values())) == ({}, ["k"])


def test_who_missed_more_than_is_kept_reads_everything(planes: tuple[Store, Store], url: str) -> None:
    one, other = planes
    told: list[Committed] = []
    other.listen(told.append)
    with one.transaction() as unit:
        unit.topologies.save(a_group())
        unit.reports.put_node(KEY, SEEN, NOW)
    wait_until(lambda: told)
    with psycopg.connect(url) as connection:  # in one transaction, so that it is told of none before all are gone
        connection.execute("UPDATE reports SET document = replace(document, 'running', 'dead')")
        connection.execute("INSERT INTO changes (kind, key) VALUES ('topology', 'nothing')")
        connection.execute("DELETE FROM changes WHERE number < (SELECT max(number) FROM changes)")
        connection.execute("NOTIFY cachewright")
    wait_until(lambda: other.reports.nodes[KEY].phase == DEAD)
    wait_until(lambda: len(told) > 1)
    assert told[1:] == [Committed(frozenset({a_group().uid}), (), faults=True)]


def test_a_writer_that_stands_still_holds_the_others_up_for_two_seconds_at_most(planes: tuple[Store, Store]) -> None:
    one, other = planes
    inside, go_on = threading.Event(), threading.Event()

    def stand_still() -> None:
        with one.transaction() as unit:
            unit.topologies.save(a_group())
            inside.set()
            go_on.wait(30)

    with ThreadPoolExecutor(1) as elsewhere:
        still = elsewhere.submit(stand_still)
        assert inside.wait(10)
        with other.transaction() as unit:
            assert unit.topologies.get(a_group().uid) is None
            unit.addresses.draw("127.101.0.0/24", "k")
        go_on.set()
        with pytest.raises(StoreAwayError):
            still.result(timeout=10)
    assert one.topologies.by_uid == {}
    with one.transaction() as unit:  # and with a new connection it goes on
        assert unit.addresses.draw("127.101.0.0/24", "l") == "127.101.0.2"


def test_planes_that_start_on_an_empty_database_together_make_one_schema(url: str) -> None:
    with ThreadPoolExecutor(3) as together:
        stores = list(together.map(lambda number: Store(url, f"plane-{number}"), range(3)))
    with stores[0].transaction() as unit:
        unit.topologies.save(a_group())
    wait_until(lambda: all(store.topologies.by_uid for store in stores))
    for store in stores:
        store.close()


def test_a_database_that_was_away_is_followed_again(postgres: Postgres, planes: tuple[Store, Store]) -> None:
    one, other = planes
    postgres.stop()
    try:
        with pytest.raises(StoreAwayError), one.transaction():
            pass
        with pytest.raises(StoreAwayError), other.reading(fresh=True):
            pass
    finally:
        postgres.start()

    def write() -> bool:
        try:
            with one.transaction() as unit:
                unit.topologies.save(a_group())
        except StoreAwayError:  # a connection from before
            return False
        return True

    wait_until(write)
    wait_until(lambda: other.topologies.by_uid)


# ---- who leads


class Lab:
    """Candidates with one clock between them, which passes as the test says, and whose steps the test takes."""

    def __init__(self, url: str) -> None:
        self.now = 1000.0
        self.database = open_database(url)
        self.told: list[str] = []

    def candidate(self, name: str) -> Elected:
        one = Elected(self.database, name, lambda: f"https://{name}", lambda: self.now)
        one._gained, one._lost = (lambda: self.told.append(f"{name} gained")), (lambda: self.told.append(f"{name} lost"))
        return one


@pytest.fixture
def lab(url: str) -> Iterator[Lab]:
    made = Lab(url)
    yield made
    made.database.dispose()


def test_the_first_leads_and_goes_on_while_it_beats(lab: Lab) -> None:
    first, second = lab.candidate("first"), lab.candidate("second")
    for _ in range(20):
        first.step()
        second.step()
        assert (first.leads, second.leads) == (True, False)
        assert (first.leader_url, second.leader_url) == (None, "https://first")
        lab.now += LEASE * 0.9
    assert lab.told == ["first gained"]


def test_nobody_leads_between_the_end_of_a_lease_and_the_end_of_patience(lab: Lab) -> None:
    first, second = lab.candidate("first"), lab.candidate("second")
    first.step()
    second.step()
    lab.now += LEASE + 0.01
    second.step()
    assert (first.leads, second.leads) == (False, False)
    lab.now += PATIENCE - LEASE
    assert second.leader_url is None
    second.step()
    assert (first.leads, second.leads) == (False, True)
    first.step()
    assert lab.told == ["first gained", "second gained", "first lost"]
    second.step()
    lab.now += 1.0
    assert (first.leads, second.leads) == (False, True)


def test_patience_begins_when_a_beat_is_first_seen(lab: Lab) -> None:
    first, second = lab.candidate("first"), lab.candidate("second")
    first.step()
    lab.now += 10 * PATIENCE  # it may have beaten a moment ago, for all the other knows
    second.step()
    assert not second.leads
    lab.now += PATIENCE + 0.01
    second.step()
    assert second.leads


def test_who_leaves_in_order_is_followed_at_once(lab: Lab) -> None:
    first, second = lab.candidate("first"), lab.candidate("second")
    first.step()
    second.step()
    first.close()
    second.step()
    assert (first.leads, second.leads) == (False, True)


def test_who_let_its_lease_run_out_leads_again_in_a_new_term(lab: Lab) -> None:
    first = lab.candidate("first")
    first.step()
    lab.now += LEASE
    assert not first.leads
    first.step()
    assert first.leads
    assert lab.told == ["first gained", "first lost", "first gained"], "nobody else has led, but agents were not listened to"


def test_many_who_look_at_once_make_one_leader(lab: Lab) -> None:
    candidates = [lab.candidate(f"c{number}") for number in range(6)]
    for _ in range(5):
        with ThreadPoolExecutor(len(candidates)) as together:
            list(together.map(Elected.step, candidates))
            list(together.map(Elected.step, candidates))
        assert sum(candidate.leads for candidate in candidates) == 1
        lab.now += PATIENCE + 0.1  # nobody has beaten: whoever looks now may take over
        for candidate in candidates:
            candidate._term = None


def test_only_the_leader_writes_what_a_leader_decides(planes: tuple[Store, Store]) -> None:
    one, other = planes
    gained: list[str] = []
    one.leadership.start(lambda: gained.append("one"), lambda: None)
    other.leadership.start(lambda: gained.append("other"), lambda: None)
    assert gained == ["one"]
    with one.transaction(leading=True) as unit:
        unit.topologies.save(a_group())
    with pytest.raises(NotLeadingError), other.transaction(leading=True):
        raise AssertionError("it must not come to this")
    one.leadership.close()
    wait_until(lambda: gained == ["one", "other"])
    with other.transaction(leading=True) as unit:
        assert unit.topologies.get(a_group().uid) is not None
    with pytest.raises(NotLeadingError), one.transaction(leading=True):
        pass


def test_a_term_that_ended_unnoticed_writes_nothing(planes: tuple[Store, Store], url: str) -> None:
    one, _ = planes
    one.leadership.start(lambda: None, lambda: None)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE leader SET term = term + 1, plane = 'somebody'")
    with pytest.raises(NotLeadingError), one.transaction(leading=True) as unit:
        unit.topologies.save(a_group())


# ---- who is heard


def test_the_others_know_whom_the_leader_does_not_hear(planes: tuple[Store, Store]) -> None:
    one, other = planes
    one.leadership.start(one.lead, one.follow)
    with one.transaction(leading=True) as unit:
        for name in ("agent-a", "agent-b"):
            unit.agents.put(an_agent(name, "us-east-1a"))
            one.heartbeats.hear(name)
    one.say_who_is_silent(frozenset({"agent-b"}))
    wait_until(lambda: not other.heartbeats.is_heard("agent-b"))
    assert other.heartbeats.is_heard("agent-a")
    late = heard_of(other)
    assert late == {"agent-a": True, "agent-b": False}
    other.lead()
    assert heard_of(other) == {"agent-a": True, "agent-b": True}, "nobody is silent before there was time to speak"


def heard_of(store: Store) -> dict[str, bool]:
    with store.reading() as unit:
        return {hello.agent: unit.agents.is_heard(hello.agent) for hello in unit.agents.all()}


def test_a_plane_that_starts_later_knows_it_as_well(planes: tuple[Store, Store], url: str) -> None:
    one, _ = planes
    one.leadership.start(one.lead, one.follow)
    with one.transaction(leading=True) as unit:
        unit.agents.put(an_agent("agent-b", "us-east-1b"))
    one.say_who_is_silent(frozenset({"agent-b"}))
    later = Store(url, "later")
    assert heard_of(later) == {"agent-b": False}
    later.close()




# ---- who may ask


def test_a_key_that_one_makes_or_revokes_is_so_at_the_other_at_once(planes: tuple[Store, Store], tmp_path: Path) -> None:
    one, other = (Keyring(store, SystemClock(), Sealer(tmp_path / "secrets.key")) for store in planes)
    made = one.make("111111111111", Role.OPERATOR, "ci")
    known = other.find(made.id)
    assert (known.secret, known.key.role, known.key.account) == (made.secret, Role.OPERATOR, "111111111111")
    other.was_used(known.key)
    assert one.find(made.id).key.last_used is not None
    with planes[0].transaction() as unit:
        unit.access_keys.revoke(known.key.with_revocation(NOW))
    with pytest.raises(InvalidClientTokenId):
        other.find(made.id)


def test_a_key_is_made_beside_control_planes_that_run(planes: tuple[Store, Store], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHEWRIGHT_DATABASE_URL", url)
    monkeypatch.setenv("CACHEWRIGHT_SECRETS_KEY_FILE", str(tmp_path / "secrets.key"))
    made = make(tmp_path / "data", "operator", "ci", "111111111111", 3600)
    known = Keyring(planes[0], SystemClock(), Sealer(tmp_path / "secrets.key")).find(made.id)
    assert (known.secret, known.key.name, known.key.account) == (made.secret, "ci", "111111111111")
    monkeypatch.setenv("CACHEWRIGHT_DATABASE_URL", "postgresql://nobody:hunter2@127.0.0.1:1/none")
    with pytest.raises(NoKeyMadeError, match="the database cannot be opened") as refused:
        make(tmp_path / "data", "admin", None, None, None)
    assert "hunter2" not in str(refused.value)


def test_a_control_plane_with_another_key_for_secrets_lets_nobody_in_and_says_why(planes: tuple[Store, Store], tmp_path: Path) -> None:
    one, other = (Keyring(store, SystemClock(), Sealer(tmp_path / str(number)))
                  for number, store in enumerate(planes))  # fmt: skip
    made = one.make("111111111111", Role.ADMIN)
    with pytest.raises(UnusableKeysError, match="CACHEWRIGHT_SECRETS_KEY_FILE"):
        other.must_let_somebody_in()
    with pytest.raises(ServiceUnavailable, match="cannot be opened by this control plane"):
        other.find(made.id)
