"""What the policy removes, and what stays whatever it says."""

from __future__ import annotations

from edgeloop_daemon.retention.policy import DAY, Kept, RetentionPolicy, choose, choose_traces

NOW = 1000 * DAY
GB = 10**9


def job(number: int, days: float, size: int = 0, *, workspace: str = "w1") -> Kept:
    return Kept("tool", f"j{number}", workspace, "convert", NOW - days * DAY, size)


def run(number: int, days: float, *blobs: str, size: int = 0) -> Kept:
    return Kept("run", f"r{number}", "w1", "task.py", NOW - days * DAY, size, frozenset(blobs))


def ids(
    kept: list[Kept], policy: RetentionPolicy, sizes: dict[str, int] | None = None, held: tuple[str, ...] = ()
) -> list[str]:
    return [item.id for item in choose(kept, policy, now=NOW, blob_sizes=sizes or {}, held=held)]


def test_what_ended_too_long_ago_goes() -> None:
    kept = [job(1, 40), job(2, 31), job(3, 29), job(4, 1)]
    assert ids(kept, RetentionPolicy(keep_newest=0)) == ["j1", "j2"]


def test_the_newest_of_each_workspace_stay_however_old() -> None:
    kept = [job(1, 90), job(2, 80), job(3, 70), job(4, 60, workspace="w2"), run(1, 50)]
    assert ids(kept, RetentionPolicy(keep_newest=1)) == ["j1", "j2"]


def test_newest_is_what_began_last_even_if_the_clock_was_set_back() -> None:
    kept = [job(1, 40), job(2, 400)]  # the second one came later
    assert ids(kept, RetentionPolicy(keep_newest=1)) == ["j1"]


def test_a_clock_that_was_set_back_for_a_while_makes_nothing_old() -> None:
    kept = [job(1, 40), job(2, 2), job(3, 10_000), run(1, 9_000), job(4, 1)]
    assert ids(kept, RetentionPolicy(keep_newest=0)) == ["r1", "j1"]
    assert ids(kept, RetentionPolicy(keep_newest=1)) == ["j1"]


def test_the_oldest_go_until_the_rest_fits() -> None:
    kept = [job(1, 4, 5 * GB), job(2, 3, 5 * GB), job(3, 2, 5 * GB), job(4, 1, 5 * GB)]
    removals = choose(kept, RetentionPolicy(max_gigabytes=11, keep_newest=0), now=NOW, blob_sizes={})
    assert [(item.id, item.bytes, item.reason) for item in removals] == [("j1", 5 * GB, "size"), ("j2", 5 * GB, "size")]


def test_a_blob_counts_once_and_is_freed_with_the_last_run_that_refers_to_it() -> None:
    kept = [run(1, 4, "model", "a"), run(2, 3, "model", "b"), run(3, 2, "model", "c")]
    sizes = {"model": 9 * GB, "a": GB, "b": GB, "c": GB}
    removals = choose(kept, RetentionPolicy(max_gigabytes=11, keep_newest=0), now=NOW, blob_sizes=sizes)
    assert [(item.id, item.bytes) for item in removals] == [("r1", GB)]
    removals = choose(kept, RetentionPolicy(max_gigabytes=1, keep_newest=0), now=NOW, blob_sizes=sizes)
    assert [item.bytes for item in removals] == [GB, GB, 10 * GB]


def test_what_an_active_run_refers_to_frees_nothing() -> None:
    removals = choose(
        [run(1, 99, "model")], RetentionPolicy(keep_newest=0), now=NOW, blob_sizes={"model": GB}, held=("model",)
    )
    assert [(item.id, item.bytes) for item in removals] == [("r1", 0)]


def test_nothing_goes_while_everything_fits() -> None:
    assert ids([job(1, 29, GB), run(1, 29, "model")], RetentionPolicy(), {"model": GB}) == []


def trace(number: int, days: float, size: int = 0) -> Kept:
    return Kept("trace", f"r{number}", "w1", "task.py", NOW - days * DAY, size)


def test_traces_go_before_their_runs_the_newest_of_each_workspace_stay() -> None:
    kept = [trace(1, 20), trace(2, 15, GB), trace(3, 10, GB), trace(4, 9, GB), trace(5, 30)]
    policy = RetentionPolicy(keep_newest=1, max_trace_gigabytes=1)
    assert [(one.id, one.kind, one.reason) for one in choose_traces(kept, policy, now=NOW)] == [
        ("r1", "trace", "age"),
        ("r2", "trace", "age"),
        ("r3", "trace", "size"),
    ]
    assert choose_traces(kept, RetentionPolicy(), now=NOW) == ()
