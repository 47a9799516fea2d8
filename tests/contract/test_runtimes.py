"""One suite for every runtime: what the protocol says, on whatever lives behind it. Then what only processes can show."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import pytest
from waiting import wait_until

from agents.launch import Launch
from agents.runtimes.docker import DockerRuntime
from agents.runtimes.docker_daemon import Daemon, connect
from agents.runtimes.fake import FakeRuntime
from agents.runtimes.process import ProcessRuntime
from agents.runtimes.runtime import Ending, Handle, NotYetError, Progress, Runtime, StartRefusedError
from agents.runtimes.system import Linux, Portable

psutil = import_module("psutil")  # comes without types
LONG = timedelta(seconds=30)
SYSTEMS: dict[str, type[Linux] | type[Portable]] = {"linux": Linux, "portable": Portable}
SHORT = timedelta(milliseconds=100)
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"

IMAGE = "cachewright/redis:7.0"
ENDS_WHEN_ASKED = "trap 'exit 0' TERM; while :; do sleep 600 & wait; done"  # of an unasked program in a container the kernel keeps signals


class Ground(Protocol):
    """Where the suite runs: makes runtimes, and does to processes what the world does to them."""

    def runtime(self, folder: str = "agent") -> Runtime:
        """A runtime as an agent with this folder has it; called again, as the agent has it in its next life."""

    def launch(self, key: str = "orders-0001-001", boot: int = 1) -> Launch:
        """Something that runs until it is ended."""

    def start_stubborn(self, runtime: Runtime) -> Handle:
        """A process that does not end when asked."""

    def crash(self, handle: Handle) -> None:
        """End the process behind the runtime's back."""

    def stands_still(self, handle: Handle) -> bool:
        """Whether the process does nothing."""

    def unstartable(self, runtime: Runtime) -> Launch:
        """What the runtime cannot start."""


class ProcessGround:
    def __init__(self, folder: Path, system: type[Linux] | type[Portable]) -> None:
        self.folder, self.system = folder, system
        self.runtimes: list[ProcessRuntime] = []
        self.before = set(psutil.Process().children())

    def runtime(self, folder: str = "agent") -> ProcessRuntime:
        (self.folder / folder).mkdir(exist_ok=True)
        self.runtimes.append(ProcessRuntime(self.folder / folder, self.system()))
        return self.runtimes[-1]

    def launch(self, key: str = "orders-0001-001", boot: int = 1, argv: tuple[str, ...] = ("/bin/sleep", "600")) -> Launch:
        return Launch(key, boot, argv, self.folder, self.folder / f"{key}.log")

    def start_stubborn(self, runtime: Runtime) -> Handle:
        launch = self.launch("stubborn", argv=(sys.executable, "-c", STUBBORN))
        handle = runtime.start(launch)
        wait_until(lambda: "deaf" in launch.log.read_text())
        return handle

    def crash(self, handle: Handle) -> None:
        os.kill(handle.pid, signal.SIGKILL)

    def stands_still(self, handle: Handle) -> bool:
        return bool(psutil.Process(handle.pid).status() == psutil.STATUS_STOPPED)

    def unstartable(self, runtime: Runtime) -> Launch:
        return self.launch(argv=("/no/such/engine",))

    def clear(self) -> None:
        """End what the test has left running, each by its own handle."""
        for child in set(psutil.Process().children()) - self.before:
            child.kill()
        for runtime in self.runtimes:
            for handle in runtime.strays(()):
                runtime.kill(handle)
            runtime.close()


