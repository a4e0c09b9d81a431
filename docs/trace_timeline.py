"""Draws the beginning of an exported trace as SVG, for `traces.md`: `python docs/trace_timeline.py TRACE.json SPAN > trace.svg`.

What is drawn begins with the first span called SPAN, and ends behind the second one.
"""

from __future__ import annotations

import html
import json
import sys
from pathlib import Path
from typing import Any

WIDTH, ROW, LEFT, GAP = 960, 22, 8, 14
COLOURS = {"span": "#8fb8de", "run": "#4f86c6", "load": "#b8a4d8", "gc": "#e0a458"}
OPERATOR_COLOURS = ("#6fb98f", "#2c7873", "#a3c9a8", "#52958b", "#84b59f", "#69a297")


def timeline(trace: dict[str, Any], first: str) -> str:
    """Return the SVG of the trace's threads and sessions between two spans of the same name."""
    events = trace["traceEvents"]
    names = {
        event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name" and event["pid"] == 1
    }
    spans = sorted((event for event in events if event["ph"] == "X"), key=lambda event: (event["ts"], -event["dur"]))
    begins = [span for span in spans if span["name"] == first]
    begin, end = begins[0]["ts"], begins[1]["ts"] + begins[1]["dur"]
    scale = (WIDTH - 2 * LEFT) / (end - begin)
    parts, top = [], 4
    for tid in sorted({span["tid"] for span in spans}, reverse=True):
        shown = [
            span for span in spans if span["tid"] == tid and begin <= span["ts"] and span["ts"] + span["dur"] <= end + 1
        ]
        if not shown:
            continue
        parts.append(_text(LEFT, top + 13, names[tid], "title"))
        top += 20
        depth, open_until = 0, list[float]()
        for span in shown:
            open_until = [until for until in open_until if until > span["ts"] + 0.001]
            depth = max(depth, len(open_until) + 1)
            parts.append(_box(span, len(open_until), top, (span["ts"] - begin) * scale, span["dur"] * scale))
            open_until.append(span["ts"] + span["dur"])
        top += depth * ROW + GAP
    step = 10 ** len(str(int((end - begin) / 1000 / 4))) * 1000 / 10
    for tick in range(int((end - begin) / step) + 1):
        x = LEFT + tick * step * scale
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{top}" class="grid"/>')
        parts.append(_text(x + 2, top + 12, f"{tick * step / 1000:g} ms", "tick"))
    style = (
        "text{font:12px system-ui,sans-serif;fill:#1b2733}.title{font-weight:600}.tick{font-size:10px;fill:#6b7785}"
        ".grid{stroke:#d5dbe2;stroke-width:1}rect{stroke:#fff;stroke-width:.5}.page{fill:#fff}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 18}" role="img">'
        f"<title>{html.escape(first)} in a trace</title><style>{style}</style>"
        f'<rect class="page" width="{WIDTH}" height="{top + 18}"/>{"".join(parts)}</svg>\n'
    )


def _box(span: dict[str, Any], depth: int, top: float, x: float, width: float) -> str:
    kind = span["cat"]
    colour = COLOURS.get(kind) or OPERATOR_COLOURS[sum(map(ord, kind)) % len(OPERATOR_COLOURS)]
    y = top + depth * ROW
    label = span["name"] if width > 8 * len(span["name"]) else ""
    return (
        f'<rect x="{LEFT + x:.1f}" y="{y}" width="{max(width, 0.6):.1f}" height="{ROW - 2}" fill="{colour}">'
        f"<title>{html.escape(span['name'])}: {span['dur'] / 1000:.3f} ms</title></rect>"
        + (_text(LEFT + x + 4, y + 14, label) if label else "")
    )


def _text(x: float, y: float, text: str, name: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{name}">{html.escape(text)}</text>'


if __name__ == "__main__":
    sys.stdout.write(timeline(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2]))
