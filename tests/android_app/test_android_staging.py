"""What `stage.py` puts together, and what it refuses. It runs from a copy of the sources, beside which strays can lie."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from android_app.staging import PACKAGING, TOP, load_stage, read_spec, requirements

WHEEL = "MNN-3.6.1-cp314-cp314-android_24_arm64_v8a.whl"
AARCH64, X86_64 = 183, 62


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("sources")
    for name in ("companion_app", "shared"):
        shutil.copytree(TOP / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    return top


@pytest.fixture
def stage(copied: Path) -> ModuleType:
    return load_stage(copied / PACKAGING.relative_to(TOP))


def elf(machine: int, bits: int = 2) -> bytes:
    """Return an ELF header's first bytes (elf(5))."""
    return b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + struct.pack("<HH", 3, machine)


def wheel(folder: Path, name: str = WHEEL, machine: int = AARCH64, files: dict[str, bytes] | None = None) -> Path:
    """Write a wheel as far as `stage.py` looks into it."""
    folder.mkdir(exist_ok=True)
    default = {"MNN/__init__.py": b"", "_mnncengine.cpython-314-aarch64-linux-android.so": elf(machine)}
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, content in (default if files is None else files).items():
            archive.writestr(path, content)
    return folder


def tree(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_app_is_exactly_its_packages_and_two_files_to_begin_with(stage: ModuleType, tmp_path: Path) -> None:
    staged = stage.stage(tmp_path / "t", None)
    expected = {"main.py", "worker_service.py"}
    for package, folder in (
        ("edgeloop_companion", "companion_app"),
        ("edgeloop_task", "companion_app"),
        ("edgeloop_shared", "shared"),
    ):
        found = (TOP / folder / package).rglob("*")
        expected |= {path.relative_to(TOP / folder).as_posix() for path in found if path.suffix in {".py", ".kv"}}
    assert set(staged.files) == expected == set(tree(tmp_path / "t" / "app"))


def test_the_manifest_names_every_file_with_its_hash(stage: ModuleType, tmp_path: Path) -> None:
    stage.stage(tmp_path / "t", wheel(tmp_path / "wheels"))
    manifest: dict[str, Any] = json.loads((tmp_path / "t" / "manifest.json").read_text())
    assert manifest["files"] == tree(tmp_path / "t" / "app")
    assert list(manifest["files"]) == sorted(manifest["files"])
    assert manifest["wheels"] == [WHEEL] == [path.name for path in (tmp_path / "t" / "wheels").iterdir()]


def test_what_was_staged_before_goes_and_what_buildozer_has_built_stays(stage: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "t"
    first = stage.stage(target, wheel(tmp_path / "wheels"))
    (target / "app" / "old.py").touch()
    (target / ".buildozer").mkdir()
    assert stage.stage(target, None).files == first.files
    assert not (target / "app" / "old.py").exists()
    assert not any((target / "wheels").iterdir())
    assert (target / ".buildozer").is_dir()


def test_a_staging_that_was_interrupted_is_begun_anew(
    stage: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(stage, "_copy", fail)
        with pytest.raises(OSError, match="no space"):
            stage.stage(tmp_path / "t", None)
    assert stage.stage(tmp_path / "t", None).files == tree(tmp_path / "t" / "app")


@pytest.mark.parametrize(
    "name", ["edgeloop_task/weights.bin", "edgeloop_companion/ui/notes.txt", "edgeloop_companion/.env"]
)
def test_a_stray_file_is_refused_by_its_name(stage: ModuleType, copied: Path, tmp_path: Path, name: str) -> None:
    stray = copied / "companion_app" / name
    stray.touch()
    try:
        with pytest.raises(stage.StageError, match=stray.name) as refusal:
            stage.stage(tmp_path / "t", None)
    finally:
        stray.unlink()
    assert "Remove it" in str(refusal.value)
    assert not (tmp_path / "t").exists()


def test_a_link_to_elsewhere_is_refused(stage: ModuleType, copied: Path, tmp_path: Path) -> None:
    link = copied / "shared" / "edgeloop_shared" / "elsewhere.py"
    link.symlink_to("/etc/passwd")
    try:
        with pytest.raises(stage.StageError, match="elsewhere"):
            stage.stage(tmp_path / "t", None)
    finally:
        link.unlink()


def test_a_folder_with_other_things_is_left_alone(stage: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "precious").touch()
    with pytest.raises(stage.StageError, match="other things"):
        stage.stage(tmp_path, None)
    assert (tmp_path / "app" / "precious").exists()


def test_without_mnn_it_is_no_requirement_and_with_it_it_is(stage: ModuleType, tmp_path: Path) -> None:
    stage.stage(tmp_path / "t", None)
    without = requirements(read_spec(tmp_path / "t" / "buildozer.spec"))
    stage.stage(tmp_path / "t", wheel(tmp_path / "wheels"))
    with_it = requirements(read_spec(tmp_path / "t" / "buildozer.spec"))
    assert with_it == {**without, "MNN": "3.6.1"}


@pytest.mark.parametrize(
    ("name", "machine", "files", "words"),
    [
        ("MNN-3.6.1-cp314-cp314-manylinux2014_aarch64.whl", AARCH64, None, "holds no wheel of MNN for Android"),
        ("numpy-2.4.6-cp314-cp314-android_24_arm64_v8a.whl", AARCH64, None, "holds no wheel of MNN for Android"),
        ("MNN-3.6.1-cp311-cp311-android_24_arm64_v8a.whl", AARCH64, None, "does not fit"),
        ("MNN-3.6.1-cp314-cp314-android_30_arm64_v8a.whl", AARCH64, None, "does not fit"),
        (WHEEL, X86_64, None, "another processor"),
        (WHEEL, AARCH64, {"MNN/__init__.py": b""}, "no MNN with its native module"),
        (WHEEL, AARCH64, {"MNN/__init__.py": b"", "_mnncengine.so": b"no ELF"}, "another processor"),
        (WHEEL, AARCH64, {"MNN/__init__.py": b"", "_mnncengine.so": elf(AARCH64, 1)}, "another processor"),
    ],
)
def test_a_wheel_that_cannot_be_used_is_refused_with_the_reason(
    stage: ModuleType, tmp_path: Path, name: str, machine: int, files: dict[str, bytes] | None, words: str
) -> None:
    folder = wheel(tmp_path / "wheels", name, machine, files)
    with pytest.raises(stage.StageError, match=words):
        stage.stage(tmp_path / "t", folder)
    assert not (tmp_path / "t").exists()


def test_a_wheel_that_is_no_archive_is_refused(stage: ModuleType, tmp_path: Path) -> None:
    (tmp_path / WHEEL).write_text("not a wheel")
    with pytest.raises(stage.StageError, match="cannot be read"):
        stage.stage(tmp_path / "t", tmp_path)


def test_two_wheels_for_one_processor_are_one_too_many(stage: ModuleType, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels")
    folder = wheel(tmp_path / "wheels", "MNN-3.7.0-cp314-cp314-android_21_arm64_v8a.whl")
    with pytest.raises(stage.StageError, match="several"):
        stage.stage(tmp_path / "t", folder)


def test_the_command_says_what_is_missing_and_what_comes_next(
    stage: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "t")
    assert stage.main([target]) == 1
    said = capsys.readouterr()
    assert "publishes no wheel" in said.err
    assert "docs/android.md" in said.err
    assert stage.main([target, "--mnn-wheels", str(tmp_path / "nowhere")]) == 1
    assert "is no folder" in capsys.readouterr().err
    assert not os.path.exists(target)  # noqa: PTH110 - as the user would look
    assert stage.main([target, "--without-mnn"]) == 0
    assert "buildozer android debug" in capsys.readouterr().out
