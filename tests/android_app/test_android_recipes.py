"""The specification and the recipes against python-for-android's and buildozer's own code: `make lint-android`.

No SDK, no NDK and no Gradle are needed for that, and nothing is built.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from android_app.staging import listed, read_spec, requirements

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


def test_every_package_that_is_not_built_has_a_wheel_for_android(context: Context) -> None:
    """Asked in one go of what pip is configured with, as python-for-android does it."""
    from pythonforandroid.recipe import PyProjectRecipe, Recipe

    pinned = requirements(read_spec())
    theirs = {path.name for path in Path(context.root_dir, "recipes").iterdir()} - {"aiohttp", "ifaddr", "zeroconf"}
    wanted = [f"{name}=={version}" for name, version in pinned.items() if name.lower() not in theirs]
    wanted = [one for one in wanted if not one.startswith(("zeroconf", "MNN"))]
    assert len(wanted) == 11
    tags = PyProjectRecipe.get_wheel_platform_tags(ARCH.arch, context)
    version = Recipe.get_recipe("python3", context).version
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--dry-run",
        "--no-deps",
        "--ignore-installed",
        *wanted,
    ]
    command += ["--only-binary=:all:", "--python-version", version, "--target", context.storage_dir]
    done = subprocess.run([*command, *(f"--platform={tag}" for tag in tags)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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


@pytest.fixture
def options(staged: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What buildozer passes on of the specification, read by the parser of the build that would come."""
    from buildozer.specparser import SpecParser

    monkeypatch.setenv("P4A_BUILD_IS_RUNNING_UNITTESTS", "1")
    from pythonforandroid.bootstraps.common.build import build

    monkeypatch.setattr(build, "get_bootstrap_name", lambda: "sdl2")
    monkeypatch.setattr(build, "get_dist_ndk_min_api_level", lambda: 24)
    spec = SpecParser()
    spec.read(str(staged / "buildozer.spec"), "utf-8")
    package = f"{spec.get('app', 'package.domain')}.{spec.get('app', 'package.name')}"
    arguments = ["--package", package, "--name", spec.get("app", "title"), "--version", "0.1.0", "--private", "app"]
    arguments += ["--minsdk", spec.get("app", "android.minapi"), "--numeric-version", "1", "--window"]
    arguments += [part for one in spec.getlist("app", "services") for part in ("--service", one)]
    arguments += [part for one in spec.getlist("app", "android.permissions") for part in ("--permission", one)]
    arguments += [part for one in spec.getlist("app", "orientation") for part in ("--orientation", one)]
    arguments += ["--extra-manifest-xml", (staged / spec.get("app", "android.extra_manifest_xml")).read_text()]
    arguments += ["--allow-backup", "true" if spec.getbooldefault("app", "android.allow_backup", True) else "false"]
    arguments += spec.get("app", "p4a.extra_args").split()
    options = build.create_argument_parser().parse_args(arguments)
    options.add_activity = []  # as its build sets it
    options.permissions = build.parse_permissions(options.permissions)
    options.manifest_orientation = build.get_manifest_orientation(options.orientation, options.manifest_orientation)
    return options


def rendered(template: str, **values: object) -> str:
    """Return what python-for-android's template makes of values, as its build does."""
    import jinja2
    import pythonforandroid

    bootstraps = Path(pythonforandroid.__file__).parent / "bootstraps"
    folders = [bootstraps / "_sdl_common/build/templates", bootstraps / "common/build/templates"]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folders))
    return str(environment.get_template(template).render(**values))


def test_the_manifest_that_would_be_written_says_what_is_meant(options: Any) -> None:
    services = [(one.split(":")[0], one.split("foregroundServiceType=")[1]) for one in options.services]
    text = rendered("AndroidManifest.tmpl.xml", args=options, service_data=services, android_api=34, debug=True)
    manifest = ElementTree.fromstring(text)

    def named(path: str, attribute: str = "name") -> list[str]:
        return [
            one.get(f"{{http://schemas.android.com/apk/res/android}}{attribute}", "") for one in manifest.iterfind(path)
        ]

    wanted = [f"android.permission.{one}" for one in listed(read_spec(), "android.permissions")]
    assert named("uses-permission") == wanted
    assert named("application/service") == [f"org.edgeloop.companion.ServiceWorker{slot}" for slot in range(4)]
    assert named("application/service", "process") == [f":service_Worker{slot}" for slot in range(4)]
    assert named("application/service", "foregroundServiceType") == ["connectedDevice"] * 4
    assert named("application", "allowBackup") == ["false"]
    assert named("application", "extractNativeLibs") == ["true"]
    assert named("application/activity", "screenOrientation") == ["unspecified"]  # both: it turns with the phone
    assert "android.hardware.camera" in named("uses-feature")
    assert named("uses-sdk", "minSdkVersion") == ["24"]


def test_a_service_is_the_class_that_the_companion_starts(options: Any) -> None:
    assert options.optimize_python is False
    name, script, *_ = options.services[0].split(":")
    values = {"entrypoint": script, "foreground": True, "service_id": 1, "base_service_class": "PythonService"}
    text = rendered("Service.tmpl.java", args=options, name=name, **values)
    assert "package org.edgeloop.companion;" in text
    assert "public class ServiceWorker0 extends PythonService" in text
    assert 'intent.putExtra("serviceEntrypoint", "worker_service.py")' in text
    # The five arguments of `android_workers.ServiceStarter`.
    found = re.findall(r"static public void start\(Context ctx,([^)]*)\)", text)
    assert ["String"] * 4 in [[one.split()[0] for one in parameters.split(",")] for parameters in found]
