"""The adapters for desktops: what they read of a Linux that has it, and that everywhere else it is unknown."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from namespace_parts import NEEDED, can_be_made, network

from edgeloop_companion.phone.desktop import DesktopVitals, network_watch
from edgeloop_companion.phone.life_cycle import LifeCycle
from edgeloop_companion.phone.phone import this_phone
from edgeloop_shared.device_states import LOW_STORAGE_BYTES, Vitals


def sysfs(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def test_a_laptop_tells_its_battery_and_the_heat_of_its_processor(tmp_path: Path) -> None:
    supply = "class/power_supply"
    files = {
        f"{supply}/AC/type": "Mains",
        f"{supply}/BAT0/type": "Battery",
        f"{supply}/BAT0/capacity": "83",
        f"{supply}/BAT0/status": "Charging",
        f"{supply}/BAT0/temp": "305",
        "class/thermal/thermal_zone0/temp": "41000",
        "class/thermal/thermal_zone1/temp": "57500",
    }
    vitals = DesktopVitals(tmp_path, sysfs(tmp_path / "sys", files)).read()
    assert (vitals.battery_percent, vitals.is_charging, vitals.battery_celsius) == (83, True, 30.5)
    assert (vitals.processor_celsius, vitals.celsius, vitals.throttling) == (57.5, 57.5, None)


@pytest.mark.parametrize(
    ("status", "charges"), [("Full", True), ("Discharging", False), ("Not charging", False), ("Unknown", None)]
)
def test_a_status_of_the_kernel_says_whether_it_charges(tmp_path: Path, status: str, charges: bool | None) -> None:
    battery = {"type": "Battery", "capacity": "7", "status": status}
    files = {f"class/power_supply/BAT1/{name}": text for name, text in battery.items()}
    assert DesktopVitals(tmp_path, sysfs(tmp_path / "sys", files)).read().is_charging is charges


def test_the_battery_of_a_mouse_is_not_the_computers(tmp_path: Path) -> None:
    mouse = {"type": "Battery", "scope": "Device", "capacity": "12", "status": "Discharging"}
    files = {f"class/power_supply/hidpp_battery_0/{name}": text for name, text in mouse.items()}
    vitals = DesktopVitals(tmp_path, sysfs(tmp_path / "sys", files)).read()
    assert vitals.battery_percent is None


def test_without_sysfs_and_without_a_folder_nothing_is_told(tmp_path: Path) -> None:
    assert DesktopVitals(tmp_path / "none", tmp_path / "sys").read() == Vitals()


def test_this_machine_tells_its_free_storage(tmp_path: Path) -> None:
    free = this_phone(tmp_path).vitals.read().free_bytes
    assert free is not None
    assert free > 0


def test_little_free_storage_is_low() -> None:
    assert Vitals(free_bytes=LOW_STORAGE_BYTES - 1).is_storage_low
    assert not Vitals(free_bytes=LOW_STORAGE_BYTES).is_storage_low
    assert not Vitals().is_storage_low


def test_a_life_cycle_tells_changes_alone() -> None:
    cycle, told = LifeCycle("foreground"), []
    cycle.on_activity.append(lambda: told.append(cycle.activity))
    cycle.on_low_memory.append(lambda: told.append(None))
    cycle.resumed()
    cycle.paused()
    cycle.paused()
    cycle.memory_is_low()
    cycle.resumed()
    assert told == ["background", None, "foreground"]


@pytest.mark.skipif(not can_be_made(), reason=NEEDED)
def test_linux_tells_of_an_address_that_came_and_of_a_link_that_went() -> None:
    with network(1) as (computer,):
        changes = asyncio.Queue[None]()

        async def watch() -> None:
            with network_watch().watching(lambda: changes.put_nowait(None)):
                await asyncio.to_thread(computer.ip, "addr", "add", "198.18.7.88/24", "dev", "net0")
                await asyncio.wait_for(changes.get(), 20)
                await asyncio.to_thread(computer.ip, "link", "set", "net0", "down")
                await asyncio.wait_for(changes.get(), 20)

        computer.do(watch())
