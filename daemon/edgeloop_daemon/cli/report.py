"""The demo's report: one HTML page that needs nothing but itself, with the plots as inline SVG and no script.

Every text that did not originate here goes through `escaped`, and the page forbids itself to load or to run anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import files

from edgeloop_daemon.cli.demo_result import DemoResult, Variant
from edgeloop_daemon.cli.output import size
from edgeloop_daemon.cli.report_plots import Scale, axis, bar, box, curve, dot, escaped
from edgeloop_shared.significance import Difference

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
<title>edgeloop demo</title>
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
{_footer()}
</main>
</body>
</html>
"""


def _header(demo: DemoResult) -> str:
    where = "virtual device" if demo.device.get("is_virtual") else "device"
    return f"""<header>
<p class="brand">edgeloop demo</p>
<h1>{escaped(_headline(demo))}</h1>
<p class="quiet">{len(demo.variants)} variants of one model, each run on the {where} “{escaped(_fact(demo, "name"))}” with
{demo.samples} handwritten digits that the training never saw.</p>
</header>"""


def _headline(demo: DemoResult) -> str:
    baseline = demo.variants[0]
    keepers = [variant for variant in demo.variants[1:] if _keeps_accuracy(variant) and variant.bytes < baseline.bytes]
    if not keepers:
        return f"{baseline.name} is right on {_percent(baseline.accuracy)} of the digits"
    smallest = min(keepers, key=lambda variant: variant.bytes)
    share = _percent(smallest.bytes / baseline.bytes, 0)
    return f"{smallest.name} takes {share} of {baseline.name}'s bytes, and no accuracy is lost that could be told from noise"


def _keeps_accuracy(variant: Variant) -> bool:
    difference = variant.accuracy_difference
    return difference is not None and (difference.is_noise or difference.value >= 0)


