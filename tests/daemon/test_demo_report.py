"""The demo's report: complete, well-formed, self-contained, and safe whatever the texts in it say."""

from __future__ import annotations

import dataclasses
import math
from html.parser import HTMLParser

import pytest

from edgeloop_daemon.cli.demo_result import CurvePoint, DemoResult, Latency, OperatorTime, Training, Variant
from edgeloop_daemon.cli.report import report_page
from edgeloop_daemon.cli.report_plots import Scale, curve, escaped
from edgeloop_shared.significance import Difference

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror='alert(2)'>\"&\x00\u202e"
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """A strict reading of a page: every element is closed in its turn; texts and attributes are collected."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.attributes.extend((tag, name, value or "") for name, value in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and "style" not in self._open:
            self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def variant(name: str, size: int, accuracy: float, p50: float, *, is_noise: bool | None = None) -> Variant:
    """Return a variant; `is_noise` None makes it the reference."""
    difference = None if is_noise is None else Difference(accuracy - 0.975, is_noise, "3 gained, 5 lost")
    return Variant(
        name=name,
        description=f"the description of {name}",
        bytes=size,
        accuracy=accuracy,
        agreement=0.9375,
        latency_ms=Latency(p50, p50 * 1.2),
        session_memory_bytes=2_062_744,
        peak_memory_bytes=9_531_392,
        deciles_ms=tuple(p50 * (0.96 + 0.01 * index) for index in range(9)),
        rounds_p50_ms=(p50, p50 * 1.01),
        operators=(OperatorTime("conv1", "Convolution", 300.0), OperatorTime("relu1", "ReLU", 100.0)),
        accuracy_difference=difference,
        latency_difference=None if is_noise is None else Difference(p50 - 0.61, is_noise, "rounds overlap"),
    )


@pytest.fixture
def demo() -> DemoResult:
    return DemoResult(
        variants=(
            variant("fp32", 1_496_984, 0.975, 0.61),
            variant("int8", 381_288, 0.9725, 0.623, is_noise=True),
            variant("int4", 193_364, 0.91, 0.734, is_noise=False),
        ),
        device={
            "name": "pocket",
            "platform": "linux",
            "system": "Debian 12",
            "processor": "x86-64",
            "cores": 2,
            "memory_bytes": 8_000_000_000,
            "app_version": "0.1.0",
            "python_version": "3.11.2",
            "mnn_version": "3.6.1",
            "is_virtual": True,
        },
        train=Training(
            7.5,
            0.978,
            "c0ffee" * 6 + "abcd",
            tuple(CurvePoint(step, {"loss": 2 / step, "accuracy": 1 - 1 / step}) for step in range(10, 110, 10)),
        ),
        samples=360,
        seconds=41.2,
        report="report.html",
        trace="trace.json",
    )


def with_variant(demo: DemoResult, **changes: object) -> DemoResult:
    """Return `demo` with its reference variant changed."""
    reference, *others = demo.variants
    return dataclasses.replace(demo, variants=(dataclasses.replace(reference, **changes), *others))  # type: ignore[arg-type]


def test_every_variant_shows_its_figures(demo: DemoResult) -> None:
    text = Page(report_page(demo)).text
    for figures in (
        "fp32 the description of fp32 1.5 MB 97.5 % 93.8 % 0.610 ms 0.732 ms 2.1 MB 9.5 MB",
        "int8 the description of int8 381.3 kB 0.25× 97.2 % −0.2 points (noise) 93.8 % 0.623 ms +0.013 ms (noise) 0.748 ms",
        "int4 the description of int4 193.4 kB 0.13× 91.0 % −6.5 points 93.8 % 0.734 ms +0.124 ms 0.881 ms",
    ):
        assert figures in text


def test_the_headline_names_the_smallest_variant_that_keeps_its_accuracy(demo: DemoResult) -> None:
    assert "int8 takes 25 % of fp32's bytes" in Page(report_page(demo)).text


def test_the_headline_claims_nothing_where_every_variant_lost(demo: DemoResult) -> None:
    only_losers = dataclasses.replace(demo, variants=(demo.variants[0], demo.variants[2]))
    text = Page(report_page(only_losers)).text
    assert "fp32 is right on 97.5 % of the digits" in text
    assert "no accuracy is lost" not in text


def test_device_commit_and_training_are_shown(demo: DemoResult) -> None:
    text = Page(report_page(demo)).text
    for fact in ("pocket", "Debian 12", "2 cores", "8.0 GB", "3.6.1", demo.train.commit, "7.5 s", "41 s", "97.8 %"):
        assert fact in text


def test_operators_are_shown_with_time_and_share(demo: DemoResult) -> None:
    text = Page(report_page(demo)).text
    assert "conv1 Convolution" in text
    assert "300.0 µs · 75.0 %" in text
    assert "100.0 µs · 25.0 %" in text


def test_many_operators_end_in_a_sum_of_the_rest(demo: DemoResult) -> None:
    many = tuple(OperatorTime(f"conv{index}", "Convolution", 10.0) for index in range(100))
    page = Page(report_page(with_variant(demo, operators=many)))
    assert "86 others" in page.text
    assert "860.0 µs · 86.0 %" in page.text


def test_the_page_loads_and_runs_nothing(demo: DemoResult) -> None:
    page = Page(report_page(demo))
    assert not {"script", "link", "img", "iframe", "object", "embed", "image", "use", "foreignobject"} & set(page.tags)
    for _, name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in {"src", "href", "xlink:href", "action", "style"}
        assert "://" not in value
    policies = [value for _, name, value in page.attributes if name == "content" and "default-src" in value]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert "://" not in report_page(demo)
    assert "url(" not in report_page(demo)
    assert "@import" not in report_page(demo)


def test_hostile_texts_stay_texts(demo: DemoResult) -> None:
    hostile = dataclasses.replace(
        with_variant(demo, name=HOSTILE, description=HOSTILE, operators=(OperatorTime(HOSTILE, HOSTILE, 1.0),) * 2),
        device=dict.fromkeys(demo.device, HOSTILE),
        train=dataclasses.replace(demo.train, commit=HOSTILE),
    )
    hostile = dataclasses.replace(
        hostile,
        variants=(
            hostile.variants[0],
            dataclasses.replace(hostile.variants[1], accuracy_difference=Difference(0.1, True, HOSTILE)),
        ),
    )
    source = report_page(hostile)
    page, plain = Page(source), Page(report_page(demo))
    assert set(page.tags) == set(plain.tags)
    assert {(tag, name) for tag, name, _ in page.attributes} == {(tag, name) for tag, name, _ in plain.attributes}
    assert "<script" not in source
    assert "\x00" not in source
    assert "\u202e" not in source
    assert "<script>alert(1)</script>" in page.text
    source.encode()


def test_lone_surrogates_do_not_keep_the_page_from_being_written(demo: DemoResult) -> None:
    report_page(with_variant(demo, name="a\ud800b")).encode()


def test_numbers_that_are_none_leave_the_page_whole(demo: DemoResult) -> None:
    odd = with_variant(
        demo,
        accuracy=math.nan,
        latency_ms=Latency(math.inf, math.nan),
        deciles_ms=(math.nan,) * 9,
        operators=(OperatorTime("conv1", "Convolution", math.nan), OperatorTime("conv2", "Convolution", math.inf)),
    )
    page = Page(report_page(odd))
    drawn = [
        value for _, name, value in page.attributes if name in {"x", "x1", "x2", "cx", "cy", "y", "width", "points"}
    ]
    assert not [value for value in drawn if "nan" in value or "inf" in value]


def test_a_page_without_curve_operators_and_deciles_is_whole(demo: DemoResult) -> None:
    bare = with_variant(demo, operators=(), deciles_ms=())
    bare = dataclasses.replace(
        bare, variants=bare.variants[:1], train=dataclasses.replace(demo.train, curve=()), samples=0, device={}
    )
    text = Page(report_page(bare)).text
    assert "No run was traced." in text
    assert text.count("Nothing was reported.") == 2


def test_a_demo_without_variants_has_no_report(demo: DemoResult) -> None:
    with pytest.raises(ValueError, match="variant"):
        report_page(dataclasses.replace(demo, variants=()))


def test_all_drawn_positions_lie_on_the_page(demo: DemoResult) -> None:
    page = Page(report_page(demo))
    shares = [value for _, name, value in page.attributes if name in {"x", "x1", "x2", "cx"} and value.endswith("%")]
    assert shares
    assert all(0 <= float(value[:-1]) <= 100 for value in shares)


@pytest.mark.parametrize(
    "values", [[], [0.0], [5.0, 5.0], [-3.0, 2.0], [1e-30, 2e-30], [0.6, 0.61], [1e14, 1.0], [math.nan], [1e300]]
)
@pytest.mark.parametrize("zero", [False, True])
def test_a_scale_holds_its_values_and_has_ticks_inside(values: list[float], zero: bool) -> None:
    scale = Scale.around(values, zero=zero)
    assert scale.low < scale.high
    assert all(scale.low <= value <= scale.high for value in values if abs(value) < 1e15)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))
    tolerance = (scale.high - scale.low) * 1e-6
    assert all(scale.low - tolerance <= tick <= scale.high + tolerance for tick in ticks)


def test_a_curve_of_one_point_is_drawn() -> None:
    assert Page(curve([(1.0, 0.5)], str, "one point")).tags.count("polyline") == 1


def test_escaped_keeps_letters_of_every_script() -> None:
    assert escaped("größe 模型 🙂") == "größe 模型 🙂"
