"""The front against what the engine takes for a command: streams cut anywhere, and a reference that reads them whole."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.memcached_commands import Commands
from agents.relay_front import Front, config_answer

LIST = b"12\na|a|1 b|b|1\n"


def passed(stream: bytes, cuts: list[int] | None = None) -> bytes:
    """What reaches the engine of a stream that arrives in pieces; each question is shown as <key>."""
    commands = Commands(lambda key: b"<%s>" % key)
    ends = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts or [])})
    return b"".join(commands.take(stream[a:b]) for a, b in pairwise(ends))


ASKED = b"config get cluster\r\n"
VALUE = b"config get cluster\r\nconfig get cluster\r\n"
STORES = [
    b"set k 0 0 40", b"add k 0 0 40 noreply", b"replace k 1 -1 40", b"append k 0 0 40", b"prepend k 0 0 40", b"cas k 0 0 40 7",
    b"cas k 0 0 40 7 noreply", b"ms k 40", b"ms k 40 T0 q", b" set  k 0 0 40 ", b"set k 0 0 +40", b"set k 4294967295 0 40", b"set k 0 0 40 x",
    b"set k 0 4294967296 40", b"set k 0 0 4294967336", b"set k 0 0 40\0x y z a b", b"set k 0 0 40\t",
]  # fmt: skip
NO_STORES = [
    b"set k 0 0", b"set k 0 0 40 a b", b"set k x 0 40", b"set k 0 x 40", b"set k 0 0 4x", b"set k 0 0 -1", b"set k -1 0 40", b"cas k 0 0 40",
    b"cas k 0 0 40 x", b"set " + b"k" * 251 + b" 0 0 40", b"ms k", b"ms k S40", b"ms k -1", b"SET k 0 0 40", b"sets k 0 0 40", b"\tset k 0 0 40",
    b"get set k 0 0 40", b"set k 0 0 2147483648", b"set k 0 0 2147483646", b"set\0 k 0 0 40", b"set k 0 0\0 40", b"set k 0 0 9223372036854775808", b"setk 0 0 40", b"mset k 0 0 40", b"verbosity 1", b"", b" ", b"get k",
    b"ms " + b"k" * 251 + b" 40", b"touch k 0", b"gat 0 k", b"incr k 1", b"mg k v", b"mn", b"me k", b"config", b"config get", b"config set cluster 0 40",
]  # fmt: skip


@pytest.mark.parametrize("line", STORES, ids=repr)
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["crlf", "lf"])
def test_a_value_is_no_question_whatever_it_contains(line: bytes, end: bytes) -> None:
    stream = line + end + VALUE[:40] + b"\r\n" + ASKED + line + end
    assert passed(stream) == line + end + VALUE[:40] + b"\r\n<cluster>" + line + end
    for cut in range(len(stream)):
        assert passed(stream, [cut]) == passed(stream), cut


@pytest.mark.parametrize("line", NO_STORES, ids=lambda line: repr(line)[:40])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["crlf", "lf"])
def test_after_any_other_line_a_command_begins(line: bytes, end: bytes) -> None:
    stream = line + end + ASKED + b"get k" + end
    assert passed(stream) == line + end + b"<cluster>get k" + end
    for cut in range(len(stream)):
        assert passed(stream, [cut]) == passed(stream), cut


@pytest.mark.parametrize(
    ("line", "key"),
    [(b"config get cluster\r\n", b"cluster"), (b"config get cluster\n", b"cluster"), (b"  config  get  other \r\n", b"other")],
)
def test_a_question_is_found_by_its_words(line: bytes, key: bytes) -> None:
    assert passed(line) == b"<" + key + b">"


@pytest.mark.parametrize(
    "line",
    [b"config get\r\n", b"config get a b\r\n", b"config set cluster 0 3\r\n", b"config delete cluster\r\n", b"CONFIG get cluster\r\n",
     b"config\r\n", b"configget cluster\r\n", b"config " + b"x" * 600 + b" cluster\r\n", b"config get\0 cluster\r\n"],
)  # fmt: skip
def test_what_is_no_question_goes_to_the_engine(line: bytes) -> None:
    assert passed(line) == line


def test_only_what_may_become_a_question_is_held_back() -> None:
    commands = Commands(lambda key: b"<%s>" % key)
    assert commands.take(b"get a\r\nge") == b"get a\r\nge"
    assert commands.take(b"t b\r\ncon") == b"t b\r\n"
    assert commands.take(b"t c\r\n") == b"cont c\r\n"
    assert commands.take(b"config get clu") == b""
    assert commands.take(b"ster\r") == b""
    assert commands.take(b"\n") == b"<cluster>"
    assert commands.take(b"config " + b"x" * 600) == b"config " + b"x" * 600


def test_a_retrieval_may_be_longer_than_what_is_remembered() -> None:
    long = b"get " + b" ".join(b"key:%d" % number for number in range(9000)) + b"\r\n"
    assert passed(long + ASKED, list(range(0, len(long), 1000))) == long + b"<cluster>"


# ---- any stream, cut anywhere, against a reference that has it whole ---------------------------------------------------------

KEYS = st.sampled_from([b"k", b"config", b"set", b"cluster"])
TEXTS = st.sampled_from([b"", b"x", b"\r\n", b"config get cluster\r\n", b"set k 0 0 5\r\n", b"\n", b"END\r\nconfig", b"a" * 300])


@st.composite
def commands_(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A command with its value, and what shall reach the engine of it."""
    end = draw(st.sampled_from([b"\r\n", b"\n"]))
    kind = draw(st.sampled_from(["store", "meta", "get", "question", "junk"]))
    key, text = draw(KEYS), draw(TEXTS)
    if kind == "question":
        line = draw(st.sampled_from([b"config get %s", b" config get  %s ", b"config  get %s"])) % key + end
        return line, b"<%s>" % key
    if kind == "store":
        verb = draw(st.sampled_from([b"set", b"add", b"replace", b"append", b"prepend", b"cas"]))
        unique = b" 99" if verb == b"cas" else b""
        quiet = draw(st.sampled_from([b"", b" noreply"]))
        command = b"%s %s 0 0 %d%s%s" % (verb, key, len(text), unique, quiet) + end + text + b"\r\n"
    elif kind == "meta":
        command = b"ms %s %d" % (key, len(text)) + draw(st.sampled_from([b"", b" T0", b" q O1"])) + end + text + b"\r\n"
    elif kind == "get":
        command = draw(st.sampled_from([b"get %s", b"gets %s config", b"mg %s v", b"delete %s noreply", b"touch %s 0"])) % key + end
    else:
        command = draw(st.binary(max_size=30).filter(lambda raw: b"\n" not in raw and not _cares(raw))) + end
    return command, command


