"""The demo, as `make demo` runs it: what it prints, writes and promises."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from end_to_end.command_line import CommandLine


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The demo's JSON, from a run in an empty folder."""
    user = CommandLine(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("folder"))
    found: dict[str, Any] = user.json("demo", timeout=110)
    return found


@pytest.fixture(scope="module")
def variants(demo: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The demo's variants by name."""
    return {variant["name"]: variant for variant in demo["variants"]}


def test_fp32_is_accurate_on_the_device_and_equal_to_the_host(variants: dict[str, dict[str, Any]]) -> None:
    assert variants["fp32"]["accuracy"] >= 0.95
    assert variants["fp32"]["agreement"] == 1.0


def test_variants_are_as_small_as_their_bits_promise(variants: dict[str, dict[str, Any]]) -> None:
    full = variants["fp32"]["bytes"]
    assert variants["fp16"]["bytes"] <= 0.55 * full
    assert variants["int8"]["bytes"] <= 0.35 * full
    assert variants["int4"]["bytes"] <= 0.22 * full


def test_every_variant_is_measured(demo: dict[str, Any]) -> None:
    for variant in demo["variants"]:
        assert 0 < variant["latency_ms"]["p50"] <= variant["latency_ms"]["p90"]
        assert variant["peak_memory_bytes"] > 0
        assert variant["operators"]
    assert demo["variants"][0]["latency_ms"]["p50"] >= 0.3


def test_the_training_is_traced_to_a_commit(demo: dict[str, Any]) -> None:
    assert len(demo["train"]["commit"]) == 40
    assert demo["train"]["seconds"] > 0


def test_the_trace_names_the_models_operators(demo: dict[str, Any], variants: dict[str, dict[str, Any]]) -> None:
    events = [event for event in json.loads(Path(demo["trace"]).read_text())["traceEvents"] if event["ph"] == "X"]
    assert {event["name"] for event in events} == {operator["name"] for operator in variants["fp32"]["operators"]}
    assert any(event["name"] == "conv1" for event in events)


def test_the_report_needs_nothing_but_itself(demo: dict[str, Any]) -> None:
    sources: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            sources.extend(value or "" for name, value in attrs if name in ("src", "href"))

    text = Path(demo["report"]).read_text()
    Links().feed(text)
    assert not [source for source in sources if source and not source.startswith("#")]
    assert all(variant["name"] in text for variant in demo["variants"])


def test_nothing_of_the_demo_is_left_running(demo: dict[str, Any]) -> None:
    home = Path(demo["report"]).parent / ".home"
    assert not json.loads(CommandLine(home, home).run("status", "--json"))["is_running"]


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    error = CommandLine(tmp_path / "home", tmp_path).fail("demo", "--output", "mine")
    assert error["code"] == "conflict"
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"
