"""The pages: every link leads somewhere, every page is listed, decisions are numbered in a row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md")), ROOT / "data" / "README.md"]
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))


def links(page: Path) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    return [each for each in found if "://" not in each]


def anchors(page: Path) -> set[str]:
    """What a code host makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(page: Path) -> None:
    """A path in code type is told from the root, or from the package."""
    named = re.findall(r"`([\w./-]+/[\w.-]*\.(?:py|md|yaml|parquet|lock))`", page.read_text())
    folders = (ROOT, ROOT / "gateway_lab", page.parent)
    assert [each for each in named if not any((at / each).exists() for at in folders)] == []


def test_every_page_is_listed() -> None:
    listed = {(DOCS / each).resolve() for each in links(DOCS / "README.md")}
    pages = {page for page in DOCS.rglob("*.md") if page.name != "README.md"}
    assert pages - listed == set()


def test_decisions_are_numbered_in_a_row() -> None:
    assert [page.name[:4] for page in DECISIONS] == [f"{n:04}" for n in range(len(DECISIONS))]


@pytest.mark.parametrize("page", DECISIONS[1:], ids=lambda page: page.stem)
def test_a_decision_says_why_and_until_when(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.name[:4]} ")
    parts = ["**Context.**", "**Choice.**", "**Rejected.**", "**What would change it.**"]
    assert re.findall(r"^\*\*[^*]+\.\*\*", text, re.MULTILINE) == parts
