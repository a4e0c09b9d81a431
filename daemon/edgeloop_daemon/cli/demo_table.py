"""The demo's table in the terminal, 80 columns wide."""

from __future__ import annotations

from pathlib import Path

import click

from edgeloop_daemon.cli.demo_result import DemoResult, Variant
from edgeloop_daemon.cli.output import print_table, size
from edgeloop_shared.significance import Difference

_COLUMNS = ("variant", "accuracy", "agrees", "size", "p50 ms", "p90 ms", "session", "peak")


def print_demo(result: DemoResult, folder: Path) -> None:
    """Print the table, what it means and where the report and the trace are; paths are relative to `folder`."""
    device = result.device
    click.echo(
        f"\n{result.samples} held-out digits on {device['name']} ({device['platform']}, {device['cores']} cores, "
        f"MNN {device['mnn_version']});\ntrained in {result.train.seconds:.1f} s from commit {result.train.commit[:10]}\n"
    )
    print_table(_COLUMNS, [_row(variant) for variant in result.variants], right=_COLUMNS[1:])
    click.echo("\nagrees: the same first choice as fp32 on this computer, over all samples")
    click.echo("session: what MNN's session takes")
    click.echo("peak: the worker's peak memory over its baseline, session included")
    if any(_is_noisy(variant) for variant in result.variants):
        click.echo("~: the difference to fp32 is below the noise; the report says how that is judged")
    click.echo(f"\nreport  {_shown(result.report, folder)}")
    click.echo(f"trace   {_shown(result.trace, folder)}  (open it in Perfetto or chrome://tracing)")
    click.echo(f"done in {result.seconds:.1f} s")


def _row(variant: Variant) -> tuple[str, ...]:
    latency_mark = _mark(variant.latency_difference)
    return (
        variant.name,
        f"{_mark(variant.accuracy_difference)}{variant.accuracy:.1%}",
        f"{variant.agreement:.1%}",
        size(variant.bytes),
        f"{latency_mark}{variant.latency_ms.p50:.2f}",
        f"{variant.latency_ms.p90:.2f}",
        size(variant.session_memory_bytes),
        size(variant.peak_memory_bytes),
    )


def _mark(difference: Difference | None) -> str:
    return "~" if difference is not None and difference.is_noise else ""


def _is_noisy(variant: Variant) -> bool:
    return any(
        difference is not None and difference.is_noise
        for difference in (variant.accuracy_difference, variant.latency_difference)
    )


def _shown(path: str, folder: Path) -> str:
    target = Path(path)
    return str(target.relative_to(folder)) if target.is_relative_to(folder) else path
