"""zeroconf, of which python-for-android's own recipe builds a version of 2020. Its last pure wheel is old; one is built here."""

from pathlib import Path

from pythonforandroid.logger import shprint
from pythonforandroid.recipe import PyProjectRecipe


class ZeroconfRecipe(PyProjectRecipe):
    """Have pip build the wheel from its source, without the parts that Cython would compile."""

    name = "zeroconf"
    version = "0.154.0"
    depends = ["ifaddr"]

    def build_arch(self, arch):
        """Build and install the wheel."""
        folder = Path(self.get_build_dir(arch.arch), "wheel")
        folder.mkdir(parents=True, exist_ok=True)
        shprint(
            self._host_recipe.pip,
            *("wheel", "--no-deps", "--no-binary", self.name, "--wheel-dir", str(folder), self.get_pip_name()),
            _env={**self.get_hostrecipe_env(), "SKIP_CYTHON": "1"},
        )
        self.install_wheel(arch, [str(wheel) for wheel in folder.glob("*.whl")])


recipe = ZeroconfRecipe()
