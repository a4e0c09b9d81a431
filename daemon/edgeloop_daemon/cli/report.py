"""The demo's report: one HTML page that needs nothing but itself, with the plots as inline SVG and no script.

Every text that did not originate here goes through `escaped`, and the page forbids itself to load or to run anything.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from importlib.resources import files

from edgeloop_daemon.cli.demo_result import (
    CurvePoint,
    DemoResult,
    OperatorTime,
    TrainingResult,
    VariantResult,
)
from edgeloop_daemon.cli.report_plots import Scale, axis, bar, box, curve, dot, escaped

__all__ = ["CurvePoint", "DemoResult", "OperatorTime", "TrainingResult", "VariantResult", "report_page"]

_MOST_OPERATORS = 14


def report_page(demo: DemoResult) -> str:
    """Return the page. Raises `ValueError` if `demo` has no variant."""
    if not demo.variants:
        raise ValueError("a report needs at least one variant")
    style = (files("edgeloop_daemon.cli") / "report.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escaped(demo.project)} · edgeloop</title>
<style>
{style}</style>
</head>
<body>
<main>
{_header(demo)}
{_tiles(demo)}
{_table(demo)}
<div class="figures">
{_size_figure(demo)}
{_accuracy_figure(demo)}
{_latency_figure(demo)}
{_operator_figure(demo)}
{_training_figure(demo)}
{_origin(demo)}
</div>
{_footer(demo)}
</main>
</body>
</html>
"""


def _header(demo: DemoResult) -> str:
    when = datetime.datetime.fromtimestamp(demo.created_at, tz=datetime.UTC).strftime("%d %B %Y, %H:%M UTC").lstrip("0")
    where = "on a virtual device" if demo.device.is_virtual else "on a device"
    return f"""<header>
<p class="brand">edgeloop</p>
<h1>{escaped(_headline(demo))}</h1>
<p class="quiet">{escaped(demo.project)}: {len(demo.variants)} variants of one model, each run {where},
{escaped(demo.device.name)}, on {demo.samples} samples that the training never saw. {escaped(when)}.</p>
</header>"""


def _headline(demo: DemoResult) -> str:
    baseline = demo.baseline
    keepers = [v for v in demo.variants[1:] if v.bytes < baseline.bytes and demo.is_as_accurate(v)]
    if not keepers:
        return f"{baseline.name} is right on {_percent(baseline.accuracy)} of the samples"
    smallest = min(keepers, key=lambda variant: variant.bytes)
    return (
        f"{smallest.name} takes {smallest.bytes / baseline.bytes:.0%} of {baseline.name}'s bytes,"
        " and is as accurate within the noise"
    )


def _tiles(demo: DemoResult) -> str:
    baseline = demo.baseline
    smallest = min(demo.variants, key=lambda variant: variant.bytes)
    tiles = (
        (_percent(baseline.accuracy), f"accuracy of {baseline.name} on the device"),
        (_milliseconds(baseline.p50_ms), f"per inference of {baseline.name}, p50"),
        (f"{_bytes(baseline.bytes)} → {_bytes(smallest.bytes)}", f"from {baseline.name} to {smallest.name}"),
        (f"{_number(demo.training.seconds, 1)} s", "of training"),
    )
    items = "".join(
        f'<div class="card tile"><b>{escaped(v)}</b><span>{escaped(label)}</span></div>' for v, label in tiles
    )
    return f'<div class="tiles">{items}</div>'


def _table(demo: DemoResult) -> str:
    head = "".join(
        f'<th scope="col">{title}</th>'
        for title in ("Variant", "File", "Accuracy", "Agreement", "p50", "p90", "Session memory", "Peak memory")
    )
    rows = "".join(_table_row(demo, variant) for variant in demo.variants)
    return f"""<section class="card wide">
<h2>Variants</h2>
<p class="quiet">Agreement: the same class as on the host. A difference to {escaped(demo.baseline.name)}
that measuring again could turn round is marked as noise.</p>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>
</section>"""


def _table_row(demo: DemoResult, variant: VariantResult) -> str:
    size = accuracy = latency = ""
    if variant is not demo.baseline:
        size = f"{variant.bytes / demo.baseline.bytes:.2f}×" if demo.baseline.bytes else ""
        accuracy = _difference(
            f"{100 * (variant.accuracy - demo.baseline.accuracy):+.1f} points", demo.is_as_accurate(variant)
        )
        ratio = variant.p50_ms / demo.baseline.p50_ms if demo.baseline.p50_ms > 0 else math.nan
        latency = _difference(f"{_number(ratio, 2)}×", demo.is_as_quick(variant))
    cells = (
        (_bytes(variant.bytes), size),
        (_percent(variant.accuracy), accuracy),
        (_percent(variant.agreement), ""),
        (_milliseconds(variant.p50_ms), latency),
        (_milliseconds(variant.p90_ms), ""),
        (_bytes(variant.session_memory_bytes), ""),
        (_bytes(variant.peak_memory_bytes), ""),
    )
    columns = "".join(f"<td>{escaped(value)}{_small(note)}</td>" for value, note in cells)
    return f'<tr><th scope="row">{escaped(variant.name)}</th>{columns}</tr>'


def _size_figure(demo: DemoResult) -> str:
    largest = max(1, *(variant.bytes for variant in demo.variants))
    rows = [
        _row(
            variant.name, bar(variant.bytes / largest, f"{variant.name}: {variant.bytes} bytes"), _bytes(variant.bytes)
        )
        for variant in demo.variants
    ]
    return _figure("File size", "What has to travel to the device.", rows)


