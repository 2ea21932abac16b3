"""Every role: what its specification says is what its defaults and its tasks know."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import yaml

from tests.conftest import Golden

ROLES = pathlib.Path(__file__).parents[2] / "roles"
NAMES = sorted(path.parent.parent.name for path in ROLES.glob("*/meta/argument_specs.yml"))
READ_BY_PYTHON = {"hypervisor_line_uplinks"}
"""Options that stand in the inventory for `kumiai` and not for the tasks."""
WORD = re.compile(r"[a-z_]+")


def options(role: str) -> dict[str, dict[str, Any]]:
    spec = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())
    found: dict[str, dict[str, Any]] = spec["argument_specs"]["main"]["options"]
    return found


def defaults(role: str) -> dict[str, Any]:
    path = ROLES / role / "defaults" / "main.yml"
    return yaml.safe_load(path.read_text()) or {} if path.exists() else {}


def test_there_are_roles() -> None:
    assert {"application", "base", "database", "gateway", "load_balancer"} <= set(NAMES)


@pytest.mark.parametrize("role", NAMES)
def test_defaults_and_specification_agree(role: str) -> None:
    optional = {name: option.get("default") for name, option in options(role).items() if not option.get("required")}
    assert optional == defaults(role)


@pytest.mark.parametrize("role", NAMES)
def test_every_option_is_described_and_named_after_the_role(role: str) -> None:
    for name, option in options(role).items():
        assert name.startswith(f"{role}_")
        assert option["description"]
        assert option.get("required") or "default" in option


@pytest.mark.parametrize("role", NAMES)
def test_every_variable_of_the_role_is_specified_and_used(role: str) -> None:
    sources = [path for folder in ("tasks", "templates", "files") for path in (ROLES / role / folder).rglob("*.*")]
    text = "\n".join(path.read_text() for path in sources if path.suffix in (".yml", ".j2"))
    used = {word for word in WORD.findall(text) if word.startswith(f"{role}_")}
    local = set(re.findall(rf"^\s+({role}_[a-z_]+):", text, re.MULTILINE))  # vars and registered names
    local |= set(re.findall(rf"register: ({role}_[a-z_]+)", text))
    assert used - local - set(options(role)) == set()
    assert set(options(role)) - used <= READ_BY_PYTHON


@pytest.mark.parametrize("role", NAMES)
def test_no_role_installs_packages(role: str) -> None:
    for path in (ROLES / role / "tasks").glob("*.yml"):
        assert not re.search(r"builtin\.(apt|package|pip|dnf|get_url)\b|apt-get", path.read_text())


def readme(role: str) -> str:
    """Return the role's README, which is made from its specification."""
    main = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]
    lines = [f"# {role}", "", f"{main['short_description']}.", "", *main["description"], ""]
    lines += ["| variable | type | default | meaning |", "|---|---|---|---|"]
    for name, option in main["options"].items():
        default = "(required)" if option.get("required") else f"`{yaml_text(option['default'])}`"
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        told = option["description"]
        lines.append(f"| `{name}` | {kind} | {default} | {told if isinstance(told, str) else ' '.join(told)} |")
    return "\n".join([*lines, "", "Made from `meta/argument_specs.yml`; `pytest --update-golden` writes it anew.", ""])


def yaml_text(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


@pytest.mark.parametrize("role", NAMES)
def test_the_readme_says_what_the_specification_says(role: str, golden: Golden) -> None:
    path = ROLES / role / "README.md"
    if golden.update:
        path.write_text(readme(role), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == readme(role)
