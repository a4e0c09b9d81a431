"""What `make test-arm64` stands on; the proof itself takes minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from end_to_end.arm64.comparison import compare
from end_to_end.arm64.debian_root import EMULATOR, debian_mirror, explicit_python

from edgeloop_shared.errors import EdgeloopError

SCORES = np.array([[0.1, 0.9, 0.0], [2.0, -1.0, 0.5]], np.float32)


def test_scores_that_differ_by_rounding_give_the_same_classes() -> None:
    found = compare(SCORES, SCORES + np.float32(1e-5))
    assert found.is_same
    assert (found.samples, found.other_classes) == (2, ())
    assert 0.99999 < found.lowest_cosine < 1
    assert found.largest_difference == pytest.approx(1e-5, rel=0.05)


def test_one_other_class_is_found_and_named() -> None:
    other = SCORES.copy()
    other[1] = (-1.0, 2.0, 0.5)
    found = compare(SCORES, other)
    assert not found.is_same
    assert found.other_classes == (1,)
    assert found.lowest_cosine < 0


def test_no_samples_prove_nothing() -> None:
    assert not compare(np.empty((0, 10), np.float32), np.empty((0, 10), np.float32)).is_same


@pytest.mark.parametrize("other", [SCORES[:1], SCORES[0], np.where(SCORES > 1, np.nan, SCORES)])
def test_scores_that_cannot_be_compared_are_refused(other: np.ndarray) -> None:
    with pytest.raises(ValueError, match="scores"):
        compare(SCORES, other)


def test_the_mirror_is_the_one_that_apt_is_configured_for() -> None:
    lines = [
        "https://other.example/|Elsewhere|bookworm|main",
        "https://mirror.example/security/|Debian|bookworm-security|main",
        "https://mirror.example/debian/|Debian|bookworm|contrib",
        "https://mirror.example/debian/|Debian|bookworm|main",
    ]
    assert debian_mirror("\n".join(lines)) == ("https://mirror.example/debian/", "bookworm")


def test_a_machine_without_debians_packages_is_told_what_to_do() -> None:
    with pytest.raises(EdgeloopError, match="no Debian") as refusal:
        debian_mirror("https://other.example/|Elsewhere|bookworm|main\n")
    assert "apt-get update" in refusal.value.hint


def test_the_python_that_calls_the_emulator_passes_its_arguments_and_its_name_on(tmp_path: Path) -> None:
    """The emulator's part is played by a script that prints how it was called, on this computer."""
    stand_in = tmp_path / "emulator"
    stand_in.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    stand_in.chmod(0o755)
    program = tmp_path / "python3"
    program.write_text(explicit_python("3.11").replace(str(EMULATOR), str(stand_in)))
    called = subprocess.run([sys.executable, program, "-m", "a b"], capture_output=True, text=True, check=True)
    assert called.stdout.splitlines() == ["-0", "/edgeloop/python3", "/usr/bin/python3.11", "-m", "a b"]
