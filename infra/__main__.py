"""The Pulumi program: what the plan puts on one site. Plain ``pulumi preview`` and ``pulumi up`` run it as well."""

from __future__ import annotations

import datetime
import os
import pathlib

import pulumi

import infra.plan
from infra.plan import replacement
from infra.resources import components, surroundings
from infra.secrets import model as secrets_model
from network import errors

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> None:
    """Load the plan and the keys, then build."""
    stack, _, site = pulumi.get_stack().rpartition(".")
    stack_file = pathlib.Path(os.environ.get(surroundings.STACK_FILE) or ROOT / "stacks" / f"{stack}.yaml")
    as_of = os.environ.get(surroundings.AS_OF)
    plan = infra.plan.current(stack_file, datetime.date.fromisoformat(as_of) if as_of else surroundings.today())
    if replaced := os.environ.get(surroundings.REPLACED):
        plan = replacement.applied(plan, replacement.of(plan, replaced))
    if site not in plan.sites:
        raise errors.InputError(f"{pulumi.get_stack()}: name a stack and a site, such as {plan.stack}.{plan.sites[0]}")
    text, preview = pulumi.Config("kumiai").get("secrets"), pulumi.runtime.is_dry_run()
    if text is None and not preview:
        raise errors.InputError(f"the keys of {plan.stack} do not exist yet; `kumiai up {plan.stack}` makes them")
    secrets = secrets_model.parse(text) if text is not None else None
    components.build(plan, site, surroundings.collect(plan, site, secrets, preview=preview))


if __name__ == "__main__":
    try:
        main()
    except errors.KumiaiError as e:
        raise pulumi.RunError(str(e)) from None
