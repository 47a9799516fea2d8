"""The page on endpoints: its code runs as written against a server that serves names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cachewright import local_server

PAGE = Path(__file__).parents[2] / "docs" / "endpoints.md"


def test_the_code_of_the_page_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    block = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    with local_server(options=["--dns-listen", "127.0.0.1:0"]) as server:
        assert server.dns is not None
        code = block[1].replace("http://127.0.0.1:8379", server.url).replace("8353", str(server.dns[2]))
        exec(compile(code, "endpoints.md", "exec"), {})
    assert re.fullmatch(r"hello from orders\.[a-z0-9]{6}\.ng\.0001\.use1\.cache\.cachewright\.internal\n", capsys.readouterr().out)
