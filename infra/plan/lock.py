"""The lock file beside a stack file: everything that was given out, so that nothing moves by itself.

It is written by ``kumiai plan`` and ``kumiai up`` only, and read by a person in a review: one line per decision.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import pathlib
from collections.abc import Collection, Mapping
from typing import Annotated, Any

import pydantic
import yaml

from network.addressing import AddressBook, Quarantined, SegmentEntry
from network.errors import InputError

HEADER = "# Written by `kumiai plan` and `kumiai up`: commit it, do not edit it.\n"


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")


class NodeEntry(_Model):
    """What the lock holds of one machine."""

    host: str
    generation: Annotated[int, pydantic.Field(ge=1)]
    image: str | None = None
    """Pinned when the machine is made."""
    cards: dict[str, str]
    """Segment → MAC address, in card order."""


class _Segment(_Model):
    ordinal: int
    prefix: ipaddress.IPv4Network
    addresses: dict[str, ipaddress.IPv4Address]
    vrids: dict[str, int] = {}


class _Quarantined(_Model):
    segment: str
    value: str
    until: int


class _File(_Model):
    kumiai_lock: Annotated[int, pydantic.Field(ge=1, le=1)]
    stack: str
    generation: int
    gateways: dict[str, tuple[str, ...]]
    shared_segments: dict[str, str]
    nodes: dict[str, NodeEntry]
    retired: dict[str, int]
    segments: dict[str, _Segment]
    quarantine: tuple[_Quarantined, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The decisions of the last plan."""

    stack: str
    generation: int = 0
    gateways: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Shard → members."""
    shared_segments: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Multi-tenant service → its segment."""
    nodes: Mapping[str, NodeEntry] = dataclasses.field(default_factory=dict)
    retired: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Name of a removed machine → its last generation."""
    book: AddressBook = dataclasses.field(default_factory=AddressBook)


def path_of(stack_file: pathlib.Path) -> pathlib.Path:
    """Return the lock that belongs to ``stack_file``."""
    return stack_file.with_name(f"{stack_file.stem}.lock.yaml")


def load(stack_file: pathlib.Path) -> Lock:
    """Return the lock of ``stack_file``, an empty one when there is none; raise InputError when it is broken."""
    path = path_of(stack_file)
    if not path.exists():
        return Lock(stack=stack_file.stem)
    return parse(path.read_text(encoding="utf-8"), str(path), stack_file.stem)


def parse(text: str, where: str, stack: str) -> Lock:
    """Return the lock that ``text`` holds."""
    try:
        file = _File.model_validate(yaml.load(text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, pydantic.ValidationError) as error:
        first = str(error).splitlines()
        raise InputError(
            f"{where}: not a lock that this version can read ({'; '.join(first[1:3]) or first[0]}); "
            "take the last good one from version control"
        ) from None
    if file.stack != stack:
        raise InputError(f"{where}: it belongs to the stack {file.stack}, not to {stack}")
    return Lock(
        stack=file.stack,
        generation=file.generation,
        gateways=file.gateways,
        shared_segments=file.shared_segments,
        nodes=file.nodes,
        retired=file.retired,
        book=AddressBook(
            segments={
                name: SegmentEntry(ordinal=s.ordinal, prefix=s.prefix, addresses=s.addresses, vrids=s.vrids)
                for name, s in file.segments.items()
            },
            quarantine=tuple(Quarantined(segment=q.segment, value=q.value, until=q.until) for q in file.quarantine),
        ),
    )


def dump(lock: Lock) -> str:
    """Return the text of ``lock``: the same lock gives the same bytes."""
    document: dict[str, Any] = {
        "kumiai_lock": 1,
        "stack": lock.stack,
        "generation": lock.generation,
        "gateways": {name: list(members) for name, members in sorted(lock.gateways.items())},
        "shared_segments": dict(sorted(lock.shared_segments.items())),
        "nodes": {name: entry.model_dump(exclude_none=True) for name, entry in sorted(lock.nodes.items())},
        "retired": dict(sorted(lock.retired.items())),
        "segments": {
            name: {
                "ordinal": entry.ordinal,
                "prefix": str(entry.prefix),
                "addresses": {owner: str(address) for owner, address in entry.addresses.items()},
                "vrids": dict(entry.vrids),
            }
            for name, entry in sorted(lock.book.segments.items())
        },
        "quarantine": [dataclasses.asdict(entry) for entry in lock.book.quarantine],
    }
    return HEADER + yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False, width=120)


def write(stack_file: pathlib.Path, text: str) -> None:
    """Write the lock of ``stack_file`` in one step, so that an interrupted run leaves the old one."""
    path = path_of(stack_file)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def pin_anew(lock: Lock, nodes: Collection[str], image: str) -> Lock:
    """Return ``lock`` with ``image`` pinned for ``nodes``, whatever they were made from."""
    return dataclasses.replace(
        lock,
        nodes={
            name: entry.model_copy(update={"image": image}) if name in nodes else entry
            for name, entry in lock.nodes.items()
        },
    )


def pin_images(lock: Lock, image: str) -> Lock:
    """Return ``lock`` with ``image`` pinned for every machine that has none yet."""
    return dataclasses.replace(
        lock,
        nodes={
            name: entry if entry.image else entry.model_copy(update={"image": image})
            for name, entry in lock.nodes.items()
        },
    )