class DockerGround:
    """Containers of a real Docker. ``seen``: their processes are watched directly; else Docker is asked about everything."""

    def __init__(self, folder: Path, url: str, seen: bool) -> None:
        self.folder, self.seen = folder, seen
        self.daemon = connect(url)
        self.runtimes: list[DockerRuntime] = []

    def runtime(self, folder: str = "agent") -> DockerRuntime:
        (self.folder / folder).mkdir(exist_ok=True)
        facts = replace(self.daemon.facts, sees_processes=self.seen)
        self.runtimes.append(DockerRuntime(self.folder / folder, Daemon(self.daemon.client, facts)))
        return self.runtimes[-1]

    def launch(self, key: str = "orders-0001-001", boot: int = 1, script: str = ENDS_WHEN_ASKED) -> Launch:
        folder = self.folder / "nodes" / key
        folder.mkdir(parents=True, exist_ok=True)
        return Launch(key, boot, ("/bin/sh", "-c", script), folder, folder / "log", IMAGE)

    def start_stubborn(self, runtime: Runtime) -> Handle:
        launch = self.launch("stubborn", script="trap '' TERM; : > deaf; while :; do sleep 600; done")
        handle = runtime.start(launch)
        wait_until((launch.folder / "deaf").exists)
        return handle

    def crash(self, handle: Handle) -> None:
        os.kill(handle.pid, signal.SIGKILL)

    def stands_still(self, handle: Handle) -> bool:
        return bool(psutil.Process(handle.pid).status() == psutil.STATUS_STOPPED)

    def unstartable(self, runtime: Runtime) -> Launch:
        return replace(self.launch(), argv=("/no/such/engine",))

    def left(self) -> list[str]:
        """The names of this test's containers, ended ones too."""
        listed = self.daemon.client.containers(all=True, filters={"label": "cachewright.agent"})
        return [name for each in listed for name in each["Names"]]

    def clear(self) -> None:
        """End what the test has left running, each by its own handle. Nothing is left afterwards, not even of what had ended."""
        for runtime in self.runtimes:
            for handle in runtime.strays(()):
                runtime.kill(handle)
            runtime.close()
        left = self.left()
        self.daemon.close()
        assert left == []


class FakeGround:
    def __init__(self) -> None:
        self.first = FakeRuntime()

    def runtime(self, folder: str = "agent") -> FakeRuntime:
        return FakeRuntime(Path(folder), world=self.first.world)

    def launch(self, key: str = "orders-0001-001", boot: int = 1) -> Launch:
        return Launch(key, boot, ("engine",), Path("node"), Path("log"))

    def start_stubborn(self, runtime: Runtime) -> Handle:
        assert isinstance(runtime, FakeRuntime)
        runtime.ignores_stop = True
        return runtime.start(self.launch("stubborn"))

    def crash(self, handle: Handle) -> None:
        self.first.world.end(handle)

    def stands_still(self, handle: Handle) -> bool:
        process = self.first.world.get(handle)
        return process is not None and process.paused

    def unstartable(self, runtime: Runtime) -> Launch:
        assert isinstance(runtime, FakeRuntime)
        runtime.start_fails_times = 1
        return self.launch()


IN_DOCKER = [pytest.param(name, marks=pytest.mark.xdist_group("docker")) for name in ("docker", "docker-asked")]


@pytest.fixture(params=["linux", "portable", "fake", *IN_DOCKER])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    if request.param == "fake":
        yield FakeGround()
        return
    if request.param.startswith("docker"):
        containers = DockerGround(tmp_path, request.getfixturevalue("docker_engine"), seen=request.param == "docker")
        yield containers
        containers.clear()
        return
    if request.param == "linux" and not hasattr(os, "pidfd_open"):
        pytest.skip("this system has no pidfds")
    processes = ProcessGround(tmp_path, SYSTEMS[request.param])
    yield processes
    processes.clear()


