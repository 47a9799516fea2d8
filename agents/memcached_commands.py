"""Where each Memcached command begins in what a client sends, so that a command for us is found and a value is never taken for one.

Follows the text protocol as memcached 1.6 reads it, its tolerance included, at whatever bytes the stream happens to be cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_LONGEST_QUESTION = 512  # bytes of a line that may still become a ``config`` command; a longer one is none
_LONGEST_LINE = 16 * 1024  # bytes of an unfinished line that are remembered; only retrievals may be longer
_LONGEST_KEY = 250
_MOST_META_WORDS = 19
_LONGEST_VALUE = 2**31 - 3

_WITH_VALUE = rb"set|add|replace|append|prepend|cas|ms"
_PLAIN_LINES = re.compile(rb"(?:(?! *(?:" + _WITH_VALUE + rb"|config))[^\n]*+\n)++")
"""A run of whole lines that neither are followed by a value nor are for us."""

_plain_lines, _only_plain_lines = _PLAIN_LINES.match, _PLAIN_LINES.fullmatch

_USUAL_STORE = rb"(?:set|add|replace|append|prepend) [^ \r\n]{1,250}+ \d{1,9}+ -?\d{1,9}+ (%s)(?: noreply)?\r\n"
_usual_store = re.compile(_USUAL_STORE % rb"\d{1,9}").match
"""A storage command as clients write it; what is rarer is taken apart word by word."""

_Find = Callable[[bytes, int], re.Match[bytes] | None]
_runs: dict[bytes, _Find] = {}
"""By length: a run of storage commands with values of that length, which is what a pipeline that fills a cache often is."""

_MOST_RUNS = 64  # lengths that are worth a pattern; it takes longer to make one than to follow a hundred commands without

_question_begun = re.compile(rb" *(?:c|co|con|conf|confi|config(?: [^\n]*)?)?\Z").match
_number = re.compile(rb"[ \t\n\v\f\r]*([+-]?\d+)(?:[ \t\n\v\f\r].*)?\Z", re.DOTALL).match

Substitute = Callable[[bytes], bytes]
"""What to send to the engine in place of ``config get`` with that key."""


class Commands:
    """What one client sends, followed command by command."""

    def __init__(self, substitute: Substitute) -> None:
        self._substitute = substitute
        self._value = 0  # bytes still to come of a value, with its line end
        self._begun = b""  # an unfinished line of which all was passed on
        self._held = b""  # an unfinished line that may become a question, of which nothing was passed on
        self._length = b""  # of the value before
        self._between = True  # nothing is unfinished: what comes next begins a command
        self.quiet = True
        """Whether nothing was passed on yet: the engine then owes no answer."""

    def take(self, data: bytes) -> bytes:
        """What is to be sent to the engine for what the client sent."""
        if self._between and _is_whole(data):  # nearly always: one command, or some that carry no value
            self.quiet = False
            return data
        passed = self._take(data)
        self._between = not (self._value or self._begun or self._held)
        self.quiet = self.quiet and not passed
        return passed

    def _take(self, data: bytes) -> bytes:
        if self._value >= len(data):
            self._value -= len(data)
            return data
        if self._held:
            data, self._held = self._held + data, b""
        at, self._value = self._value, 0
        if self._begun:
            at = self._finish_line(data)
        return self._walk(data, at)

    def _walk(self, data: bytes, at: int) -> bytes:
        """``at`` is where a command begins, or the end."""
        done: list[bytes] = []
        sent = 0
        while at < len(data):
            if plain := _plain_lines(data, at):
                at = plain.end()
            elif store := _usual_store(data, at):
                at = self._after(store, data)
            elif (end := data.find(b"\n", at)) < 0:
                return self._put_off(data, at, sent, done)
            else:
                line, begin, at = data[at : end + 1], at, end + 1
                if key := _key_of_question(line):
                    self.quiet = self.quiet and begin == sent
                    done += (data[sent:begin], self._substitute(key))
                    sent = at
                else:
                    at += _value_after(line)
        self._value = at - len(data)
        return b"".join((*done, data[sent:])) if sent else data

    def _after(self, store: re.Match[bytes], data: bytes) -> int:
        """Where the command after a storage command begins, or after a run of those that are as long as it and the one before."""
        end, length = store.end() + int(store[1]) + 2, store[1]
        if length == self._length and end < len(data) and (run := _run_of(length)) and (found := run(data, store.start())):
            return found.end()
        self._length = length
        return end

    def _put_off(self, data: bytes, at: int, sent: int, done: list[bytes]) -> bytes:
        """The line that begins at ``at`` is unfinished: held back while it may become a question, else passed on and remembered."""
        rest = data[at:]
        if len(rest) <= _LONGEST_QUESTION and _question_begun(rest):
            self._held = rest
            return b"".join((*done, data[sent:at]))
        self._begun = rest[:_LONGEST_LINE]
        return b"".join((*done, data[sent:])) if sent else data

    def _finish_line(self, data: bytes) -> int:
        """Where the command after the line begins that was begun earlier."""
        end = data.find(b"\n") + 1
        if not end:
            self._begun += data[: _LONGEST_LINE - len(self._begun)]
            return len(data)
        line, self._begun = self._begun + data[:end], b""
        return end + _value_after(line)


def _is_whole(data: bytes) -> bool:
    """Whether it is one storage command with its value, or lines without any, and no question."""
    if _only_plain_lines(data):
        return True
    store = _usual_store(data)
    return store is not None and store.end() + int(store[1]) + 2 == len(data)


def _run_of(length: bytes) -> _Find | None:
    """What finds a run of values of that length, if that is one of the lengths that were worth it."""
    if length not in _runs and len(_runs) < _MOST_RUNS and int(length) <= _LONGEST_LINE:
        store = _USUAL_STORE.replace(b"(%s)", b"%s") % length
        _runs[length] = re.compile(rb"(?:" + store + rb".{%d}\r\n)++" % int(length), re.DOTALL).match
    return _runs.get(length)


def _words(line: bytes) -> list[bytes]:
    """The words of a line as the engine sees them: it knows no blank but the space, and a line ends at LF, CRLF or a zero byte."""
    text = line[:-1].removesuffix(b"\r").partition(b"\0")[0]
    return [word for word in text.split(b" ") if word]


def _key_of_question(line: bytes) -> bytes | None:
    """The key of ``config get <key>``; None for any other line."""
    words = _words(line)
    return words[2] if len(words) == 3 and words[:2] == [b"config", b"get"] else None


def _value_after(line: bytes) -> int:
    """How many bytes of value follow the line, their line end included; 0 when the engine takes the next line for a command."""
    words = _words(line)
    name = words[0] if words else b""
    if name in (b"set", b"add", b"replace", b"append", b"prepend"):
        length = _length(words, (5, 6))
    elif name == b"cas":
        length = _length(words, (6, 7)) if len(words) > 5 and _unsigned(words[5]) else None
    elif name == b"ms":
        length = _signed(words[2]) if 3 <= len(words) <= _MOST_META_WORDS and len(words[1]) <= _LONGEST_KEY else None
    else:
        return 0
    return length + 2 if length is not None and 0 <= length <= _LONGEST_VALUE else 0


def _length(words: list[bytes], numbers: tuple[int, ...]) -> int | None:
    if len(words) not in numbers or len(words[1]) > _LONGEST_KEY or not _unsigned(words[2]) or _signed(words[3]) is None:
        return None
    return _signed(words[4])


def _signed(word: bytes) -> int | None:
    """The word as a number, read as the engine reads it: as one of 64 bits, of which it keeps 32. None where it is none."""
    found = _number(word)
    value = int(found[1]) if found and len(found[1]) < 64 else None
    return (value + 2**31) % 2**32 - 2**31 if value is not None and -(2**63) <= value < 2**63 else None


def _unsigned(word: bytes) -> bool:
    """Whether the word is an unsigned number, read as C reads it: a small negative one is not, one that wraps around is."""
    found = _number(word)
    value = int(found[1]) if found and len(found[1]) < 64 else None
    return value is not None and abs(value) < 2**64 and (value >= 0 or value % 2**64 < 2**63)
