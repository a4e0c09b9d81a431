"""The specification and the recipes against python-for-android's and buildozer's own code: `make lint-android`.

No SDK, no NDK and no Gradle are needed for that, and nothing is built.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from android_app.staging import read_spec, requirements

pytestmark = [
    pytest.mark.android,
    pytest.mark.filterwarnings("ignore"),  # theirs: what their code and what it starts leaves to be collected
]
RECIPES = ("aiohttp", "ifaddr", "zeroconf", "mnn")
ARCH = SimpleNamespace(arch="arm64-v8a")


class Context:
    """What recipes ask of a build: the folders, and Python for Android's wheels."""

    def __init__(self, staged: Path, folder: Path) -> None:
        from pythonforandroid.build import Context as RealContext

        self.local_recipes = str(staged / "recipes")
        self.storage_dir = str(folder)
        self.root_dir = str(Path(sys.modules[RealContext.__module__].__file__ or "").parent)
        self.build_dir = str(folder / "build")
        self.save_wheel_dir = ""
        self.ndk_api = 24
        self.extra_index_urls: list[str] = []
        self.use_prebuilt_version_for: list[str] = []
        self.skip_prebuilt = False
        self.installed = folder / "installed"

    def get_python_install_dir(self, _arch: str) -> str:
        return str(self.installed)


@pytest.fixture
def context(staged: Path, tmp_path: Path) -> Iterator[Context]:
    from pythonforandroid.recipe import Recipe

    vars(Recipe).get("recipes", {}).clear()
    yield Context(staged, tmp_path)
    vars(Recipe).get("recipes", {}).clear()


@pytest.fixture
def recipe(context: Context) -> Callable[[str], Any]:
    from pythonforandroid.recipe import Recipe

    return lambda name: Recipe.get_recipe(name, context)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_of_ours_is_the_one_that_is_found(recipe: Callable[[str], Any], context: Context, name: str) -> None:
    from pythonforandroid.recipe import PyProjectRecipe

    found = recipe(name)
    assert isinstance(found, PyProjectRecipe)
    assert Path(found.build_arch.__code__.co_filename).parents[1] == Path(context.local_recipes)
    wanted = {one.lower(): version for one, version in requirements(read_spec()).items()}
    assert found.version == wanted[name]
    assert found.get_pip_name().lower() == f"{name}=={wanted[name]}"
    assert found.url is None  # nothing is downloaded but by pip


def test_every_requirement_is_a_recipe_or_comes_from_pip(context: Context) -> None:
    from pythonforandroid.recipe import Recipe

    known = {name.lower() for name in Recipe.list_recipes(context)}
    without = {name for name in requirements(read_spec()) if name.lower() not in known}
    assert without == {
        *("aiohappyeyeballs", "aiosignal", "attrs", "frozenlist", "idna", "multidict", "propcache", "yarl"),
        "debugpy",
    }


def test_python_has_the_version_of_the_recipes(recipe: Callable[[str], Any]) -> None:
    pinned = requirements(read_spec())
    assert recipe("python3").version == pinned["python3"]
    assert recipe("hostpython3").version == pinned["hostpython3"]
    assert recipe("kivy").version == pinned["kivy"]
    assert recipe("numpy").min_ndk_api_support == int(read_spec()["android.minapi"])


def test_the_recommended_ndk_is_the_one_that_is_asked_for() -> None:
    from pythonforandroid.recommendations import RECOMMENDED_NDK_VERSION

    assert read_spec()["android.ndk"] == RECOMMENDED_NDK_VERSION


def test_recipes_are_built_after_what_they_need(context: Context, staged: Path, tmp_path: Path) -> None:
    from pythonforandroid.bootstrap import Bootstrap
    from pythonforandroid.build import Context as RealContext
    from pythonforandroid.graph import get_recipe_order_and_bootstrap

    real = RealContext()
    real.local_recipes = context.local_recipes
    real.setup_dirs(str(tmp_path / "storage"))
    names = [name.lower() for name in requirements(read_spec(staged / "buildozer.spec"))]
    order, modules, bootstrap = get_recipe_order_and_bootstrap(
        real, [*names, "mnn"], Bootstrap.get_bootstrap("sdl2", real)
    )
    assert bootstrap.name == "sdl2"
    assert order.index("numpy") < order.index("mnn")
    assert order.index("ifaddr") < order.index("zeroconf")
    assert order.index("openssl") < order.index("python3") < order.index("aiohttp")
    assert "debugpy" in modules


