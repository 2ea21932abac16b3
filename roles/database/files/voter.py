#!/usr/bin/python3
"""The place of a voter (etcd) in its cluster: ``voter.py join`` before it starts, ``voter.py promote`` afterwards.

A voter that lost what it had written must not vote as if it had it: it would vote twice. So a voter without data looks
for the others. When they are a cluster already, its old membership is removed, and it joins as a learner, which copies
everything before it gets a vote. Old and new one have the same address, which etcd allows once, so the lost one leaves
first; until the promotion the cluster stands on two voters either way. Only where a person's run of the play has found
all voters empty (``<data directory>.founding``) does it found a new cluster.

Reads etcd's own settings from the environment, all of them ``ETCD_…``; ``join`` writes what it found out to the file
``VOTER_JOIN``, in the same form. Every step may be repeated; nothing waits longer than `PROMOTION_S`.
"""

from __future__ import annotations

import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from typing import Any

ANSWER_S = 3
"""How long one voter may take to answer."""
PROMOTION_S = 120
"""How long a learner may take to copy what the others have."""
FOUNDING = ".founding"
UNDECIDED = ("not_decided", "3.0.0")
"""What a new cluster says of its version in its first seconds."""

Member = dict[str, Any]


class VoterError(Exception):
    """The voter cannot take part; the message says why and what to do."""


def main() -> None:
    """Do what the argument says."""
    try:
        {"join": join, "promote": promote}[sys.argv[1]]()
    except VoterError as error:
        sys.exit(f"voter {os.environ['ETCD_NAME']}: {error}")


def join() -> None:
    """Find out how to start, and prepare the others for it."""
    data = pathlib.Path(os.environ["ETCD_DATA_DIR"])
    target = pathlib.Path(os.environ["VOTER_JOIN"])
    target.unlink(missing_ok=True)
    if (data / "member").exists():
        return  # what it has written says all
    own = _planned()[os.environ["ETCD_NAME"]]
    known = _members(_others())
    if known is None:
        if data.with_suffix(FOUNDING).exists():
            return
        raise VoterError(
            "has no data, no other voter answers, and it was not told to found a new cluster; start the others, or "
            "configure all voters of the cluster in one run"
        )
    mine = next((member for member in known if own in member["peerURLs"]), None)
    if mine is not None and _has_voted(mine):
        _etcdctl(_others(), "member", "remove", _hexadecimal(mine))
        mine = None
    if mine is None:
        adding = ("member", "add", os.environ["ETCD_NAME"], "--learner", f"--peer-urls={own}", "--write-out=json")
        # As the answer lists them: an etcd before 3.5 that is asked next tells what it knows, which may not be all yet.
        known = json.loads(_etcdctl(_others(), *adding))["members"]
    elif mine.get("name") and not mine.get("isLearner"):
        return  # one of the founders, and the others have begun before it
    peers = {url: member.get("name") or os.environ["ETCD_NAME"] for member in known for url in member["peerURLs"]}
    cluster = ",".join(f"{name}={url}" for url, name in peers.items())
    target.write_text(f"ETCD_INITIAL_CLUSTER_STATE=existing\nETCD_INITIAL_CLUSTER={cluster}\n", encoding="utf-8")


def promote() -> None:
    """Get the vote of a learner; then have those leave that the plan does not name."""
    name, everybody = os.environ["ETCD_NAME"], [*_others(), os.environ["ETCD_ADVERTISE_CLIENT_URLS"]]
    until = time.monotonic() + PROMOTION_S
    while True:
        known = _members(everybody) or []
        mine = next((member for member in known if member.get("name") == name), None)
        if mine is not None and not mine.get("isLearner"):
            break
        try:
            if mine is None:
                raise VoterError("the others do not know it yet")
            _etcdctl(_others(), "member", "promote", _hexadecimal(mine))
        except VoterError as error:  # it has not copied everything yet
            if time.monotonic() > until:
                raise VoterError(f"got no vote in {PROMOTION_S} s: {error}") from None
            time.sleep(1)
    while not _knows_its_version():
        if time.monotonic() > until:
            raise VoterError(f"the cluster has agreed on no version in {PROMOTION_S} s")
        time.sleep(0.5)
    planned = set(_planned().values())
    voters = [member for member in known if _has_voted(member) and not member.get("isLearner")]
    voting = {url for member in voters for url in member["peerURLs"]}
    if planned <= voting:
        for member in known:
            if planned.isdisjoint(member["peerURLs"]):
                _etcdctl(everybody, "member", "remove", _hexadecimal(member))


