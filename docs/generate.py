"""Fills the generated regions of the documentation from the code, so that no list in it can go stale.

A region stands between `<!-- generated: NAME -->` and `<!-- end -->`; `GENERATORS` says what NAME is filled with.
`python docs/generate.py` rewrites the files; with `--check` it changes nothing, prints a diff and fails when one is stale.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import api_reference
import performance
import reference

import edgeloop
from edgeloop_companion.doctor import checks as device_checks
from edgeloop_daemon.doctor import checks
from edgeloop_daemon.http.guards import PREFIX
from edgeloop_daemon.http.openapi import openapi_document
from edgeloop_shared import bundles, device_states, messages, models, operator_hits, run_events, traces

DOCS = Path(__file__).parent
_REGION = re.compile(r"(<!-- generated: ([a-z-]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

_PAIRING = (messages.PairStart, messages.PairStarted, messages.PairFinish, messages.PairFinished)
_PARTS = (
    models.DeviceInfo,
    device_states.Vitals,
    traces.Operator,
    operator_hits.TensorSummary,
    run_events.LogLine,
    run_events.Gap,
    bundles.BundleManifest,
    bundles.BundleFile,
)

GENERATORS: Mapping[str, Callable[[], str]] = {
    "errors": reference.errors_table,
    "pairing-messages": lambda: reference.messages_reference({kind.__name__: kind for kind in _PAIRING}),
    "link-messages": lambda: reference.messages_reference(messages.MESSAGE_KINDS),
    "events": lambda: reference.messages_reference(run_events.EVENT_KINDS),
    "event-kinds": reference.event_kinds_table,
    "message-parts": lambda: reference.messages_reference({kind.__name__: kind for kind in _PARTS}),
    "limits": reference.limits_table,
    "patterns": reference.patterns_table,
    "hooks": reference.hooks_reference,
    "declarations": lambda: reference.plugin_api_reference(lambda value: value.__module__ == "edgeloop.declarations"),
    "job-context": lambda: reference.plugin_api_reference(
        lambda value: value in (edgeloop.JobContext, edgeloop.DeviceRun)
    ),
    "plugin-tools": lambda: reference.plugin_api_reference(
        lambda value: value.__module__ in ("edgeloop.handlers", "edgeloop.metrics")
    ),
    "testing": reference.testing_reference,
    "training": lambda: reference.plugin_api_reference(lambda value: value.__module__ == "edgeloop.training"),
    "checks": lambda: reference.checks_table(checks.CHECKS),
    "device-checks": lambda: reference.checks_table(device_checks.CHECKS),
    "commands": reference.commands_reference,
    "routes": lambda: reference.routes_table(reference.local_api()),
    "api-reference": lambda: api_reference.api_reference(openapi_document(tuple(reference.local_api()), PREFIX)),
    "settings": reference.settings_table,
    "benchmarks": performance.figures_table,
    "selectors": reference.selectors_table,
    "condition-names": reference.condition_names_table,
    "actions": reference.actions_table,
}


def regenerated(text: str) -> str:
    """Return a document with its regions filled anew. Raises `KeyError` for a region that nobody fills."""
    return _REGION.sub(lambda match: f"{match[1]}\n{GENERATORS[match[2]]()}\n\n{match[4]}", text)


def stale() -> Mapping[Path, tuple[str, str]]:
    """Return per stale document its text and what it should be."""
    found = {path: path.read_text() for path in sorted(DOCS.rglob("*.md"))}
    return {path: (text, fresh) for path, text in found.items() if (fresh := regenerated(text)) != text}


def main(arguments: Sequence[str]) -> int:
    """Rewrite the stale documents, or with `--check` print how they differ; return the exit status."""
    documents = stale()
    for path, (text, fresh) in documents.items():
        if "--check" in arguments:
            lines = difflib.unified_diff(text.splitlines(), fresh.splitlines(), str(path), "as generated", lineterm="")
            print("\n".join(lines))
        else:
            path.write_text(fresh)
            print(f"wrote {path}")
    if documents and "--check" in arguments:
        print("Stale: run `make docs`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
