"""What the templates plugin declares is there, and is complete."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import tomllib
from importlib.resources.abc import Traversable

import pluggy
import pytest

from edgeloop import ProjectTemplate, hookspecs


def declared_templates() -> dict[str, ProjectTemplate]:
    """Return the templates as the daemon finds them: through the entry point and the hook."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    (entry,) = importlib.metadata.entry_points(group="edgeloop", name="templates")
    manager.register(entry.load())
    manager.check_pending()
    (templates,) = manager.hook.edgeloop_project_templates()
    return {template.name: template for template in templates}


def folder_of(template: ProjectTemplate) -> Traversable:
    package, _, folder = template.folder.partition(":")
    return importlib.resources.files(package) / folder


def test_both_templates_are_found_through_the_entry_point() -> None:
    assert set(declared_templates()) == {"digits-mnn", "empty"}


@pytest.mark.parametrize("name", ["digits-mnn", "empty"])
def test_a_template_holds_settings_with_a_place_for_the_name(name: str) -> None:
    folder = folder_of(declared_templates()[name])
    settings = (folder / "edgeloop.toml").read_text(encoding="utf-8")
    assert settings.count("@NAME@") == 1
    assert tomllib.loads(settings.replace("@NAME@", "first try"))["name"] == "first try"


@pytest.mark.parametrize("name", ["digits-mnn", "empty"])
def test_a_template_keeps_results_out_of_git_and_explains_itself(name: str) -> None:
    folder = folder_of(declared_templates()[name])
    assert "artifacts/" in (folder / "gitignore").read_text(encoding="utf-8").splitlines()
    assert (folder / "README.md").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", ["digits-mnn", "empty"])
def test_what_a_template_requires_is_named_as_distributions(name: str) -> None:
    for distribution in declared_templates()[name].requires:
        assert importlib.metadata.version(distribution)


def test_the_settings_of_digits_train_and_name_what_travels() -> None:
    folder = folder_of(declared_templates()["digits-mnn"])
    settings = tomllib.loads((folder / "edgeloop.toml").read_text(encoding="utf-8"))
    script = settings["train"]["command"].split()[-1]
    assert (folder / script).is_file()
    assert settings["train"]["backend"] == "local"
    assert "artifacts/latest/*.mnn" in settings["run"]["include"]
