"""ifaddr, whose own recipe in python-for-android patches a version of 2020 for Androids that have no getifaddrs. It is pure."""

from pythonforandroid.recipe import PyProjectRecipe
from pythonforandroid.util import BuildInterruptingException


class IfaddrRecipe(PyProjectRecipe):
    """Install the published wheel; nothing is built here."""

    name = "ifaddr"
    version = "0.2.0"

    def build_arch(self, arch):
        """Raise when there is no wheel."""
        if not self.install_prebuilt_wheel(arch):
            raise BuildInterruptingException(f"no wheel of ifaddr {self.version} can be installed for {arch.arch}")


recipe = IfaddrRecipe()
