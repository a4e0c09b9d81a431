"""What this machine is, in the words of `DeviceInfo`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

from edgeloop_shared import __version__
from edgeloop_shared.models import DeviceInfo

_NO_MODELS = ("System Product Name", "To Be Filled By O.E.M.", "To be filled by O.E.M.", "Default string")
"""What makers of mainboards leave standing."""
_PLATFORMS = {"darwin": "macos", "win32": "windows"}


def device_info(name: str, *, is_virtual: bool = False) -> DeviceInfo:
    """Describe this machine under the name `name`. MNN is not imported for it: the companion never loads MNN."""
    return DeviceInfo(
        name=_clean(name, 64) or "device",
        platform=_clean(_PLATFORMS.get(sys.platform, sys.platform), 64),
        system=_clean(_system(), 128),
        processor=_clean(_processor(), 128),
        cores=_cores(),
        memory_bytes=_memory_bytes(),
        app_version=__version__,
        python_version=platform.python_version(),
        mnn_version=_clean(_mnn_version(), 64),
        is_virtual=is_virtual,
        model=_clean(device_model(), 128) or None,
    )


def device_model(files: Path = Path("/")) -> str:
    """Return what the maker of this device calls it, empty where nothing tells. `files` is the root of Linux's files."""
    if hasattr(sys, "getandroidapilevel"):
        android = platform.android_ver()  # type: ignore[attr-defined]  # of Python 3.13
        return _of_maker(android.manufacturer, android.model)
    board = _first_line(files / "proc/device-tree/model")  # of ARM boards
    dmi = files / "sys/class/dmi/id"
    return board or _of_maker(_first_line(dmi / "sys_vendor"), _first_line(dmi / "product_name"))


def _of_maker(maker: str, model: str) -> str:
    if not model or model in _NO_MODELS:
        return ""
    return model if not maker or model.lower().startswith(maker.lower()) else f"{maker} {model}"


def _first_line(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(200).rstrip("\n\0").strip()
    except OSError:
        return ""


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Hardware"):
                return f"{value.strip()} ({platform.machine()})"
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0


def _mnn_version() -> str:
    try:
        return importlib.metadata.version("MNN")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _clean(text: str, length: int) -> str:
    return "".join(character for character in text if character.isprintable())[:length].strip()
