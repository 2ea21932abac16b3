"""Fixtures for all tests."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import hypothesis
import pytest

os.environ.pop("COLUMNS", None)  # commands are as wide as for a file, whatever a worker was told about its terminal
hypothesis.settings.register_profile("untimed", deadline=None)  # no test judges by the clock
hypothesis.settings.load_profile("untimed")

GOLDEN = pathlib.Path(__file__).parent / "golden"


@dataclasses.dataclass(frozen=True)
class Golden:
    """Texts that a person has read and approved, in tests/golden."""

    update: bool

    def check(self, name: str, text: str) -> None:
        """Compare ``text`` with the approved one; with --update-golden, take it over (and read the diff)."""
        path = GOLDEN / name
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing; write it with --update-golden and read it"
        assert text == path.read_text(encoding="utf-8")

    def check_all(self, folder: str, texts: dict[str, str]) -> None:
        """Compare a whole folder; an approved file that is no longer made is a difference too."""
        assert texts, "an empty comparison would pass"
        if self.update:
            for path in self._files(folder):
                path.unlink()
        for name, text in texts.items():
            self.check(f"{folder}/{name}", text)
        assert {str(path.relative_to(GOLDEN / folder)) for path in self._files(folder)} == set(texts)

    @staticmethod
    def _files(folder: str) -> list[pathlib.Path]:
        return [path for path in (GOLDEN / folder).rglob("*") if path.is_file()]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write tests/golden anew; read the diff before a commit"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """The approved texts."""
    return Golden(update=bool(request.config.getoption("--update-golden")))
