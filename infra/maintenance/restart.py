"""The application of a business is restarted on one machine after the other, and no request fails."""

from __future__ import annotations

from infra.configure import application
from infra.maintenance import steps
from infra.maintenance.crew import Crew
from infra.maintenance.steps import Drain
from infra.status.faults import unexplained
from network.errors import InputError, OperationError
from network.model import NetworkPlan, ServiceEndpoint


def find(network: NetworkPlan, name: str) -> ServiceEndpoint:
    """Return the endpoint ``name``, such as ``juki`` or ``zaimu-nishiki``; InputError, with all names, for another."""
    for endpoint in network.endpoints:
        if endpoint.name == name:
            return endpoint
    raise InputError(f"{name}: no such business; there are {', '.join(e.name for e in network.endpoints)}")


def restart(crew: Crew, endpoint: ServiceEndpoint, *, accept_stop: bool) -> tuple[str, ...]:
    """Restart it on every machine in turn; the next one begins when the last one serves again. Return the machines.

    Raises OperationError when its only machine would stop serving, or another one does not serve.
    """
    if len(endpoint.application) == 1 and not accept_stop:
        raise OperationError(
            f"{endpoint.name}: {endpoint.application[0]} alone serves it, so requests would fail meanwhile.\n"
            "Nothing was touched. To accept it: --accept-stop"
        )
    nodes = tuple(dict.fromkeys((*endpoint.entry, *endpoint.application)))
    for node in endpoint.application:
        status = crew.look(nodes)
        faults = unexplained(status.faults, [node])
        if faults:
            listed = "\n".join(f"  {fault}" for fault in faults)
            raise OperationError(f"what serves {endpoint.name} besides {node} is not whole:\n{listed}")
        crew.progress(f"restarting {endpoint.name} on {node}")
        if len(endpoint.application) > 1:
            crew.drain(Drain(node=node, backends=steps.backends_of(endpoint), entries=endpoint.entry))
        crew.machines.run(node, "systemctl", "restart", application.unit(endpoint))
        crew.ready(endpoint, node)
        crew.await_whole(nodes)
    return endpoint.application