def _knows_its_version() -> bool:
    """Say whether the cluster has agreed on its version: a Patroni that starts before speaks an older one for good."""
    trust = ssl.create_default_context(cafile=os.environ["ETCD_TRUSTED_CA_FILE"])
    trust.load_cert_chain(os.environ["ETCD_CERT_FILE"], os.environ["ETCD_KEY_FILE"])
    asked = f"{os.environ['ETCD_ADVERTISE_CLIENT_URLS']}/version"
    try:
        with urllib.request.urlopen(asked, timeout=ANSWER_S, context=trust) as answer:  # noqa: S310 - https, by the plan
            return json.load(answer)["etcdcluster"] not in UNDECIDED
    except OSError:
        return False


def _planned() -> dict[str, str]:
    """Return name → address of the voters of the plan."""
    pairs = (entry.split("=", 1) for entry in os.environ["ETCD_INITIAL_CLUSTER"].split(","))
    return {name: url for name, url in pairs}


def _others() -> list[str]:
    """Return where the other voters are asked: at the address of each in the plan, at the port of this one."""
    port = os.environ["ETCD_ADVERTISE_CLIENT_URLS"].rsplit(":", 1)[1]
    return [f"{url.rsplit(':', 1)[0]}:{port}" for name, url in _planned().items() if name != os.environ["ETCD_NAME"]]


def _has_voted(member: Member) -> bool:
    """Say whether it has ever started: then it has told the others where it is asked."""
    return bool(member.get("clientURLs"))


def _hexadecimal(member: Member) -> str:
    return format(member["ID"], "x")


def _members(endpoints: list[str]) -> list[Member] | None:
    """Return the members as the first of ``endpoints`` knows them that is part of a cluster; None when none is."""
    for endpoint in endpoints:
        if not _listens(endpoint):  # etcdctl would try for its whole time
            continue
        try:
            answer = json.loads(_etcdctl([endpoint], "member", "list", "--write-out=json"))
        except VoterError:
            continue
        members: list[Member] = answer["members"]
        return members
    return None


def _listens(endpoint: str) -> bool:
    address, port = endpoint.removeprefix("https://").rsplit(":", 1)
    try:
        socket.create_connection((address, int(port)), timeout=ANSWER_S).close()
    except OSError:
        return False
    return True


def _etcdctl(endpoints: list[str], *arguments: str) -> str:
    """Ask the first of ``endpoints`` that answers."""
    argv = [
        "etcdctl",
        f"--endpoints={','.join(endpoints)}",
        f"--cacert={os.environ['ETCD_TRUSTED_CA_FILE']}",
        f"--cert={os.environ['ETCD_CERT_FILE']}",
        f"--key={os.environ['ETCD_KEY_FILE']}",
        f"--command-timeout={ANSWER_S}s",
        *arguments,
    ]
    # Its other settings would be taken from the environment, where ETCD_… are the server's; it reads ETCDCTL_… only.
    environment = {"PATH": os.environ["PATH"], "ETCDCTL_API": "3"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=3 * ANSWER_S, check=False, env=environment)
    except subprocess.TimeoutExpired:
        raise VoterError(f"etcdctl {arguments[0]} {arguments[1]}: no answer in {3 * ANSWER_S} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise VoterError(f"etcdctl {arguments[0]} {arguments[1]}: {said[-1] if said else 'no reason given'}")
    return done.stdout


if __name__ == "__main__":
    main()