def test_the_wheel_of_mnn_is_installed_as_it_is(
    recipe: Callable[[str], Any], context: Context, staged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnn, installed = recipe("mnn"), []
    monkeypatch.setattr(mnn, "install_wheel", lambda arch, wheels: installed.extend(wheels))
    wheel = staged / "wheels" / "MNN-3.6.1-cp314-cp314-android_24_arm64_v8a.whl"
    wheel.touch()
    try:
        mnn.build_arch(ARCH)
    finally:
        wheel.unlink()
    assert installed == [str(wheel)]


def test_a_build_without_the_wheel_of_mnn_is_interrupted(recipe: Callable[[str], Any]) -> None:
    from pythonforandroid.util import BuildInterruptingException

    with pytest.raises(BuildInterruptingException, match="holds 0 wheels of MNN for arm64-v8a"):
        recipe("mnn").build_arch(ARCH)


@pytest.mark.parametrize("name", ["aiohttp", "ifaddr"])
def test_a_build_whose_wheel_cannot_be_installed_is_interrupted(
    recipe: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from pythonforandroid.util import BuildInterruptingException

    found = recipe(name)
    monkeypatch.setattr(found, "install_prebuilt_wheel", lambda arch: True)
    found.build_arch(ARCH)
    monkeypatch.setattr(found, "install_prebuilt_wheel", lambda arch: False)
    with pytest.raises(BuildInterruptingException, match=f"no wheel of {name}"):
        found.build_arch(ARCH)


def test_zeroconf_is_built_without_cython_and_installed(
    recipe: Callable[[str], Any], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip of this computer stands for that of python-for-android's Python; the wheel is the real one."""
    import sh

    zeroconf = recipe("zeroconf")
    pip = sh.Command(sys.executable).bake("-m", "pip", "--disable-pip-version-check")
    zeroconf._host_recipe = SimpleNamespace(pip=pip)
    monkeypatch.setattr(zeroconf, "get_hostrecipe_env", lambda arch=None: dict(os.environ))
    monkeypatch.setattr(zeroconf, "get_build_dir", lambda arch: str(Path(context.build_dir, arch)))
    zeroconf.build_arch(ARCH)
    package = context.installed / "zeroconf"
    assert (package / "asyncio.py").is_file()
    assert not list(package.rglob("*.so"))


def test_buildozer_reads_the_specification_as_it_is_meant(staged: Path) -> None:
    from buildozer.specparser import SpecParser

    spec = SpecParser()
    spec.read(str(staged / "buildozer.spec"), "utf-8")
    assert len(spec.getlist("app", "services")) == 4
    assert len(spec.getlist("app", "android.permissions")) == 8
    assert spec.getlist("app", "requirements")[:2] == ["python3==3.14.2", "hostpython3==3.14.2"]
    assert len(spec.getlist("app", "requirements")) == len(requirements(read_spec(staged / "buildozer.spec")))
    assert spec.getlist("app", "orientation") == ["portrait", "landscape"]
    assert spec.getbooldefault("app", "android.allow_backup", True) is False
    assert spec.get("app", "version.filename") == "app/edgeloop_shared/__init__.py"


def test_buildozer_knows_every_key_of_the_specification() -> None:
    import buildozer

    folder = Path(buildozer.__file__).parent
    code = (folder / "__init__.py").read_text() + "".join(
        path.read_text() for path in (folder / "targets").glob("*.py")
    )
    assert [key for key in read_spec() if f"'{key}'" not in code and f'"{key}"' not in code] == []


def test_python_for_android_takes_the_services_and_permissions(staged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What buildozer passes on, read by the parser of the build that would come."""
    from buildozer.specparser import SpecParser

    monkeypatch.setenv("P4A_BUILD_IS_RUNNING_UNITTESTS", "1")
    from pythonforandroid.bootstraps.common.build import build

    monkeypatch.setattr(build, "get_bootstrap_name", lambda: "sdl2")
    monkeypatch.setattr(build, "get_dist_ndk_min_api_level", lambda: 24)
    spec = SpecParser()
    spec.read(str(staged / "buildozer.spec"), "utf-8")
    arguments = ["--package", "org.edgeloop.companion", "--name", "edgeloop", "--version", "0.1.0", "--private", "app"]
    for service in spec.getlist("app", "services"):
        arguments += ["--service", service]
    for permission in spec.getlist("app", "android.permissions"):
        arguments += ["--permission", permission]
    for orientation in spec.getlist("app", "orientation"):
        arguments += ["--orientation", orientation]
    arguments += spec.get("app", "p4a.extra_args").split()
    options = build.create_argument_parser().parse_args(arguments)
    assert options.optimize_python is False
    assert options.services[3] == "Worker4:worker_service.py:foreground:foregroundServiceType=connectedDevice"
    names = [permission["name"] for permission in build.parse_permissions(options.permissions)]
    assert "android.permission.FOREGROUND_SERVICE_CONNECTED_DEVICE" in names
