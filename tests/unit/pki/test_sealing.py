"""Secrets are sealed with a key in a file of its own, which others cannot read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from controlplane.pki.sealing import Sealer, SealingError


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_what_is_sealed_is_opened_again_with_the_same_file_which_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "new" / "secrets.key"
    sealed = Sealer(file).seal("a secret")
    assert "a secret" not in sealed
    assert Sealer(file).open(sealed) == "a secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["secrets.key"]


def test_nothing_is_made_before_it_is_needed(tmp_path: Path) -> None:
    Sealer(tmp_path / "secrets.key")
    assert list(tmp_path.iterdir()) == []


def test_another_key_opens_nothing_and_tells_nothing(tmp_path: Path) -> None:
    sealed = Sealer(tmp_path / "one").seal("a secret")
    with pytest.raises(SealingError, match="sealed with another key") as refused:
        Sealer(tmp_path / "other").open(sealed)
    assert sealed not in str(refused.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Sealer(tmp_path / "key").seal("x")
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(SealingError, match=r"can be read or changed by others \(mode 0640\)"):
        Sealer(tmp_path / "key").seal("x")


def test_a_file_that_is_no_key_is_refused_without_a_word_of_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("mysterious")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(SealingError, match="holds no key for secrets") as refused:
        Sealer(tmp_path / "key").seal("x")
    assert "mysterious" not in str(refused.value)


def test_of_many_that_begin_at_once_one_makes_the_key_for_all(tmp_path: Path) -> None:
    sealers = [Sealer(tmp_path / "key") for _ in range(2)]
    (tmp_path / f"key.{os.getpid()}").touch()  # what a program that was killed has left
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(sealers[0].seal, ["x"] * 8))
    assert {sealers[1].open(each) for each in sealed} == {"x"}
