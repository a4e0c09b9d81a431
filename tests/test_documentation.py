"""The documentation tells what the code does: generated lists are fresh, links lead somewhere, examples are Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import generate
import pytest
import reference

import edgeloop
from edgeloop import testing
from edgeloop.declared import HOOKS
from edgeloop_daemon.http.routes import Call, Route
from edgeloop_shared.errors import EdgeloopError

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
NAMES = [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_the_generated_regions_are_up_to_date(page: Path) -> None:
    text = page.read_text()
    assert generate.regenerated(text) == text, "stale: run `make docs`"


def test_every_generator_fills_a_region_and_every_region_is_closed() -> None:
    text = "".join(page.read_text() for page in PAGES)
    begun = re.findall(r"<!-- generated: ([a-z-]+) -->", text)
    assert sorted(begun) == sorted(generate.GENERATORS)
    assert text.count("<!-- end -->") == len(begun)


def test_a_stale_page_is_found_named_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("Before.\n\n<!-- generated: patterns -->\nold\n<!-- end -->\n\nAfter.\n")
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    assert generate.main(["--check"]) == 1
    printed = capsys.readouterr()
    assert "-old" in printed.out
    assert "make docs" in printed.err
    assert page.read_text().count("old") == 1
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert page.read_text().startswith("Before.\n\n<!-- generated: patterns -->\n\n| word |")
    assert page.read_text().endswith("<!-- end -->\n\nAfter.\n")


def test_a_region_that_nobody_fills_is_an_error() -> None:
    with pytest.raises(KeyError, match="nonsense"):
        generate.regenerated("<!-- generated: nonsense -->\n<!-- end -->")


def test_every_hook_and_every_public_name_of_the_plugin_api_is_documented() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    assert len(HOOKS) >= 5
    for name, hook in HOOKS.items():
        assert f"### `{name}`" in text
        assert hook.__doc__
    for name in edgeloop.__all__:
        assert name in text, f"edgeloop.{name} is not in docs/plugins.md"
    for name in testing.__all__:
        assert f"### `{name}`" in text, f"edgeloop.testing.{name} is not in docs/plugins.md"


def test_every_hook_has_a_test() -> None:
    """A test of a hook is marked `@pytest.mark.hook(NAME)`."""
    marked = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r'mark\.hook\("(\w+)"\)', file.read_text())
    }
    assert marked == set(HOOKS)


def test_every_error_code_is_documented() -> None:
    text = (ROOT / "docs" / "errors.md").read_text()
    for code, kind in EdgeloopError.registry.items():
        if kind.__module__ == EdgeloopError.__module__:
            assert f"| `{code}` | {kind.http_status} | `{kind.__name__}` |" in text


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the anchor of every link of a page that stays within the repository."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if not target.startswith(("http://", "https://")):
            file, _, anchor = target.partition("#")
            yield (page.parent / file if file else page), anchor


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=[*NAMES, "the README"])
def test_links_lead_somewhere(page: Path) -> None:
    for file, anchor in links(page):
        assert file.exists(), f"{page.name} links to {file}, which does not exist"
        assert not anchor or anchor in anchors(file), f"{page.name} links to #{anchor} of {file.name}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_lists_every_page() -> None:
    listed = {file.name for file, _ in links(ROOT / "docs" / "README.md")}
    assert listed >= {page.name for page in PAGES} - {"README.md"}


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_python_examples_compile(page: Path) -> None:
    for number, block in enumerate(python_blocks(page)):
        compile(block, f"{page.name}, block {number}", "exec")


@dataclass(frozen=True)
class Wait:
    wait: float = 0


async def _handle(call: Call) -> None:
    """Answer nothing."""


def test_routes_are_listed_by_their_tag() -> None:
    routes = (
        Route("GET", "/jobs/{job}", "get_job", "Show a job.", _handle, result=dict, query=Wait, tag="jobs"),
        Route("DELETE", "/tokens/{token}", "revoke", "Revoke a token | for good.", _handle, status=204),
        Route("GET", "/f/{name:.+}", "file", "Download it.", _handle, media="application/octet-stream", tag="jobs"),
        Route("GET", "/trace", "trace", "Export it.", _handle, tag="jobs"),
    )
    assert reference.routes_table(routes).splitlines() == [
        "### Jobs",
        "",
        "| method | path | does | takes | answer |",
        "| --- | --- | --- | --- | --- |",
        "| GET | `/jobs/{job}` | Show a job. | ?`wait` | 200 `dict` |",
        "| GET | `/f/{name}` | Download it. |  | 200 `application/octet-stream` |",
        "| GET | `/trace` | Export it. |  | 200 `application/json` |",
        "",
        "### Daemon",
        "",
        "| method | path | does | takes | answer |",
        "| --- | --- | --- | --- | --- |",
        "| DELETE | `/tokens/{token}` | Revoke a token \\| for good. |  | 204 |",
    ]
