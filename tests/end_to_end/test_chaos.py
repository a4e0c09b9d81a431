"""Killed at fifty random moments of trainings, tools and device runs, edgeloop loses nothing and does nothing twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from end_to_end.chaos.storm import Storm

KILLS = 50


@pytest.mark.timeout(400)
def test_fifty_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")  # `make chaos OPTIONS="--kills 50 --seed ..."` is the same storm
    storm = Storm(tmp_path, seed)
    with storm.raging():
        for _ in range(KILLS):
            storm.strike()
        losses = storm.losses()

    assert sum(storm.killed.values()) == KILLS
    assert {"tool", "train", "run"} <= set(storm.begun.values())
    assert losses == []