def _tiles(demo: DemoResult) -> str:
    baseline = demo.variants[0]
    smallest = min(demo.variants, key=lambda variant: variant.bytes)
    share = _percent(smallest.bytes / max(1, baseline.bytes), 0)
    tiles = (
        (_percent(baseline.accuracy), f"accuracy of {baseline.name} on the device"),
        (_milliseconds(baseline.latency_ms.p50), f"per inference of {baseline.name}, p50"),
        (size(smallest.bytes), f"for {smallest.name}: {share} of {baseline.name}'s {size(baseline.bytes)}"),
        (f"{_number(demo.train.seconds, 1)} s", f"of training, {_number(demo.seconds, 0)} s in all"),
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
    rows = "".join(_table_row(variant, demo.variants[0]) for variant in demo.variants)
    return f"""<section class="card wide">
<h2>Variants</h2>
<p class="quiet">Agreement: the same class as {escaped(demo.variants[0].name)} on the host. Differences are to
{escaped(demo.variants[0].name)} on the same device.</p>
<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>
</section>"""


def _table_row(variant: Variant, baseline: Variant) -> str:
    ratio = f"{variant.bytes / baseline.bytes:.2f}×" if variant is not baseline and baseline.bytes else ""
    cells = (
        (size(variant.bytes), _small(ratio)),
        (_percent(variant.accuracy), _difference(variant.accuracy_difference, 100, "points")),
        (_percent(variant.agreement), ""),
        (_milliseconds(variant.latency_ms.p50), _difference(variant.latency_difference, 1, "ms")),
        (_milliseconds(variant.latency_ms.p90), ""),
        (size(variant.session_memory_bytes), ""),
        (size(variant.peak_memory_bytes), ""),
    )
    columns = "".join(f"<td>{escaped(value)}{note}</td>" for value, note in cells)
    return f'<tr><th scope="row">{escaped(variant.name)}{_small(variant.description)}</th>{columns}</tr>'


def _size_figure(demo: DemoResult) -> str:
    largest = max(1, *(variant.bytes for variant in demo.variants))
    rows = [
        _row(variant.name, bar(variant.bytes / largest, f"{variant.name}: {variant.bytes} bytes"), size(variant.bytes))
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
    note = f"Per cent, on the device; the lines reach one standard error of {demo.samples} samples to both sides."
    return _figure("Accuracy", note, [*rows, _row("", axis(scale, lambda value: f"{100 * value:.4g}"), "")])


def _latency_figure(demo: DemoResult) -> str:
    scale = Scale.around([value for variant in demo.variants for value in variant.deciles_ms])
    rows = [
        _row(
            variant.name,
            box(variant.deciles_ms, scale, f"{variant.name}: p50 {_milliseconds(variant.latency_ms.p50)}"),
            _milliseconds(variant.latency_ms.p50),
        )
        for variant in demo.variants
    ]
    note = "Milliseconds per inference: the median, the middle 40 % as a box, p10 to p90 as a line."
    return _figure("Latency", note, [*rows, _row("", axis(scale, lambda value: f"{value:.4g}"), "")])


def _operator_figure(demo: DemoResult) -> str:
    variant = demo.variants[0]
    ranked = sorted(variant.operators, key=lambda operator: -operator.mean_us)
    if not ranked:
        return '<section class="card"><h2>Time per operator</h2><p class="quiet">No run was traced.</p></section>'
    together = sum(operator.mean_us for operator in ranked) or 1.0
    longest = ranked[0].mean_us or 1.0
    rows = [
        _row(
            operator.name,
            bar(operator.mean_us / longest, f"{operator.name} ({operator.type}): {_number(operator.mean_us, 1)} µs"),
            f"{_number(operator.mean_us, 1)} µs · {_percent(operator.mean_us / together)}",
            note=operator.type,
        )
        for operator in ranked[:_MOST_OPERATORS]
    ]
    rest = ranked[_MOST_OPERATORS:]
    if rest:
        time = sum(operator.mean_us for operator in rest)
        value = f"{_number(time, 1)} µs · {_percent(time / together)}"
        rows.append(_row(f"{len(rest)} others", bar(time / longest, "all others together"), value))
    return _figure("Time per operator", f"Of {variant.name} on the device, the mean of its traced runs.", rows)


def _training_figure(demo: DemoResult) -> str:
    loss = [(float(point.step), point.values["loss"]) for point in demo.train.curve if "loss" in point.values]
    accuracy = [
        (float(point.step), point.values["accuracy"]) for point in demo.train.curve if "accuracy" in point.values
    ]
    return f"""<section class="card">
<h2>Training</h2>
<p class="quiet">By step, on the batches that it learns from. On the held-out digits in the end:
{escaped(_percent(demo.train.accuracy))}.</p>
<h3>Loss</h3>{curve(loss, lambda value: f"{value:.3g}", "Loss by step", zero=True)}
<div class="second"><h3>Accuracy</h3>{curve(accuracy, lambda value: f"{100 * value:.3g} %", "Accuracy by step")}</div>
</section>"""


def _origin(demo: DemoResult) -> str:
    memory, cores = demo.device.get("memory_bytes"), _fact(demo, "cores")
    facts = (
        (
            "Device",
            _fact(demo, "name") + (" (virtual: a process on this computer)" if demo.device.get("is_virtual") else ""),
        ),
        ("System", f"{_fact(demo, 'system')} · {_fact(demo, 'platform')}"),
        ("Processor", f"{_fact(demo, 'processor')} · {cores} {'core' if cores == '1' else 'cores'}"),
        ("Memory", size(memory) if isinstance(memory, int) else "–"),
        ("MNN", _fact(demo, "mnn_version")),
        ("Python", _fact(demo, "python_version")),
        ("Companion", _fact(demo, "app_version")),
    )
    items = "".join(f"<dt>{name}</dt><dd>{escaped(value)}</dd>" for name, value in facts)
    return f"""<section class="card">
<h2>Where it ran</h2>
<p class="quiet">What the device says of itself, and the code that was trained.</p>
<dl>{items}<dt>Commit</dt><dd><code>{escaped(demo.train.commit)}</code></dd></dl>
</section>"""


def _fact(demo: DemoResult, name: str) -> str:
    value = demo.device.get(name)
    return "–" if value is None or value == "" else str(value)


def _footer() -> str:
    return """<footer class="quiet">
<p>The same script ran every variant on the device. Latency is that of <code>edgeloop bench</code>: of one inference of one
sample, in rounds that take turns, so that a slow moment hits all of them. Session memory is what MNN says its session takes;
peak memory is how far the worker rose over its use before the model was loaded, session included.</p>
<p>A difference is called noise where it cannot be told from chance: in accuracy by McNemar's exact test on the answers that
changed (5 %), in latency where the ranges of the rounds' medians
overlap or the medians differ by less than 3 %.</p>
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


def _difference(difference: Difference | None, factor: float, unit: str) -> str:
    if difference is None:
        return ""
    digits = 1 if factor > 1 else 3
    value = f"{factor * difference.value:+.{digits}f} {unit}".replace("-", "−") if difference.value else "equal"
    text = escaped(f"{value} (noise)" if difference.is_noise and difference.value else value)
    return f'<small title="{escaped(difference.reason)}">{text}</small>'


def _standard_error(share: float, samples: int) -> float:
    return math.sqrt(max(0.0, share * (1 - share)) / samples) if samples else 0.0


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "–"


def _percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %" if math.isfinite(share) else "–"


def _milliseconds(value: float) -> str:
    return f"{_number(value, 3 if abs(value) < 10 else 1)} ms"
