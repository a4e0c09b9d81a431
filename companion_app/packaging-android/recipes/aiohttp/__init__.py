"""aiohttp, of which python-for-android's own recipe builds a version of 2022. It publishes a wheel for Android."""

from pythonforandroid.recipe import PyProjectRecipe
from pythonforandroid.util import BuildInterruptingException


class AiohttpRecipe(PyProjectRecipe):
    """Install the published wheel; nothing is built here."""

    name = "aiohttp"
    version = "3.14.5"

    def build_arch(self, arch):
        """Raise when there is no wheel for this processor and Python."""
        if not self.install_prebuilt_wheel(arch):
            raise BuildInterruptingException(f"no wheel of aiohttp {self.version} can be installed for {arch.arch}")


recipe = AiohttpRecipe()