def _cares(raw: bytes) -> bool:
    return re.match(rb" *(?:set|add|replace|append|prepend|cas|ms|config)", raw) is not None


@settings(max_examples=400, deadline=None)
@given(st.lists(commands_(), max_size=12), st.lists(st.integers(0, 5000), max_size=12))
def test_any_stream_cut_anywhere_is_followed(stream: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    assert passed(b"".join(command for command, _ in stream), cuts) == b"".join(wanted for _, wanted in stream)


# ---- answers ----------------------------------------------------------------------------------------------------------------


class Engine:
    """Answers line by line as an engine would: the key of a miss is repeated, all else is echoed."""

    def answer(self, sent: bytes) -> bytes:
        lines = sent.split(b"\r\n")[:-1]
        return b"".join(b"NF k%s\r\n" % line.split()[1] if line.startswith(b"md ") else b"<%s>\r\n" % line for line in lines)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([b"config get cluster", b"config get x", b"get a", b"NF k0", b"mn"]), max_size=20),
       st.lists(st.integers(0, 3000), max_size=10), st.lists(st.integers(0, 3000), max_size=10))  # fmt: skip
def test_answers_come_in_the_order_of_the_questions(lines: list[bytes], cuts: list[int], more_cuts: list[int]) -> None:
    front, engine = Front(lambda: LIST), Engine()
    stream = b"".join(line + b"\r\n" for line in lines)
    ends = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    said = engine.answer(b"".join(front.to_engine(stream[a:b]) for a, b in pairwise(ends)))
    at_once = front.answered()
    ends = sorted({0, len(said), *(cut % (len(said) + 1) for cut in more_cuts)})
    heard = b"".join(front.to_client(said[a:b]) for a, b in pairwise(ends))
    ours = {b"config get cluster": config_answer(LIST), b"config get x": b"END\r\n"}
    assert at_once + heard == b"".join(ours.get(line, b"<%s>\r\n" % line) for line in lines)


def test_the_frame_of_an_answer() -> None:
    assert config_answer(LIST) == b"CONFIG cluster 0 15\r\n12\na|a|1 b|b|1\n\r\nEND\r\n"
    assert config_answer(b"12\n" + b"n" * 132 + b"\n").startswith(b"CONFIG cluster 0 136\r\n")
    assert config_answer(None) == b"END\r\n"


def test_without_a_list_there_is_nothing_to_tell() -> None:
    front = Front(lambda: None)
    assert (front.to_engine(ASKED), front.answered(), front.answered()) == (b"", b"END\r\n", b"")
    assert front.to_client(Engine().answer(front.to_engine(b"get a\r\n" + ASKED))) == b"<get a>\r\nEND\r\n"


def test_at_first_the_engine_need_not_be_asked() -> None:
    front = Front(lambda: LIST)
    assert front.to_engine(ASKED + b"config get x\r\ncon") == b""
    assert front.answered() == config_answer(LIST) + b"END\r\n"
    assert front.to_engine(b"fig get cluster\r\nget a\r\n") == b"get a\r\n"
    assert front.answered() == config_answer(LIST)
    assert front.to_engine(ASKED).startswith(b"md ")
    assert front.answered() == b""
    late = Front(lambda: LIST)
    assert late.to_engine(b"get a\r\n" + ASKED).startswith(b"get a\r\nmd ")
    assert late.answered() == b""


def test_what_an_engine_says_is_passed_on_at_once_while_nothing_is_asked() -> None:
    assert Front(lambda: LIST).to_client(b"VALUE a 0 3\r\nNF ") == b"VALUE a 0 3\r\nNF "
