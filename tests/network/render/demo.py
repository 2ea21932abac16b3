"""The plan of the demo stack and its rendered files, computed once a test run."""

from __future__ import annotations

import datetime
import functools
import pathlib
from collections.abc import Mapping

import infra.plan
from network import flows, render
from network.model import NetworkPlan

STACK = pathlib.Path(__file__).parents[3] / "stacks" / "demo.yaml"
AS_OF = datetime.date(2026, 4, 1)


@functools.cache
def network() -> NetworkPlan:
    return infra.plan.compute(STACK, AS_OF).plan.network


@functools.cache
def resolution() -> flows.Resolution:
    return flows.resolve(network())


@functools.cache
def files() -> Mapping[str, Mapping[str, str]]:
    return render.render_all(network())
