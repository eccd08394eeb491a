"""Scripts drawn from a seed: the same seed gives the same script.

What a step says is drawn here once and for all; nothing is drawn while a world runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.simulation import edges
from tests.simulation.reads import READS
from tests.simulation.script import Script, Step

_PAUSES = (0, 0, 0, 0, 1, 20, 60, 100, 250, 1_000, 5_000)
_KINDS = ("top_up", "promotional", "adjustment")
_ALLOWANCES = ("0", "0.000001", "33.333333", "100", "1000", "1000", "5000")
_ROLLOVERS = ("none", "none", "all", "amount", "percent")
_OVERAGES = ("deny", "deny", "limit", "allow")


def script(seed: int, steps: int = 150) -> Script:
    return tuple(Author(Random(seed)).write(steps))


@dataclass(slots=True)
class Named:
    """How many events, holds and grants of an organization have names so far."""

    events: int = 0
    holds: int = 0
    grants: int = 0


class Author:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.orgs = [str(number) for number in range(random.choice((1, 1, 2, 3)))]
        self.clients = random.choice((1, 3, 8, 20))
        self.named = {org: Named() for org in self.orgs}
        self.org = self.orgs[0]
        """The organization that the present step is about."""
        self.is_doubtful = False
        """A commit's outcome may be unknown: what a crash soon after it leaves is of interest."""
        self.troubled = random.random()
        """How rarely disk and process are left in peace."""

    @property
    def mine(self) -> Named:
        return self.named[self.org]

    def write(self, steps: int) -> list[Step]:
        start = self.random.choice(edges.STARTS)
        return [
            Step(0, "clock", "set", {"to": start}),
            *(Step(0, "operator", "found", {"org": org, **self._terms()}) for org in self.orgs),
            *(self._step() for _ in range(steps)),
        ]

    def _step(self) -> Step:
        pause = self.random.choice(_PAUSES)
        self.org = self.random.choice(self.orgs)
        if self.is_doubtful and self._happens(0.4):
            self.is_doubtful = False
            return self._crash(pause)
        if self.random.random() < 0.10:
            return self._time(pause)
        if self.random.random() < 0.08 * self.troubled:
            return self._trouble(pause)
        return self._request(pause)

    def _request(self, pause: int) -> Step:
        (what,) = self.random.choices(_WHATS, _WEIGHTS)
        about = {"org": self.org, **what(self)}
        if what is not Author.read:
            about |= self._patience()
        client = f"c{self.random.randrange(self.clients)}"
        return Step(pause, client, what.__name__, about)

    def _patience(self) -> dict[str, str]:
        """How often a client tries, and what happens to it meanwhile."""
        chance = self.random.random()
        if chance < 0.5:
            return {"tries": "4"}
        if chance < 0.7:
            return {"tries": "3", "lost": self.random.choice("12"), "again": self._span()}
        if chance < 0.8:
            return {"tries": "2", "leaves": self._span()}
        if chance < 0.9:
            return {"tries": "4", "copies": self.random.choice("23")}
        return {}

    def _span(self) -> str:
        return self.random.choice(("1", "50", "100", "200", "1000"))

    # ── what clients ask ──

    def _event(self) -> str:
        """Mostly a new one, now and then one that was named before."""
        if self.mine.events and self._happens(0.15):
            return f"e{self.random.randrange(self.mine.events)}"
        self.mine.events += 1
        return f"e{self.mine.events - 1}"

    def _happens(self, chance: float) -> bool:
        return self.random.random() < chance

    def _flag(self, name: str, chance: float) -> dict[str, str]:
        return {name: "yes"} if self._happens(chance) else {}

    def _who(self) -> dict[str, str]:
        choose = self.random.choice
        who = {"teamspace": choose("01"), "by": choose("01")}
        if self._happens(0.3):
            who["meter"] = choose(("llm.tokens", "storage"))
        if self._happens(0.2):
            who["model"] = choose(("small", "large"))
        return who

    def use(self) -> dict[str, str]:
        many = self.random.choice((1, 1, 1, 1, 2, 4, 9))
        amounts = [self.random.choice(edges.SPENT) for _ in range(many)]
        about = {"event": ",".join(self._event() for _ in range(many)), "amount": ",".join(amounts)}
        about |= self._who() | self._flag("overdraw", 0.2)
        if many > 1:
            about |= self._flag("atomic", 0.5)
        if self._happens(0.02):
            about["poison"] = "yes"
        elif self._happens(0.1):
            about["key"] = f"k{self.random.randrange(20)}"
        return about

    def hold(self) -> dict[str, str]:
        number = self.mine.holds
        self.mine.holds += 1
        about = {"hold": f"h{number}", "amount": self.random.choice(edges.HELD)}
        about |= {"lasts": self._lasts()} | self._who()
        return about | {"reference": self._reference("h", number)}

    def _reference(self, prefix: str, number: int) -> str:
        """Mostly its own, now and then another's."""
        if number and self._happens(0.1):
            return f"{prefix}{self.random.randrange(number)}"
        return f"{prefix}{number}"

    def _lasts(self) -> str:
        return self.random.choice((*edges.LASTS, "day", "longest", "longest"))

    def _one_of(self, prefix: str, count: int, latest: int) -> str:
        """One of the latest of so many, mostly, and seldom one that cannot be there yet."""
        first = 0 if self._happens(0.2) else max(0, count - latest)
        count -= self._happens(0.9)
        first = min(first, max(0, count - 1))
        return f"{prefix}{self.random.randrange(first, max(1, count))}"

    def _held(self) -> str:
        """One that is open then, or by the name it was given."""
        if self._happens(0.7):
            return f"open-{self.random.randrange(3)}"
        return self._one_of("h", self.mine.holds, 4)

    def capture(self) -> dict[str, str]:
        about = {"hold": self._held(), "amount": self.random.choice(edges.CAPTURED)}
        if self._happens(0.8):
            about["event"] = self._event()
        about |= self._flag("final", 0.3) | self._flag("excess", 0.4)
        return about | self._flag("overdraw", 0.3)

    def release(self) -> dict[str, str]:
        return {"hold": self._held()}

    def extend(self) -> dict[str, str]:
        return {"hold": self._held(), "lasts": self._lasts()}

    def reverse(self) -> dict[str, str]:
        is_of_capture = self.mine.holds and self._happens(0.1)
        event = self._held() if is_of_capture else self._one_of("e", self.mine.events, 12)
        if self._happens(0.6):
            event = f"booked-{self.random.choice((0, 0, 1, 2, 5, 10))}"
        about = {"event": event, "amount": self.random.choice(edges.REVERSED)}
        if self._happens(0.7):
            about["reference"] = f"r{self.random.randrange(30)}"
        return about

    def budget(self) -> dict[str, str]:
        limit = self.random.choice((*edges.LIMITS, "plenty", "plenty", "none"))
        return {"subject": self.random.choice("0123"), "limit": limit}

    def grant(self) -> dict[str, str]:
        number = self.mine.grants
        self.mine.grants += 1
        about = {"grant": f"g{number}", "kind": self.random.choice(_KINDS)}
        about["amount"] = self.random.choice(edges.GRANTED)
        if self._happens(0.3):
            about["begins"] = self.random.choice(edges.WHENS)
        if self._happens(0.6):
            about["ends"] = self.random.choice(edges.WHENS)
        if self._happens(0.2):
            about["priority"] = self.random.choice(("0", "10", "100"))
        if self._happens(0.2):
            return about | {"key": f"k{self.random.randrange(20)}"}
        return about | {"reference": self._reference("g", number)}

    def void(self) -> dict[str, str]:
        grant = "allowance" if self._happens(0.2) else self._one_of("g", self.mine.grants, 5)
        return {"grant": grant, "amount": self.random.choice(edges.VOIDED)}

    def plan(self) -> dict[str, str]:
        parts = self.random.sample(
            ("allowance", "schedule", "rollover", "overage"), self.random.choice((1, 1, 2, 4))
        )
        return {**self._terms(), "parts": ",".join(parts)} | self._flag("now", 0.5)

    def status(self) -> dict[str, str]:
        return {"to": self.random.choice((*["active"] * 6, "suspended"))}

    def read(self) -> dict[str, str]:
        of = self.random.choice(("credits", "credits", "credits", *READS, "past"))
        return {"of": of, "look": str(self.random.randrange(100))} if of == "past" else {"of": of}

    def _terms(self) -> dict[str, str]:
        choose = self.random.choice
        about = {
            "allowance": choose(_ALLOWANCES),
            "interval": choose(("day", "week", "month", "month")),
            "count": choose("1112"),
            "anchor": choose(edges.ANCHORS),
            "zone": choose(edges.ZONES),
            "rollover": choose(_ROLLOVERS),
            "rollover-periods": choose("123"),
            "overage": choose(_OVERAGES),
        }
        if about["rollover"] in {"amount", "percent"}:
            about["rollover-cap"] = choose(("12.5", "33.333333"))
        if about["overage"] == "limit":
            about["overage-limit"] = choose(("0", "20.5"))
        return about

    # ── time and trouble ──

    def _time(self, pause: int) -> Step:
        chance = self.random.random()
        if chance < 0.1:
            what = self.random.choice(("back", "ahead"))
            return Step(pause, "clock", what, {"seconds": str(self.random.choice((1, 3600)))})
        if chance < 0.2:
            return Step(pause, "sweeper", "sweep")
        if chance < 0.25:
            return Step(pause, "auditor", "audit")
        return Step(pause, "clock", self.random.choice(edges.WAITS), {"org": self.org})

    def _trouble(self, pause: int) -> Step:
        choose = self.random.choice
        chance = self.random.random()
        if chance < 0.3:
            about = {
                "begins": choose(("0", "1", "100", "900")),
                "known": choose(("0", "20", "300")),
            }
            return Step(pause, "disk", "pace", about)
        if chance < 0.6:
            # A disk that is full says so when it is written; a failed sync is an error of its own.
            what, at = choose((("full", "write"), ("io", "write"), ("io", "sync"), ("io", "sync")))
            about = {"at": at, "file": choose(("-wal", "-wal", ""))}
            about |= {"after": choose("012345" if at == "write" else "001"), "times": choose("125")}
            self.is_doubtful = about["file"] == "-wal" and at == "sync"
            return Step(pause, "disk", what, about)
        return self._crash(pause)

    def _crash(self, pause: int) -> Step:
        about = {"chance": str(self.random.randrange(1_000))}
        if self.random.random() < 0.6:
            about["after"] = str(self.random.randrange(25))
        return Step(pause, "process", self.random.choice(("kill", "power")), about)


_WHATS_AND_WEIGHTS = (
    (Author.use, 30),
    (Author.hold, 11),
    (Author.capture, 11),
    (Author.release, 2),
    (Author.extend, 3),
    (Author.reverse, 8),
    (Author.budget, 4),
    (Author.grant, 8),
    (Author.void, 3),
    (Author.plan, 3),
    (Author.status, 3),
    (Author.read, 25),
)
_WHATS = [what for what, _ in _WHATS_AND_WEIGHTS]
_WEIGHTS = [weight for _, weight in _WHATS_AND_WEIGHTS]
