"""The house rules that no linter knows, checked on the syntax tree. An exception stands here with its reason, or it is none."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = ("api_schemas", "archives", "controlplane", "agents", "cachewright")
LONGEST = 550

Finding = tuple[int, str]
"""A line and what is wrong there."""


@dataclass(frozen=True)
class Source:
    """A parsed file, by its path from the root of the repository."""

    path: str
    text: str
    tree: ast.Module


@cache
def sources(*folders: str) -> tuple[Source, ...]:
    """Every Python file in these folders."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return tuple(_parsed(path) for path in paths)


def _parsed(path: Path) -> Source:
    text = path.read_text()
    return Source(path.relative_to(ROOT).as_posix(), text, ast.parse(text))


def parsed(text: str) -> Source:
    """A piece of code that only a test has."""
    return Source("example.py", text, ast.parse(text))


# ---- the rules: each yields what it does not like


def swallowed_exceptions(source: Source) -> Iterator[Finding]:
    """Everything may be caught only by who raises it again, or writes it down with its traceback."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node) and not _passes_on(node):
            yield node.lineno, "catches everything, and neither raises it again nor logs it with its traceback"


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException") for kind in kinds)


def _passes_on(handler: ast.ExceptHandler) -> bool:
    inside = [node for statement in handler.body for node in ast.walk(statement)]
    logs = any(isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "exception" for node in inside)
    return logs or any(isinstance(node, ast.Raise) for node in inside)


OUTSIDE = {
    "datetime": ("now", "utcnow", "today"),
    "date": ("today",),
    "time": ("time", "time_ns", "localtime", "gmtime", "strftime"),  # how long something took is not what time it is
    "os": ("urandom", "getrandom"),
}
OUTSIDE_MODULES = ("random", "secrets", "uuid")


def clocks_and_chances(source: Source) -> Iterator[Finding]:
    """Time, ids and randomness are arguments: they enter by one file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in OUTSIDE.get(node.value.id, ()):
            yield node.lineno, f"{node.value.id}.{node.attr}"
        for module in _imported(node):
            if module in OUTSIDE_MODULES:
                yield getattr(node, "lineno", 0), f"import {module}"
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "os"):
            for name in node.names:
                if name.name in OUTSIDE[node.module]:
                    yield node.lineno, f"{node.module}.{name.name}"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name.partition(".")[0] for name in node.names]
    return [(node.module or "").partition(".")[0]] if isinstance(node, ast.ImportFrom) and not node.level else []


def environment(source: Source) -> Iterator[Finding]:
    """The environment is read by settings alone."""
    for node in ast.walk(source.tree):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        if isinstance(node, ast.expr) and name in ("environ", "getenv", "environb", "putenv"):
            yield node.lineno, name


def bare_clusters(source: Source) -> Iterator[Finding]:
    """Say ``cache_cluster``, ``cluster_mode`` or ``cluster_bus``."""
    for node in ast.walk(source.tree):
        for name in _named(node):
            if name.lower().strip("_") in ("cluster", "clusters"):
                yield getattr(node, "lineno", 0), name