@pytest.fixture(params=["linux", "portable"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProcessGround]:
    if request.param == "linux" and not hasattr(os, "pidfd_open"):
        pytest.skip("this system has no pidfds")
    processes = ProcessGround(tmp_path, SYSTEMS[request.param])
    yield processes
    processes.clear()


# --- What the protocol says -----------------------------------------------------------------------------------------------------


def test_what_was_started_is_alive(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = runtime.start(ground.launch("orders-0001-002", boot=3))
    assert runtime.alive(handle)
    assert (handle.runtime, handle.key, handle.boot) == (runtime.name, "orders-0001-002", 3)


def test_started_twice_is_one_process(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = runtime.start(ground.launch())
    assert runtime.start(ground.launch()) == handle
    wait_until(lambda: runtime.strays(()) == [handle])


def test_started_by_many_threads_is_one_process(ground: Ground) -> None:
    runtime = ground.runtime()
    handles: list[Handle] = []
    threads = [threading.Thread(target=lambda: handles.append(runtime.start(ground.launch()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(handles) == 8
    assert len(set(handles)) == 1


def test_the_next_boot_is_another_process(ground: Ground) -> None:
    runtime = ground.runtime()
    first = runtime.start(ground.launch(boot=1))
    runtime.kill(first)
    second = runtime.start(ground.launch(boot=2))
    assert second != first
    assert not runtime.alive(first)
    assert runtime.alive(second)


def test_the_same_boot_can_be_started_again_after_its_end(ground: Ground) -> None:
    runtime = ground.runtime()
    first = runtime.start(ground.launch())
    runtime.stop(first, LONG)
    second = runtime.start(ground.launch())
    assert second != first
    assert runtime.alive(second)


def test_a_refused_start_says_why(ground: Ground) -> None:
    runtime = ground.runtime()
    with pytest.raises(StartRefusedError, match=r"\."):
        runtime.start(ground.unstartable(runtime))
    assert runtime.strays(()) == []


def test_what_crashed_is_not_alive(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = runtime.start(ground.launch())
    ground.crash(handle)
    wait_until(lambda: not runtime.alive(handle))
    assert runtime.strays(()) == []


def test_what_has_ended_has_no_progress(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = runtime.start(ground.launch())
    assert runtime.progress(handle) is not None
    ground.crash(handle)
    wait_until(lambda: not runtime.alive(handle))
    assert runtime.progress(handle) is None


def test_what_has_ended_has_no_memory(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = runtime.start(ground.launch())
    footprint = runtime.footprint(handle)
    assert footprint is None or footprint.resident >= 0
    ground.crash(handle)
    wait_until(lambda: not runtime.alive(handle))
    assert runtime.footprint(handle) is None


def test_what_is_paused_lives_stands_still_and_goes_on(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = runtime.start(ground.launch())
    for _ in range(2):
        runtime.pause(handle)
    wait_until(lambda: ground.stands_still(handle))
    assert runtime.alive(handle)
    for _ in range(2):
        runtime.resume(handle)
    wait_until(lambda: not ground.stands_still(handle))


def test_what_is_paused_can_be_killed_and_then_neither_paused_nor_resumed(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = runtime.start(ground.launch())
    runtime.pause(handle)
    runtime.kill(handle)
    assert not runtime.alive(handle)
    runtime.pause(handle)
    runtime.resume(handle)
    assert not runtime.alive(handle)


def test_watching_tells_the_end_once_from_another_thread(ground: Ground) -> None:
    runtime, told = ground.runtime(), Told()
    handle = runtime.start(ground.launch())
    runtime.watch(handle, told)
    runtime.watch(handle, told)
    ground.crash(handle)
    told.wait_for(handle)
    settle(ground, runtime)
    assert told.handles == [handle]
    assert threading.current_thread() not in told.threads


def test_watching_what_has_ended_tells_at_once(ground: Ground) -> None:
    runtime, told = ground.runtime(), Told()
    handle = runtime.start(ground.launch())
    runtime.kill(handle)
    runtime.watch(handle, told)
    told.wait_for(handle)
    assert threading.current_thread() not in told.threads


def test_each_end_is_told_to_its_own_watcher(ground: Ground) -> None:
    runtime = ground.runtime()
    handles = [runtime.start(ground.launch(f"orders-{n}")) for n in range(5)]
    told = [Told() for _ in handles]
    for handle, one in zip(handles, told, strict=True):
        runtime.watch(handle, one)
    for handle in reversed(handles):
        ground.crash(handle)
    for handle, one in zip(handles, told, strict=True):
        one.wait_for(handle)
    assert [one.handles for one in told] == [[handle] for handle in handles]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_an_end_that_was_asked_for_is_told_too(ground: Ground, end: str) -> None:
    runtime, told = ground.runtime(), Told()
    handle = runtime.start(ground.launch())
    runtime.watch(handle, told)
    if end == "stop":
        runtime.stop(handle, LONG)
    else:
        runtime.kill(handle)
    assert not runtime.alive(handle)
    told.wait_for(handle)


def test_a_watcher_that_raises_does_not_stop_the_watching(ground: Ground, caplog: pytest.LogCaptureFixture) -> None:
    runtime, told = ground.runtime(), Told()

    def fail(handle: Handle) -> None:
        raise ValueError("the watcher's own fault")

    with caplog.at_level(logging.ERROR):
        for n in range(6):
            handle = runtime.start(ground.launch(f"unlucky-{n}"))
            runtime.watch(handle, fail)
            ground.crash(handle)
        settle(ground, runtime)
        handle = runtime.start(ground.launch("lucky"))
        runtime.watch(handle, told)
        ground.crash(handle)
        told.wait_for(handle)
        wait_until(lambda: caplog.text.count("the watcher's own fault") >= 6)


def test_a_slow_watcher_does_not_delay_the_others(ground: Ground) -> None:
    runtime, told, let_go = ground.runtime(), Told(), threading.Event()
    slow, quick = runtime.start(ground.launch("slow")), runtime.start(ground.launch("quick"))
    def dawdle(handle: Handle) -> None:
        let_go.wait(30)

    runtime.watch(slow, dawdle)
    runtime.watch(quick, told)
    ground.crash(slow)
    ground.crash(quick)
    told.wait_for(quick)
    let_go.set()


def test_stop_asks_and_does_not_wait_out_the_grace(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = runtime.start(ground.launch())
    began = time.monotonic()
    runtime.stop(handle, LONG)
    assert not runtime.alive(handle)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("grace", [SHORT, timedelta(0), timedelta(seconds=-1)])
def test_stop_kills_what_does_not_listen_after_the_grace(ground: Ground, grace: timedelta) -> None:
    runtime = ground.runtime()
    handle = ground.start_stubborn(runtime)
    began = time.monotonic()
    runtime.stop(handle, grace)
    assert grace.total_seconds() <= time.monotonic() - began < 5
    assert not runtime.alive(handle)


def test_kill_does_not_ask(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = ground.start_stubborn(runtime)
    runtime.kill(handle)
    assert not runtime.alive(handle)


def test_ending_twice_changes_nothing(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = runtime.start(ground.launch())
    for _ in range(2):
        runtime.stop(handle, LONG)
        runtime.kill(handle)
    assert not runtime.alive(handle)


@pytest.mark.parametrize("pid", [999_999_999, 2**40, 0, -1])
def test_an_unknown_handle_is_already_done(ground: Ground, pid: int) -> None:
    runtime, told = ground.runtime(), Told()
    unknown = Handle(runtime.name, "never-was", 1, pid, 1)
    runtime.stop(unknown, LONG)
    runtime.kill(unknown)
    assert not runtime.alive(unknown)
    runtime.watch(unknown, told)
    told.wait_for(unknown)


def test_closing_while_processes_end_is_safe(ground: Ground) -> None:
    for boot in range(1, 31):
        runtime = ground.runtime()
        handle = runtime.start(ground.launch(boot=boot))
        runtime.watch(handle, lambda _: None)
        ground.crash(handle)  # the watcher wakes up at about the moment it is told to leave
        runtime.close()


def test_processes_go_on_after_close(ground: Ground) -> None:
    runtime, told = ground.runtime(), Told()
    handle = runtime.start(ground.launch())
    runtime.watch(handle, told)
    runtime.close()
    runtime.close()
    next_life = ground.runtime()
    assert next_life.alive(handle)
    next_life.kill(handle)
    runtime.watch(handle, told)
    settle(ground, next_life)
    assert told.handles == []


def test_the_next_life_adopts_by_handle(ground: Ground) -> None:
    handle = ground.runtime().start(ground.launch())
    runtime, told = ground.runtime(), Told()
    runtime.watch(handle, told)
    assert runtime.start(ground.launch()) == handle
    runtime.stop(handle, LONG)
    told.wait_for(handle)


def test_strays_are_what_the_journal_does_not_know(ground: Ground) -> None:
    earlier = ground.runtime()
    known, stray = earlier.start(ground.launch("known")), earlier.start(ground.launch("stray", boot=7))
    runtime = ground.runtime()
    wait_until(lambda: runtime.strays([known]) == [stray])  # psutil may see an environment only a moment after the start
    wait_until(lambda: sorted(runtime.strays(()), key=lambda h: h.key) == [known, stray])
    runtime.kill(stray)
    assert runtime.strays([known]) == []


def test_strays_of_another_agent_are_not_ours(ground: Ground) -> None:
    other = ground.runtime("other")
    handle = other.start(ground.launch())
    wait_until(lambda: other.strays(()) == [handle])
    assert ground.runtime("agent").strays(()) == []
    other.kill(handle)


def test_nothing_is_known_of_the_end_of_what_lives_or_never_was(ground: Ground) -> None:
    runtime = ground.runtime()
    handle = runtime.start(ground.launch())
    assert runtime.ending(handle) == runtime.ending(Handle(runtime.name, "never-was", 1, 999_999_999, 1)) == Ending()


# --- What only containers can show ----------------------------------------------------------------------------------------------


@pytest.fixture
def containers(docker_engine: str, tmp_path: Path) -> Iterator[DockerGround]:
    containers = DockerGround(tmp_path, docker_engine, seen=True)
    yield containers
    containers.clear()


def ended(containers: DockerGround, runtime: DockerRuntime, launch: Launch) -> Handle:
    """The handle of what was started and has ended by itself."""
    handle = runtime.start(launch)
    wait_until(lambda: not runtime.alive(handle))
    return handle


@pytest.mark.xdist_group("docker")
def test_a_container_that_needs_more_memory_than_it_may_have_ended_for_want_of_it(containers: DockerGround) -> None:
    runtime = containers.runtime()
    launch = replace(containers.launch(script="x=0123456789abcdef; while :; do x=$x$x; done"), memory=16 << 20)
    assert runtime.ending(ended(containers, runtime, launch)).out_of_memory


@pytest.mark.xdist_group("docker")
def test_a_container_that_ended_by_itself_says_its_last_words_until_somebody_deals_with_it(containers: DockerGround) -> None:
    runtime = containers.runtime()
    handle = ended(containers, runtime, containers.launch(script="echo one; echo two; echo three; exit 3"))
    for _ in range(2):
        assert runtime.ending(handle) == Ending(said="two / three")
    assert runtime.strays([handle]) == []
    assert runtime.ending(handle).said
    runtime.kill(handle)
    wait_until(lambda: runtime.ending(handle) == Ending())


@pytest.mark.xdist_group("docker")
def test_ended_containers_that_nobody_knows_are_removed(containers: DockerGround) -> None:
    runtime = containers.runtime()
    handle = ended(containers, runtime, containers.launch(script="exit 0"))
    assert containers.runtime("other").strays(()) == runtime.strays(()) == []
    wait_until(lambda: runtime.ending(handle) == Ending())


@pytest.mark.xdist_group("docker")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": None}, "start this agent with --runtime process"),
        ({"argv": ("no-such-server",)}, "has no no-such-server.*--images"),
        ({"folder": Path("/no/such/folder")}, "The folder /no/such/folder .* does not exist"),
    ],
)
def test_why_a_container_was_not_started(containers: DockerGround, changes: dict[str, Any], why: str) -> None:
    runtime = containers.runtime()
    with pytest.raises(StartRefusedError, match=why):
        runtime.start(replace(containers.launch(), **changes))
    assert containers.left() == []


@pytest.mark.xdist_group("docker")
def test_an_image_that_is_not_here_is_asked_for_and_refused_with_what_docker_says(containers: DockerGround) -> None:
    runtime, launch = containers.runtime(), replace(containers.launch(), image="127.0.0.1:1/nobody/nothing:1")
    with pytest.raises(NotYetError, match=r"fetching the image 127\.0\.0\.1:1/nobody/nothing:1"):
        runtime.start(launch)
    refused: list[str] = []

    def is_refused() -> bool:
        try:
            runtime.start(launch)
        except NotYetError:
            return False
        except StartRefusedError as why:
            refused.append(str(why))
        return bool(refused)

    wait_until(is_refused, 30)
    assert "cannot be had" in refused[0]
    assert "deploy/images" in refused[0]


# --- What only processes can show -----------------------------------------------------------------------------------------------


STARTER = """
import sys, os
from pathlib import Path
from agents.launch import Launch
from agents.runtimes.process import ProcessRuntime
from agents.runtimes.system import Linux, Portable
system = {"Linux": Linux, "Portable": Portable}[sys.argv[1]]()
folder = Path(sys.argv[2])
launch = Launch("orphan", 4, ("/bin/sleep", "600"), folder, folder / "orphan.log")
handle = ProcessRuntime(folder / "agent", system).start(launch)
print(handle.pid, handle.started, flush=True)
sys.stdin.read()
"""


def start_from_another_process(ground: ProcessGround, killed: bool) -> Handle:
    """A process whose starter is gone: ended in order, or by SIGKILL."""
    command = [sys.executable, "-c", STARTER, ground.system.__name__, str(ground.folder)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as starter:
        assert starter.stdout and starter.stdin
        pid, started = starter.stdout.readline().split()
        if killed:
            starter.kill()
        starter.stdin.close()
        assert starter.wait(30) == (-signal.SIGKILL if killed else 0)
    return Handle("process", "orphan", 4, int(pid), int(started))


@pytest.mark.parametrize("killed", [False, True])
def test_a_process_outlives_its_starter_and_is_adopted(processes: ProcessGround, killed: bool) -> None:
    handle = start_from_another_process(processes, killed)
    runtime, told = processes.runtime(), Told()
    assert runtime.alive(handle)
    wait_until(lambda: runtime.strays(()) == [handle])
    assert runtime.strays([handle]) == []
    runtime.watch(handle, told)
    os.kill(handle.pid, signal.SIGKILL)
    told.wait_for(handle)
    assert not runtime.alive(handle)


def test_a_stray_that_lost_its_environment_is_found(processes: ProcessGround) -> None:
    if processes.system is Portable:
        pytest.skip("needs a label outside the environment")
    # As Valkey and Redis do, which write their process title over it.
    handle = processes.runtime().start(processes.launch(argv=("/usr/bin/env", "-i", "/bin/sleep", "600")))
    wait_until(lambda: psutil.Process(handle.pid).name() == "sleep" and not psutil.Process(handle.pid).environ())
    assert processes.runtime().strays(()) == [handle]


def test_what_computes_gets_further_and_what_is_stopped_does_not(processes: ProcessGround) -> None:
    runtime = processes.runtime()
    busy, stopped = (runtime.start(processes.launch(key, argv=(sys.executable, "-c", "while True: pass"))) for key in ("busy", "stopped"))
    wait_until(lambda: used(runtime, stopped) > 2)
    os.kill(stopped.pid, signal.SIGSTOP)
    wait_until(lambda: psutil.Process(stopped.pid).status() == psutil.STATUS_STOPPED)
    before, of_other = used(runtime, stopped), used(runtime, busy)
    wait_until(lambda: used(runtime, busy) > of_other + 5)
    assert runtime.progress(stopped) == Progress(before, awaits=False)


def test_what_gets_no_processor_awaits_one_and_what_sleeps_does_not(processes: ProcessGround) -> None:
    runtime = processes.runtime()
    busy, idle = runtime.start(processes.launch("busy", argv=(sys.executable, "-c", "while True: pass"))), runtime.start(processes.launch("idle"))
    wait_until(lambda: used(runtime, busy) > 2)
    assert awaits(runtime, busy)
    wait_until(lambda: not awaits(runtime, idle))


def test_the_memory_of_a_process_is_what_the_system_says(processes: ProcessGround) -> None:
    runtime = processes.runtime()
    large = runtime.start(processes.launch(argv=(sys.executable, "-c", "import signal; b = b'x' * 50_000_000; signal.pause()")))
    small = runtime.start(processes.launch("small"))
    wait_until(lambda: (found := runtime.footprint(large)) is not None and found.resident > 50_000_000)
    told, others = runtime.footprint(large), runtime.footprint(small)
    assert told is not None and others is not None
    assert told.resident == pytest.approx(psutil.Process(large.pid).memory_info().rss, rel=0.05)
    assert 0 < others.resident < 20_000_000
    assert told.swapped == (0 if processes.system is Linux else None)


def used(runtime: ProcessRuntime, handle: Handle) -> int:
    progress = runtime.progress(handle)
    return 0 if progress is None else progress.used


def awaits(runtime: ProcessRuntime, handle: Handle) -> bool:
    progress = runtime.progress(handle)
    return progress is not None and progress.awaits


def test_an_adopted_process_can_be_stopped(processes: ProcessGround) -> None:
    handle = start_from_another_process(processes, killed=True)
    runtime = processes.runtime()
    runtime.stop(handle, LONG)
    assert not runtime.alive(handle)
    assert runtime.strays(()) == []


def test_a_reused_pid_is_left_alone(processes: ProcessGround) -> None:
    runtime, told = processes.runtime(), Told()
    with subprocess.Popen(["/bin/sleep", "600"]) as innocent:
        try:
            real = processes.system().born(innocent.pid)
            assert real is not None
            for started in (real - 1, real + 1, 0):
                stale = Handle("process", "orders", 1, innocent.pid, started)
                assert not runtime.alive(stale)
                runtime.stop(stale, LONG)
                runtime.kill(stale)
                runtime.watch(stale, told)
                told.wait_for(stale)
            assert innocent.poll() is None
            assert psutil.Process(innocent.pid).is_running()
        finally:
            innocent.kill()


def test_a_pid_that_is_now_a_threads_is_left_alone(processes: ProcessGround) -> None:
    runtime, tids, done = processes.runtime(), list[int](), threading.Event()

    def stay() -> None:
        tids.append(threading.get_native_id())
        done.wait(30)

    thread = threading.Thread(target=stay)
    thread.start()
    try:
        stale = Handle("process", "orders", 1, wait_until(lambda: tids)[0], 1)
        assert not runtime.alive(stale)
        runtime.kill(stale)
    finally:
        done.set()
        thread.join()


def test_an_unwatched_child_does_not_stay_a_zombie(processes: ProcessGround) -> None:
    runtime = processes.runtime()
    handle = runtime.start(processes.launch(argv=("/bin/true",)))
    wait_until(lambda: not runtime.alive(handle))
    other = runtime.start(processes.launch("other", argv=("/bin/true",)))
    wait_until(lambda: psutil.Process(other.pid).status() == psutil.STATUS_ZOMBIE)
    runtime.start(processes.launch("third"))
    assert not psutil.pid_exists(handle.pid)
    assert not psutil.pid_exists(other.pid)


def test_a_watched_child_does_not_stay_a_zombie(processes: ProcessGround) -> None:
    runtime, told = processes.runtime(), Told()
    handle = runtime.start(processes.launch())
    runtime.watch(handle, told)
    os.kill(handle.pid, signal.SIGKILL)
    told.wait_for(handle)
    assert not psutil.pid_exists(handle.pid)


def test_a_zombie_of_another_parent_is_not_alive(processes: ProcessGround) -> None:
    runtime = processes.runtime()
    with subprocess.Popen(["/bin/sleep", "600"]) as child:
        born = processes.system().born(child.pid)
        assert born is not None
        handle = Handle("process", "orders", 1, child.pid, born)
        assert runtime.alive(handle)
        child.kill()
        wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
        assert not runtime.alive(handle)
        runtime.kill(handle)


def test_a_paused_process_is_alive_and_can_be_stopped(processes: ProcessGround) -> None:
    runtime = processes.runtime()
    handle = runtime.start(processes.launch())
    os.kill(handle.pid, signal.SIGSTOP)
    assert runtime.alive(handle)
    runtime.stop(handle, SHORT)
    assert not runtime.alive(handle)


def test_forked_children_of_an_engine_are_no_strays(processes: ProcessGround) -> None:
    forks = "import os, time; print(os.fork(), flush=True); time.sleep(600)"
    runtime = processes.runtime()
    launch = processes.launch(argv=(sys.executable, "-c", forks))
    handle = runtime.start(launch)
    wait_until(lambda: launch.log.read_text().count("\n") == 2)
    child = max(int(line) for line in launch.log.read_text().split())
    try:
        assert runtime.strays(()) == [handle]
    finally:
        os.kill(child, signal.SIGKILL)


def test_an_engine_runs_in_its_own_session_folder_and_log(processes: ProcessGround, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for engines")
    looks = (
        "import os, sys; print(os.getsid(0) == os.getpid(), os.getcwd(), repr(sys.stdin.read()), "
        "os.environ['CACHEWRIGHT_NODE'], os.environ['CACHEWRIGHT_BOOT'], 'AWS_SECRET_ACCESS_KEY' in os.environ, "
        "[fd for fd in range(3, 256) if os.path.exists(f'/dev/fd/{fd}')], flush=True); "
        "print('error', file=sys.stderr, flush=True)"
    )
    runtime = processes.runtime()
    launch = processes.launch("node-1", boot=2, argv=(sys.executable, "-c", looks))
    launch.log.write_text("before\n")
    with (processes.folder / "secret").open("w") as inherited:
        os.set_inheritable(inherited.fileno(), True)
        handle = runtime.start(launch)
    wait_until(lambda: not runtime.alive(handle))
    before, out, err = launch.log.read_text().splitlines()
    assert (before, err) == ("before", "error")
    assert out == f"True {processes.folder.resolve()} '' node-1 2 False []"


def test_what_cannot_be_executed_is_refused_in_a_sentence(processes: ProcessGround) -> None:
    runtime, folder = processes.runtime(), processes.folder
    (folder / "data").write_bytes(b"\x7fELF no program")
    (folder / "data").chmod(0o755)
    (folder / "text").write_text("hello")
    launch = processes.launch()
    refusals = {
        "/no/such/engine does not exist": replace(launch, argv=("/no/such/engine",)),
        "is not a program for this system": replace(launch, argv=(str(folder / "data"),)),
        "Permission was denied for": replace(launch, argv=(str(folder / "text"),)),
        "The folder .*missing of node": replace(launch, folder=folder / "missing"),
        "The folder of the log": replace(launch, log=folder / "missing" / "log"),
    }
    for sentence, refused in refusals.items():
        with pytest.raises(StartRefusedError, match=sentence):
            runtime.start(refused)


def test_one_that_ends_at_once_is_told_and_never_alive(processes: ProcessGround) -> None:
    runtime = processes.runtime()
    for n in range(20):
        told = Told()
        handle = runtime.start(processes.launch(f"brief-{n}", argv=("/bin/false",)))
        runtime.watch(handle, told)
        told.wait_for(handle)
        assert not runtime.alive(handle)


def test_no_descriptor_is_left_open(processes: ProcessGround) -> None:
    me = psutil.Process()
    before = me.num_fds()
    for _ in range(3):
        runtime = processes.runtime()
        told = Told()
        kept, ended = runtime.start(processes.launch("kept")), runtime.start(processes.launch("ended"))
        runtime.watch(kept, told)
        runtime.watch(ended, told)
        runtime.stop(ended, LONG)
        told.wait_for(ended)
        runtime.close()
    assert me.num_fds() == before


# --- The faults of the fake -----------------------------------------------------------------------------------------------------


def test_the_fake_has_its_faults_as_fields() -> None:
    ground = FakeGround()
    runtime, told = ground.runtime(), Told()
    runtime.start_fails_times = 2
    for _ in range(2):
        with pytest.raises(StartRefusedError):
            runtime.start(ground.launch())
    runtime.dies_after = 0.02
    runtime.start_delay = 0.03
    began = time.monotonic()
    handle = runtime.start(ground.launch())
    assert time.monotonic() - began >= 0.03
    runtime.watch(handle, told)
    told.wait_for(handle)
    assert not runtime.alive(handle)


def test_the_fake_crashes_by_key() -> None:
    ground = FakeGround()
    runtime, told = ground.runtime(), Told()
    handle, other = runtime.start(ground.launch("orders")), runtime.start(ground.launch("carts"))
    runtime.watch(handle, told)
    runtime.crash("orders")
    told.wait_for(handle)
    assert runtime.alive(other)
    with pytest.raises(KeyError):
        runtime.crash("orders")


# --- What the tests stand on ----------------------------------------------------------------------------------------------------


class Told:
    """A watcher that remembers what it was told, and by which thread."""

    def __init__(self) -> None:
        self.handles: list[Handle] = []
        self.threads: list[threading.Thread] = []

    def __call__(self, handle: Handle) -> None:
        self.threads.append(threading.current_thread())
        self.handles.append(handle)

    def wait_for(self, handle: Handle) -> None:
        wait_until(lambda: handle in self.handles)


def settle(ground: Ground, runtime: Runtime) -> None:
    """Return when everything that ended before this call has been told: a later end has."""
    told, handle = Told(), runtime.start(ground.launch("settled"))
    runtime.watch(handle, told)
    runtime.kill(handle)
    told.wait_for(handle)
