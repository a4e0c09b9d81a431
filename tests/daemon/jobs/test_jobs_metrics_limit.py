"""A job's metrics have a limit, which its log tells once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeloop_daemon.jobs.context import ProcessContext
from edgeloop_daemon.jobs.job_folder import JobFolder, JobSpec


def test_points_beyond_the_limit_are_left_out_and_the_log_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, spec = JobFolder(tmp_path / "job"), JobSpec("j1", "count", "m:f", "m:P", {}, "m:R", str(tmp_path))
    folder.create(spec)
    context = ProcessContext(folder, spec, max_metrics_bytes=10_000)
    for step in range(1000):
        context.metric("a long tag that leaves room for a shorter one", step, 0.5)
    context.metric("a", 1000, 0.5)
    content = folder.metrics.read_bytes()
    steps = [json.loads(line)["step"] for line in content.splitlines()]

    assert 9_000 < len(content) <= 10_000
    assert steps == list(range(len(steps)))
    assert capsys.readouterr().out == (
        "[edgeloop: the metrics have reached their limit: from a long tag that leaves room for a shorter one "
        f"at step {len(steps)} on none are kept]\n"
    )
