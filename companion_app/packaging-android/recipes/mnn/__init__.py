"""MNN, which publishes no wheel for Android: the one that `stage.py --mnn-wheels` has put into the folder `wheels`."""

from pathlib import Path

from pythonforandroid.recipe import PyProjectRecipe
from pythonforandroid.util import BuildInterruptingException

WHEELS = Path(__file__).resolve().parents[2] / "wheels"


class MNNRecipe(PyProjectRecipe):
    """Install the wheel as it is; `stage.py` has looked into it."""

    name = "MNN"
    version = "3.6.1"
    depends = ["numpy"]
    need_stl_shared = True

    def build_arch(self, arch):
        """Raise when there is no wheel for this processor."""
        suffix = arch.arch.replace("-", "_")
        found = [str(wheel) for wheel in WHEELS.glob(f"*_{suffix}.whl")]
        if len(found) != 1:
            raise BuildInterruptingException(f"{WHEELS} holds {len(found)} wheels of MNN for {arch.arch}, not one")
        self.install_wheel(arch, found)


recipe = MNNRecipe()