def _named(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return [node.id]
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return [node.attr]
    if isinstance(node, ast.arg):
        return [node.arg]
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [name.asname or "" for name in node.names]
    return []


def empty_words(source: Source) -> Iterator[Finding]:
    """A module is named after its noun."""
    found = re.search(r"manager|helper|util|(?<![a-z])base(?![a-z])|common|misc", Path(source.path).stem)
    if found:
        yield 1, f"a module called {Path(source.path).stem}"


def undocumented(source: Source) -> Iterator[Finding]:
    """What others may use says what is true afterwards. A fault's sentence is its documentation."""
    if not ast.get_docstring(source.tree) and source.text.strip():
        yield 1, "the module has no docstring"
    for node in source.tree.body:
        public = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        if public and not ast.get_docstring(node) and not _is_fault(node):  # type: ignore[arg-type]
            yield node.lineno, f"{node.name} has no docstring"  # type: ignore[attr-defined]


def _is_fault(node: ast.stmt) -> bool:
    if not isinstance(node, ast.ClassDef):
        return False
    assigned = (target for each in node.body if isinstance(each, ast.Assign) for target in each.targets)
    names = {name.id for target in assigned for name in ast.walk(target) if isinstance(name, ast.Name)}
    return "code" in names


def too_long(source: Source) -> Iterator[Finding]:
    """Far past 250 lines there is a second noun."""
    lines = source.text.count("\n")
    if lines > LONGEST:
        yield lines, f"{lines} lines"


def mocks(source: Source) -> Iterator[Finding]:
    """Factories and fakes over mocks."""
    for node in ast.walk(source.tree):
        names = [name.name for name in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if any("mock" in f"{module}.{name}".split(".") for name in names):
            yield getattr(node, "lineno", 0), "a mock"
        if isinstance(node, ast.arg) and node.arg == "mocker":
            yield node.lineno, "a mock"


def sleeps(source: Source) -> Iterator[Finding]:
    """A test waits for what it means (:mod:`waiting`), not for a time that somebody guessed."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr == "sleep" and isinstance(node.value, ast.Name) and node.value.id == "time":
            yield node.lineno, "time.sleep"
        if isinstance(node, ast.ImportFrom) and node.module == "time" and any(name.name == "sleep" for name in node.names):
            yield node.lineno, "time.sleep"


# ---- the exceptions, each with its reason

Rule = Callable[[Source], Iterator[Finding]]

EVERYWHERE: dict[Rule, dict[str, str]] = {
    swallowed_exceptions: {},
    clocks_and_chances: {
        "controlplane/clock.py": "the one file that asks the outside for them",
        "controlplane/api/query.py": "request ids",
        "controlplane/api/rest.py": "request ids",
        "controlplane/api/agent_requests.py": "request ids",
        "controlplane/api/caller.py": "request ids",
        "controlplane/api/guarded.py": "request ids",
        "controlplane/pki/secret.py": "makes up the secrets of join tokens and access keys",
        "archives/unique.py": "makes up names of files that are being written, and identities of archives",
        "agents/clock.py": "the one file of an agent that asks what time it is",
        "agents/relay_front.py": "asks an engine for a key that nobody can have",
        "agents/folder.py": "makes up the name of an agent at its first start",
        "cachewright/demo/clock.py": "dates what a client sees, to put it beside what the server dates",
        "cachewright/cli/snapshot.py": "dates the name that it makes up for a snapshot",
        "cachewright/pytest_plugin.py": "gives each test an account of its own",
    },
    environment: {
        "cachewright/credentials.py": "the caller's access key, in the variables that AWS's tools have for it or in ours",
        "agents/engines/rdb_check.py": "a checker inherits where its libraries are, and nothing else",
        "agents/runtimes/process.py": "what an engine inherits is chosen name by name, so that no credentials reach it",
        "agents/runtimes/system.py": "asks psutil for the environment of a process, to find its label",
    },
    bare_clusters: {},
    empty_words: {},
    undocumented: {},
    too_long: {},
}

IN_TESTS: dict[Rule, dict[str, str]] = {
    mocks: {},
    sleeps: {"tests/waiting.py": "the one place that sleeps between two looks"},
}


def breaches(rule: Rule, found_in: tuple[Source, ...], excused: dict[str, str]) -> list[str]:
    return [f"{source.path}:{line}: {what}" for source in found_in if source.path not in excused for line, what in rule(source)]


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_the_programs_keep(rule: Rule) -> None:
    assert breaches(rule, sources(*PROGRAMS), EVERYWHERE[rule]) == [], rule.__doc__


@pytest.mark.parametrize("rule", IN_TESTS, ids=lambda rule: rule.__name__)
def test_the_tests_keep(rule: Rule) -> None:
    assert breaches(rule, sources("tests"), IN_TESTS[rule]) == [], rule.__doc__


@pytest.mark.parametrize("rule", [*EVERYWHERE, *IN_TESTS], ids=lambda rule: rule.__name__)
def test_no_exception_has_outlived_its_reason(rule: Rule) -> None:
    excused = {**EVERYWHERE, **IN_TESTS}[rule]
    needed = {source.path for source in sources(*PROGRAMS, "tests") if any(rule(source))}
    assert set(excused) - needed == set()


# ---- the rules themselves: each must notice what it is for


@pytest.mark.parametrize(
    ("rule", "code", "noticed"),
    [
        (swallowed_exceptions, "try: f()\nexcept Exception: pass", True),
        (swallowed_exceptions, "try: f()\nexcept: pass", True),
        (swallowed_exceptions, "try: f()\nexcept (ValueError, BaseException): pass", True),
        (swallowed_exceptions, "try: f()\nexcept Exception: log.warning('x')", True),
        (swallowed_exceptions, "try: f()\nexcept Exception: log.exception('x')", False),
        (swallowed_exceptions, "try: f()\nexcept Exception as e: raise E from e", False),
        (swallowed_exceptions, "try: f()\nexcept ValueError: pass", False),
        (clocks_and_chances, "datetime.now(UTC)", True),
        (clocks_and_chances, "time.time()", True),
        (clocks_and_chances, "from time import time", True),
        (clocks_and_chances, "def f():\n    import uuid", True),
        (clocks_and_chances, "from random import choice", True),
        (clocks_and_chances, "clock.now()", False),
        (clocks_and_chances, "from datetime import datetime", False),
        (environment, "os.environ['X']", True),
        (environment, "from os import getenv\ngetenv('X')", True),
        (environment, "settings.environment", False),
        (bare_clusters, "cluster = 1", True),
        (bare_clusters, "def f(_cluster): ...", True),
        (bare_clusters, "class Cluster: ...", True),
        (bare_clusters, "cache_cluster = cluster_mode = 1", False),
        (undocumented, "'''M.'''\ndef f(): ...", True),
        (undocumented, "'''M.'''\nclass C: ...", True),
        (undocumented, "x = 1", True),
        (undocumented, "'''M.'''\ndef _f(): ...", False),
        (undocumented, "'''M.'''\ndef f():\n    '''Says.'''", False),
        (undocumented, "'''M.'''\nclass Gone(NotFound):\n    code, status, says = 'Gone', 404, 'It is gone.'", False),
        (too_long, "x = 1\n" * LONGEST, False),
        (too_long, "x = 1\n" * (LONGEST + 1), True),
        (mocks, "from unittest import mock", True),
        (mocks, "import unittest.mock", True),
        (mocks, "from unittest.mock import patch", True),
        (mocks, "def test_x(mocker): ...", True),
        (mocks, "from agents.runtimes.fake import FakeRuntime", False),
        (sleeps, "time.sleep(1)", True),
        (sleeps, "from time import sleep", True),
        (sleeps, "'time.sleep(1)'", False),
    ],
)
def test_a_rule_notices(rule: Rule, code: str, noticed: bool) -> None:
    assert bool(list(rule(parsed(code)))) is noticed


@pytest.mark.parametrize(
    ("stem", "noticed"), [("utils", True), ("task_manager", True), ("base", True), ("database", False), ("rounds", False)]
)
def test_a_name_without_a_noun_is_noticed(stem: str, noticed: bool) -> None:
    assert bool(list(empty_words(Source(f"agents/{stem}.py", "", ast.Module([], []))))) is noticed
