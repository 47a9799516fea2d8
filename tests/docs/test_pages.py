"""The pages say what is true: generated ones are fresh, links lead somewhere, the README's code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cachewright import local_server
from docs.generate import PAGES

ROOT = Path(__file__).parents[2]
PROSE = sorted(path for path in ROOT.rglob("*.md") if not {".venv", "node_modules", ".git"} & set(path.parts))


@pytest.mark.parametrize("page", sorted(PAGES))
def test_a_generated_page_is_fresh(page: str) -> None:
    assert _lasting((ROOT / "docs" / page).read_text()) == _lasting(PAGES[page]()), "run: make docs"


def _lasting(text: str) -> list[str]:
    """Without the list of what is not built, which grows with the installed botocore."""
    return [line for line in text.splitlines() if not line.startswith("CompleteMigration, ")]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text())
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing


def test_the_readme_names_its_two_commands_and_the_makefile_has_them() -> None:
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for command in ("demo", "test", "serve"):
        assert f"make {command}" in readme
        assert re.search(rf"^{command}:", makefile, re.MULTILINE)


def test_the_main_job_of_the_readme_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    with local_server() as server:
        exec(compile(block[1].replace("http://127.0.0.1:8379", server.url), "README.md", "exec"), {})
    assert "hello" in capsys.readouterr().out


def test_every_decision_page_has_its_parts() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert pages
    for page in pages:
        for part in ("Situation", "Decision", "Because", "We give up", "Look again when"):
            assert f"**{part}.**" in page.read_text(), f"{page.name} lacks {part}"
