"""The voters of a cluster: founding, a voter that lost its data, and what none of them may do by itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from tests.database.place import Machine, Place, missing, place, until

pytestmark = pytest.mark.skipif(missing(), reason="needs root, etcd, patroni, PostgreSQL, HAProxy, nft")


@pytest.fixture
def founded() -> Iterator[Place]:
    with place() as found:
        for machine in voters(found):
            machine.start_voter(founding=True)
        for machine in voters(found):
            machine.settle()
        yield found


def voters(found: Place) -> list[Machine]:
    return [found.machines[name] for name in found.cluster.voters]


def members(machine: Machine) -> dict[str, tuple[str, bool]] | None:
    """Return name → member number and whether it may vote."""
    listed = machine.etcdctl("member", "list", "--write-out=json")
    if not listed.ok:
        return None
    return {
        one.get("name", ""): (f"{one['ID']:x}", not one.get("isLearner", False))
        for one in json.loads(listed.stdout)["members"]
    }


def test_a_voter_that_lost_its_data_leaves_joins_as_a_learner_and_votes_again(founded: Place) -> None:
    lost, *others = reversed(voters(founded))
    before = until(lambda: members(others[0]), "members")
    assert set(before) == set(founded.cluster.voters)
    assert others[0].etcdctl("put", "kept", "yes").ok
    lost.lose()
    for remains in (lost.folder / "srv").glob("etcd*"):
        shutil.rmtree(remains) if remains.is_dir() else remains.unlink()
    lost.plug("up")
    lost.start_voter()
    for _ in range(2):  # every step may be repeated
        voting = lost.voter("promote")
        assert voting.ok, voting.stderr
    after = until(lambda: members(lost), "members")
    assert set(after) == set(founded.cluster.voters)
    assert after[lost.node][0] != before[lost.node][0], "it is another member than the one that had voted"
    assert all(may_vote for _, may_vote in after.values())
    assert lost.etcdctl("get", "kept", "--print-value-only").stdout.strip() == "yes"
    # Its vote counts: with one of the others gone, the two decide.
    others[1].lose()
    until(lambda: lost.etcdctl("put", "kept", "still").ok, "two of three decide")
    # One that only was away comes back as what it was.
    others[1].plug("up")
    others[1].start_voter()
    assert others[1].voter("promote").ok
    back = until(lambda: members(others[1]), "members")
    assert back == after


def test_an_empty_voter_founds_nothing_by_itself() -> None:
    with place() as found:
        machine = voters(found)[0]
        (machine.folder / "srv/etcd").mkdir()
        refused = machine.voter("join")
        assert not refused.ok
        assert refused.stderr.startswith("voter juki-db1: has no data, no other voter answers, and it was not told to")
        assert "configure all voters of the cluster in one run" in refused.stderr