def _accuracy_figure(demo: DemoResult) -> str:
    errors = [_standard_error(variant.accuracy, demo.samples) for variant in demo.variants]
    ends = [v.accuracy + sign * e for v, e in zip(demo.variants, errors, strict=True) for sign in (-1, 1)]
    scale = Scale.around(ends)
    rows = [
        _row(
            variant.name,
            dot(variant.accuracy, error, scale, f"{variant.name}: {_percent(variant.accuracy)} ± {_percent(error)}"),
            _percent(variant.accuracy),
        )
        for variant, error in zip(demo.variants, errors, strict=True)
    ]
    note = (
        f"On the device. The lines show one standard error of {demo.samples} samples; the axis does not begin at zero."
    )
    return _figure("Accuracy", note, [*rows, _row("", axis(scale, lambda value: f"{100 * value:.4g} %"), "")])


def _latency_figure(demo: DemoResult) -> str:
    scale = Scale.around([value for variant in demo.variants for value in variant.deciles_ms])
    rows = [
        _row(
            variant.name,
            box(variant.deciles_ms, scale, f"{variant.name}: p50 {_milliseconds(variant.p50_ms)}"),
            _milliseconds(variant.p50_ms),
        )
        for variant in demo.variants
    ]
    note = "Stroke: median. Box: the middle 40 %. Line: p10 to p90. The axis does not begin at zero."
    return _figure("Latency", note, [*rows, _row("", axis(scale, lambda value: f"{value:.4g} ms"), "")])


def _operator_figure(demo: DemoResult) -> str:
    variant = demo.baseline
    ranked = sorted(variant.operators, key=lambda operator: -_finite(operator.milliseconds))
    if not ranked:
        note = '<p class="quiet">No run was traced.</p>'
        return f'<section class="card"><h2>Time per operator</h2>{note}</section>'
    longest = max(1e-12, _finite(ranked[0].milliseconds))
    rows = [
        _row(
            operator.name,
            bar(
                _finite(operator.milliseconds) / longest,
                f"{operator.name} ({operator.type}): {_milliseconds(operator.milliseconds)}",
            ),
            f"{_milliseconds(operator.milliseconds)} · {_percent(operator.share, 0)}",
            note=operator.type,
        )
        for operator in ranked[:_MOST_OPERATORS]
    ]
    rest = ranked[_MOST_OPERATORS:]
    if rest:
        together = sum(_finite(operator.milliseconds) for operator in rest)
        rows.append(_row(f"{len(rest)} others", bar(together / longest, "the others"), _milliseconds(together)))
    return _figure("Time per operator", f"Of {variant.name}, the mean of its traced runs.", rows)


def _training_figure(demo: DemoResult) -> str:
    points = demo.training.curve
    loss = [(float(point.step), point.loss) for point in points if point.loss is not None]
    accuracy = [(float(point.step), point.accuracy) for point in points if point.accuracy is not None]
    return f"""<section class="card">
<h2>Training</h2>
<p class="quiet">By step; {escaped(_number(demo.training.seconds, 1))} s in all.</p>
<h3>Loss</h3>{curve(loss, lambda value: f"{value:.3g}", "Loss by step", zero=True)}
<div class="second"><h3>Accuracy on what it learns from</h3>{curve(accuracy, lambda v: f"{100 * v:.3g} %", "Accuracy by step")}
</div></section>"""


def _origin(demo: DemoResult) -> str:
    device = demo.device
    facts = (
        ("Device", f"{device.name}{' (virtual: a process on this computer)' if device.is_virtual else ''}"),
        ("System", f"{device.system} · {device.platform}"),
        ("Processor", f"{device.processor} · {device.cores} core{'s' if device.cores != 1 else ''}"),
        ("Memory", _bytes(device.memory_bytes)),
        ("MNN", device.mnn_version or "unknown"),
        ("Python", device.python_version),
        ("edgeloop", f"{demo.version}; on the device {device.app_version}"),
        ("Host accuracy", f"{_percent(demo.training.accuracy)} after training"),
    )
    items = "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in facts)
    return f"""<section class="card">
<h2>Where it ran</h2>
<p class="quiet">The device's own words.</p>
<dl>{items}<dt>Commit</dt><dd><code>{escaped(demo.training.commit)}</code></dd></dl>
</section>"""


def _footer(demo: DemoResult) -> str:
    return f"""<footer class="quiet">
<p>Accuracy and latency were measured on the device by the same script that runs on the host. Latency is of one inference on
one sample without tracing. Session memory is what MNN reports; peak memory is how far the worker's use rose over what it was
before the model was loaded.</p>
<p>Accuracy counts as equal if the answers that changed ({demo.samples} samples) could as well have gone the other way (two
standard deviations); latency if the medians of separate rounds overlap.</p>
</footer>"""


def _figure(title: str, note: str, rows: Sequence[str]) -> str:
    return (
        f'<section class="card"><h2>{escaped(title)}</h2><p class="quiet">{escaped(note)}</p>'
        f'<div class="rows">{"".join(rows)}</div></section>'
    )


def _row(name: str, drawing: str, value: str, *, note: str = "") -> str:
    return (
        f'<div class="name" title="{escaped(name)}">{escaped(name)} {_small(note)}</div><div>{drawing}</div>'
        f'<div class="value">{escaped(value)}</div>'
    )


def _small(text: str) -> str:
    return f"<small>{escaped(text)}</small>" if text else ""


def _difference(text: str, is_noise: bool) -> str:
    return f"{text}, noise" if is_noise else text


def _standard_error(share: float, samples: int) -> float:
    return math.sqrt(max(0.0, share * (1 - share)) / samples) if samples else 0.0


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %" if math.isfinite(share) else "–"


def _milliseconds(value: float) -> str:
    return f"{_number(value, 3 if abs(value) < 10 else 1)} ms"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size:
            return f"{count / size:.3g} {unit}" if count / size < 1000 else f"{count / size:.0f} {unit}"
    return f"{count} B"
