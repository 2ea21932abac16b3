"""The identifier of an image changes with each of its inputs, and with nothing else."""

import pathlib
import shutil

import pytest

from infra.image import Recipe, recipe, recipe_digest
from network import errors


@pytest.fixture
def guest(tmp_path: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(recipe.GUEST, tmp_path / "guest"))


def test_same_inputs_in_another_place_and_order_are_the_same_image(guest: pathlib.Path) -> None:
    other = Recipe(guest=guest, packages=tuple(reversed(recipe.PACKAGES)))
    assert recipe_digest(other) == recipe_digest(Recipe())
    assert recipe.is_image_id(Recipe().image_id)
    assert Recipe().image_id.startswith("trixie-")


@pytest.mark.parametrize(
    "other", [Recipe(suite="bookworm"), Recipe(packages=(*recipe.PACKAGES, "tree")), Recipe(root_gib=5)], ids=repr
)
def test_each_setting_is_an_input(other: Recipe) -> None:
    assert recipe_digest(other) != recipe_digest(Recipe())


def test_each_file_is_an_input_with_content_name_and_mode(guest: pathlib.Path) -> None:
    script = guest / "customise.sh"
    seen = {recipe_digest(Recipe(guest=guest))}
    script.write_text(script.read_text() + "\n")
    seen.add(recipe_digest(Recipe(guest=guest)))
    script.chmod(0o644)
    seen.add(recipe_digest(Recipe(guest=guest)))
    (guest / "overlay" / "etc" / "added").touch()
    seen.add(recipe_digest(Recipe(guest=guest)))
    assert len(seen) == 4


def test_builder_version_is_an_input(monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe_digest(Recipe())
    monkeypatch.setattr(recipe, "BUILDER_VERSION", recipe.BUILDER_VERSION + 1)
    assert recipe_digest(Recipe()) != before


def test_an_incomplete_checkout_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.EnvironmentLackError, match="checkout is not complete"):
        recipe_digest(Recipe(guest=tmp_path))


def test_unknown_suites_and_empty_package_lists_are_refused() -> None:
    with pytest.raises(errors.InputError, match="expected one of bookworm, trixie"):
        Recipe(suite="potato")
    with pytest.raises(errors.InputError, match="without packages"):
        Recipe(packages=())


def test_no_address_of_an_archive_stands_in_the_guests_files() -> None:
    texts = [path.read_text() for path in recipe.GUEST.rglob("*") if path.is_file()]
    assert len(texts) > 5
    assert not [text for text in texts if "://" in text]
