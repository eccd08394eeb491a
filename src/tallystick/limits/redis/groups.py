"""Which keys travel together.

A script on a Cluster may touch only keys of one slot. Were each key in a slot of its own, each
check would be a call of its own. So keys are gathered in a fixed number of groups by a hash tag,
and all checks of a group share a call. The groups' slots lie evenly in the 16 384 there are, so
however many masters divide these among them, each has its share of groups.

On one server, which has no slots, the same names are in use and all groups share calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from tallystick.limits.redis.server import Node

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

GROUPS: Final = 16
_SLOTS_PER_GROUP: Final = REDIS_CLUSTER_HASH_SLOTS // GROUPS


class Place(NamedTuple):
    """Where a key's window is."""

    group: int
    name: bytes


def _tags() -> list[str]:
    """For each group the number whose slot is nearest to the middle of the group's part."""
    nearest: dict[int, tuple[int, str]] = {}
    for number in range(256 * GROUPS):
        group, place = divmod(key_slot(b"%d" % number), _SLOTS_PER_GROUP)
        found = (abs(place - _SLOTS_PER_GROUP // 2), str(number))
        nearest[group] = min(nearest.get(group, found), found)
    return [nearest[group][1] for group in range(GROUPS)]


TAGS: Final = _tags()
SLOTS: Final = [key_slot(tag.encode()) for tag in TAGS]


def place_of(key: Hashable, window_ms: int) -> Place:
    """`key` is a string, or a tuple of strings without colons.

    The window's length is part of the name: nodes that disagree about it do not spoil each other's.
    """
    text = ":".join(map(str, key)) if isinstance(key, tuple) else str(key)
    group = crc32(text.encode()) % GROUPS
    return Place(group, f"tallystick:{{{TAGS[group]}}}:{window_ms}:{text}".encode())


def probe_of(group: int) -> bytes:
    """The name of a window for trying the server that has the group."""
    return f"tallystick:{{{TAGS[group]}}}:probe".encode()


def read_slots(reply: Sequence[Sequence[Any]], asked: Node) -> dict[int, Node]:
    """The masters of the groups, from CLUSTER SLOTS: `[first slot, last slot, master, …]` each.

    A node that does not know under which address it was asked calls itself nothing. A group whose
    slot nobody serves is left out.
    """
    found: dict[int, Node] = {}
    for first, last, master, *_ in reply:
        host = master[0].decode() if master[0] else asked.host
        node = Node(asked.host if host == "?" else host, int(master[1]))
        found.update((group, node) for group, slot in enumerate(SLOTS) if first <= slot <= last)
    return found
