"""The tables of `performance.md`, from the newest results of the benchmarks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def figures_table() -> str:
    """Return all figures with their bars, and below them on what machine and when they were measured."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    rows = [
        f"| `{result['benchmark']}` | {figure['name']} | {_value(figure)} | {_bar(figure)} | {_spread(figure)}"
        f" | {'yes' if figure['holds'] else '**no**'} | {_measured(figure['measured'])} |"
        for result in results
        for figure in result["figures"]
    ]
    head = "| benchmark | figure | value | bar | spread | holds | measured |\n|---|---|---|---|---|---|---|"
    return "\n".join([head, *rows, "", *_conditions(results)])


def _conditions(results: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ["| benchmark | when | took | load before | noisy | machine |", "|---|---|---|---|---|---|"]
    machines = list(dict.fromkeys(_machine(result["machine"]) for result in results))
    rows = [
        f"| `{result['benchmark']}` | {result['begun_at']} | {result['seconds']:.0f} s | {result['machine']['load']}"
        f" | {'**yes**' if result['noise'] else 'no'} | {machines.index(_machine(result['machine'])) + 1} |"
        for result in results
    ]
    return [*head, *rows, "", *(f"{number}. {machine}" for number, machine in enumerate(machines, 1))]


def _machine(machine: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return f"{machine['cores']} cores of {machine['cpu']}, {machine['system']}, Python {machine['python']}, {packages}"


def _value(figure: Mapping[str, Any]) -> str:
    return f"{_number(figure['value'])} {figure['unit'].replace('x', '×')}"


def _bar(figure: Mapping[str, Any]) -> str:
    return f"{'≤' if figure['better'] == 'less' else '≥'} {_number(figure['bar'])}"


def _spread(figure: Mapping[str, Any]) -> str:
    return "" if figure["spread"] is None else f"{figure['spread']:.0%}"


def _measured(measured: Mapping[str, float | str]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value if isinstance(value, str) else _number(value)}"
        for name, value in measured.items()
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
