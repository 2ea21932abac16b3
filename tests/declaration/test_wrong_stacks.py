from __future__ import annotations

import ast
import pathlib
import sys
from types import ModuleType

import pytest

from infra.declaration import DeclarationError, checks, findings
from infra.declaration.load import parse_located
from tests.declaration import wrong_rules, wrong_stacks
from tests.declaration.good_stack import GOOD

FILE = "stack.yaml"
ALL = (*wrong_stacks.TEXT, *wrong_stacks.SHAPE, *wrong_stacks.REFERENCES, *wrong_rules.ALL)


def errors_of(text: str) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        parse_located(text.encode(), pathlib.Path(FILE), "stack")
    assert str(caught.value).split("\n") == [str(finding) for finding in caught.value.findings]
    return [str(finding) for finding in caught.value.findings]


def test_the_good_file_is_good() -> None:
    assert len(parse_located(GOOD.encode(), pathlib.Path(FILE), "stack").declaration.services) == 3


@pytest.mark.parametrize("case", ALL, ids=str)
def test_a_wrong_file_says_exactly_what_is_wrong_and_where(case: wrong_stacks.Wrong) -> None:
    assert errors_of(case.file()) == case.expected(FILE)


Place = tuple[str, int]
CHECKS = [module for module in vars(checks).values() if isinstance(module, ModuleType) and hasattr(module, "Problem")]


def test_every_message_of_every_check_is_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever `Problem(…)` is taken out of a check, the expected messages of a wrong file above miss one."""
    said: set[Place] = set()

    def recorded(*parts: object, **more: object) -> findings.Problem:
        frame = sys._getframe(1)
        said.add((frame.f_code.co_filename, frame.f_lineno))
        return findings.Problem(*parts, **more)  # type: ignore[arg-type]

    written: set[Place] = set()
    for module in CHECKS:
        file = str(module.__file__)
        for node in ast.walk(ast.parse(pathlib.Path(file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                written.add((file, node.lineno))
        monkeypatch.setattr(module, "Problem", recorded)
    for case in ALL:
        assert errors_of(case.file())
    assert len(CHECKS) >= 9
    assert len(written) > 80
    assert written - said == set()


def test_networks_lines_zones_flows_and_translations_have_their_share() -> None:
    about = (
        *wrong_rules.NETWORKS, *wrong_rules.PREFIXES, *wrong_rules.HANDOFFS, *wrong_rules.LINES, *wrong_rules.FLOWS
    )  # fmt: skip
    assert len({case.file() for case in about}) >= 80
