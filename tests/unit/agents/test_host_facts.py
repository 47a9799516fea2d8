"""What an agent finds out about its host."""

from __future__ import annotations

import pytest

from agents.host_facts import bytes_of, physical_memory, why_unusable


@pytest.mark.parametrize(
    ("size", "number"),
    [("1073741824", 2**30), ("8G", 8 * 2**30), ("8GiB", 8 * 2**30), ("512 mb", 512 * 2**20), ("1.5g", 3 * 2**29), ("1T", 2**40), ("4k", 4096)],
)
def test_a_size_is_read_as_people_write_it(size: str, number: int) -> None:
    assert bytes_of(size) == number


@pytest.mark.parametrize("size", ["", "G", "-1G", "8X", "8 G B", "1e9"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match="such as 8G"):
        bytes_of(size)


def test_the_host_has_memory() -> None:
    memory = physical_memory()
    assert memory is not None
    assert memory > 2**28


def test_loopback_addresses_need_no_set_up() -> None:
    assert why_unusable("127.99.7.0/24") is None


def test_addresses_that_are_not_the_hosts_are_named_with_what_to_do() -> None:
    said = why_unusable("198.51.100.0/28")
    assert said is not None
    assert said.startswith("198.51.100.1, 198.51.100.2, 198.51.100.3 and 11 more of 198.51.100.0/28 cannot be listened at")
    assert "ip addr add 198.51.100.1/32" in said
