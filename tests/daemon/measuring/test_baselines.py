"""Baselines: of one device, in a file for committing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgeloop_daemon.measuring.baselines import BASELINES_FILE, Baselines, read_baselines, write_baselines
from edgeloop_shared.benchmarks import Cell
from edgeloop_shared.errors import InvalidInputError
from edgeloop_shared.models import DeviceInfo

PHONE = DeviceInfo("phone", "android", "Android 15", "Cortex-X4", 8, 2**33, "0.1", "3.14", "3.6.1")
CELL = Cell("model.mnn")


def test_what_is_written_is_read_again_and_sorted(tmp_path: Path) -> None:
    assert read_baselines(tmp_path) == Baselines()
    new = Baselines().updated("d2", PHONE, {CELL: (1.0, 1.2, 1.1)}).updated("d1", PHONE, {CELL: (2.0,)})

    write_baselines(tmp_path, new)

    assert read_baselines(tmp_path) == new
    text = (tmp_path / BASELINES_FILE).read_text()
    assert text.index('"d1"') < text.index('"d2"')
    assert text.endswith("}\n")
    found, _ = new.find("d2", PHONE, CELL)
    assert found is not None
    assert found.p50_ms == 1.1


def test_another_device_another_variant_and_other_hardware_have_no_baseline() -> None:
    known = Baselines().updated("d1", PHONE, {CELL: (1.0,)})

    assert known.find("d2", PHONE, CELL) == (None, "no baseline of this device; the file has those of 1 other devices")
    assert known.find("d1", PHONE, replace(CELL, threads=2)) == (None, "no baseline of this model on this device")
    found, why = known.find("d1", replace(PHONE, processor="Cortex-A55"), CELL)
    assert found is None
    assert "Cortex-X4" in why


def test_a_new_baseline_keeps_the_others_unless_the_hardware_is_another() -> None:
    other = Cell("other.mnn")
    known = Baselines().updated("d1", PHONE, {CELL: (1.0,)}).updated("d1", PHONE, {other: (2.0,)})
    assert set(known.devices["d1"].latencies) == {str(CELL), str(other)}

    moved = known.updated("d1", replace(PHONE, cores=4), {other: (3.0,)})

    assert set(moved.devices["d1"].latencies) == {str(other)}


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"version": 2, "devices": {}}', '{"version": 1, "devices": {"d": {}}}']
)
def test_a_broken_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / BASELINES_FILE).write_text(content)

    with pytest.raises(InvalidInputError, match=BASELINES_FILE):
        read_baselines(tmp_path)
