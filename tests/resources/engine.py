"""A Pulumi engine that only listens: it keeps every registration with its inputs and options."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pulumi
from google.protobuf import json_format
from pulumi.runtime import mocks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Registration:
    """One registered resource."""

    type: str
    name: str
    inputs: dict[str, Any]
    provider: str
    protect: bool
    delete_before_replace: bool
    replace_on_changes: tuple[str, ...]
    ignore_changes: tuple[str, ...]
    replacement_trigger: object
    retain_on_delete: bool


class _Answers(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        return f"{args.name}_id", dict(args.inputs)

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program asks for {args.token}")


class Listener(mocks.MockMonitor):
    """Keeps registrations."""

    def __init__(self) -> None:
        super().__init__(_Answers())
        self.registrations: list[Registration] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  # the name is Pulumi's
        trigger = json_format.MessageToDict(request).get("replacementTrigger")
        self.registrations.append(
            Registration(
                type=request.type,
                name=request.name,
                inputs=json_format.MessageToDict(request.object),
                provider=request.provider,
                protect=request.protect,
                delete_before_replace=request.deleteBeforeReplace,
                replace_on_changes=tuple(request.replaceOnChanges),
                ignore_changes=tuple(request.ignoreChanges),
                replacement_trigger=trigger,
                retain_on_delete=request.retainOnDelete,
            )
        )
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]

    def of_type(self, kind: str) -> dict[str, Registration]:
        """Return the registrations of ``libvirt:index/KIND:…``, or of a component, by name."""
        found = {r.name: r for r in self.registrations if r.type.rpartition(":")[2] == kind}
        assert len(found) == sum(r.type.rpartition(":")[2] == kind for r in self.registrations), "a name came twice"
        return found

    def one(self, kind: str, name: str) -> Registration:
        """Return one registration."""
        return self.of_type(kind)[name]


def run(program: Callable[[], None], *, preview: bool = False) -> Listener:
    """Run ``program`` to its end, with every resource registered, and return what was heard."""
    listener = Listener()
    mocks.set_mocks(listener.mocks, project="kumiai", stack="demo.dc1", preview=preview, monitor=listener)

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def whole() -> None:
        program()

    whole()
    return listener
