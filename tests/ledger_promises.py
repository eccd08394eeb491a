"""The part of the audit that is about holds, and about usage that is undone (see `ledger_check`).

What is held stays in its grants, so both are kept here in step: `place` marks credits of grants as
held, `capture` spends them, `end` lets go of them, and `reverse` gives spent ones back.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

LONGEST: Final = 7 * 24 * 3600 * 1_000_000

Row = Mapping[str, Any]
Parts = list[list[Any]]


@dataclass(slots=True)
class Promises:
    """Holds after the entries that were taken so far; `grants` are those of the tally."""

    grants: MutableMapping[str, dict[str, Any]]
    holds: dict[str, dict[str, Any]] = field(default_factory=dict)
    placed: dict[str, Row] = field(default_factory=dict)
    """The first entry of each hold."""
    undone: Counter[str] = field(default_factory=Counter)
    """What has been reversed of each event."""

    @property
    def held(self) -> int:
        return sum(_sum(hold["parts"]) for hold in self.holds.values())

    def place(self, entry: Row) -> None:
        terms = json.loads(entry["detail"])
        parts = json.loads(entry["drawn"])
        assert _sum(parts) == entry["credits"] > 0, entry
        for grant_id, part in parts:
            grant = self.grants[grant_id]
            assert part > 0, entry
            assert grant["status"] == "active", entry
            grant["held"] += part
        self.holds[entry["hold_id"]] = {
            **terms,
            "credits": entry["credits"],
            "parts": parts,
            "captured": 0,
            "status": "open",
            "placed": entry["sequence"],
            "teamspace_id": entry["teamspace_id"],
            "api_key_id": entry["api_key_id"],
            "meter": entry["meter"],
            "created_at": entry["booked_at"],
        }
        self.placed[entry["hold_id"]] = entry

    def extend(self, entry: Row) -> None:
        hold = self._open_hold(entry)
        expires_at = json.loads(entry["detail"])["expires_at"]
        assert hold["expires_at"] < expires_at <= hold["created_at"] + LONGEST, entry
        hold["expires_at"] = expires_at

    def capture(self, entry: Row, drawn: Parts) -> Parts:
        """Takes what was held first; the rest of `drawn` was drawn as usage draws."""
        hold = self._open_hold(entry)
        taken, hold["parts"] = _cut(hold["parts"], entry["credits"])
        for grant_id, part in taken:
            grant = self.grants[grant_id]
            grant["held"] -= part
            grant["remaining"] -= part
            if grant["status"] == "active" and not grant["remaining"]:
                grant["status"] = "exhausted"
        first, rest = _cut(drawn, _sum(taken))
        assert first == taken, f"{entry}: held was {taken}"
        hold["captured"] += entry["credits"]
        if not hold["parts"]:
            hold["status"] = "captured"
        return rest

    def end(self, entry: Row) -> int:
        """What of a hold that ended lapsed, because its grant had ended before."""
        hold = self._open_hold(entry)
        facts = json.loads(entry["detail"])
        given_back = hold["parts"]
        assert json.loads(entry["drawn"]) == given_back, entry
        assert entry["credits"] == _sum(given_back) > 0, entry
        lapsed = [part for part in given_back if self.grants[part[0]]["status"] != "active"]
        assert facts.get("lapsed", []) == lapsed, entry
        is_expiry = entry["kind"] == "hold.expired"
        expected = {"expired"} if is_expiry else {"released", "captured"}
        assert facts["status"] in expected, entry
        assert is_expiry == (entry["booked_at"] == hold["expires_at"]), entry
        for grant_id, part in given_back:
            self.grants[grant_id]["held"] -= part
        for grant_id, part in lapsed:
            self.grants[grant_id]["remaining"] -= part
        hold["parts"], hold["status"] = [], facts["status"]
        return _sum(lapsed)

    def _open_hold(self, entry: Row) -> dict[str, Any]:
        hold = self.holds[entry["hold_id"]]
        assert hold["status"] == "open", f"{entry}: the hold had ended"
        assert entry["booked_at"] <= hold["expires_at"], f"{entry}: the hold's time was up"
        return hold

    def reverse(self, entry: Row, event: Row, *, in_period: bool) -> int:
        """Gives back what a reversal says that it gave back; the overage that it undid."""
        facts = json.loads(entry["detail"])
        returned, lapsed = json.loads(entry["drawn"]), facts["lapsed"]
        assert facts["in_period"] == in_period, entry
        uncovered = event["credits"] - _sum(json.loads(event["drawn"]))
        every = [["", uncovered], *reversed(json.loads(event["drawn"]))]
        _, left = _cut(every, self.undone[event["event_id"]])
        parts, _ = _cut(left, entry["credits"])
        assert _sum(parts) == entry["credits"], f"{entry}: more than was booked"
        overage = _sum(part for part in parts if not part[0])
        assert facts["overage"] == overage, entry
        _assert_same_parts(entry, [part for part in parts if part[0]], returned, lapsed)
        self.undone[event["event_id"]] += entry["credits"]
        for grant_id, part in returned:
            grant = self.grants[grant_id]
            assert grant["status"] in {"active", "exhausted"}, entry
            grant["remaining"] += part
            grant["status"] = "active"
        for grant_id, _ in lapsed:
            assert not self._lives(grant_id, entry["booked_at"]), entry
        return overage

    def _lives(self, grant_id: str, at: int) -> bool:
        grant = self.grants[grant_id]
        is_over = grant["expires_at"] is not None and grant["expires_at"] <= at
        return grant["status"] in {"active", "exhausted"} and not is_over

    def check_holds(self, rows: Sequence[Row]) -> None:
        """Compares with the rows that the file has."""
        assert {row["hold_id"] for row in rows} == set(self.holds), "there are other holds"
        for row in rows:
            name = row["hold_id"]
            stored = {**row, "parts": json.loads(row["parts"])}
            said = [stored.pop(column) for column in ("dimensions", "salt", "digest")]
            del stored["hold_id"], stored["organization_id"]
            assert stored == self.holds[name], f"{name}: the file has {stored}"
            self._check_content(name, *said)

    def _check_content(
        self, name: str, dimensions: str | None, salt: bytes | None, digest: bytes | None
    ) -> None:
        """Its dimensions are said by nothing but the digest in its first entry."""
        if dimensions is not None and salt is not None:
            expected = hashlib.sha256(salt + dimensions.encode()).digest()
            assert digest == expected, f"{name}: it was placed with other dimensions"
        entry = self.placed[name]
        facts = {
            "credits": entry["credits"],
            "dimensions": None if digest is None else digest.hex(),
            "expires_in": json.loads(entry["detail"])["expires_at"] - entry["booked_at"],
            "meter": entry["meter"],
            "teamspace_id": entry["teamspace_id"],
        }
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        content = hashlib.sha256(text.encode()).digest()
        assert content == entry["content"], f"{name}: it was placed with other dimensions"


def _assert_same_parts(entry: Row, parts: Parts, returned: Parts, lapsed: Parts) -> None:
    """Each part went back or lapsed, as a whole."""
    assert sorted(parts) == sorted([*returned, *lapsed]), entry
    assert [part for part in parts if part in returned] == returned, entry


def _cut(parts: Sequence[Sequence[Any]], wanted: int) -> tuple[Parts, Parts]:
    """The first `wanted` micro-credits of `parts`, and what follows them."""
    first, rest = [], []
    for name, part in parts:
        taken = min(part, wanted)
        wanted -= taken
        if taken:
            first.append([name, taken])
        if part > taken:
            rest.append([name, part - taken])
    return first, rest


def _sum(parts: Sequence[Sequence[Any]] | Iterator[Sequence[Any]]) -> int:
    return sum(part for _, part in parts)
