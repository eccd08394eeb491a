"""How a command fails: what happened, what was not changed, what to do next.

Exit codes (documented in docs/cli.md):

    0    done
    1    a bug; the traceback says where
    2    the command line or a setting is wrong
    3    the service refused it
    4    the database or the server cannot be used now
    5    done, except for lines that were rejected
    6    the ledger disagrees with itself, or with its anchor
    130  interrupted
"""

from __future__ import annotations

from typing import Final

REFUSED: Final = 3
UNAVAILABLE: Final = 4
SOME_REJECTED: Final = 5
DISAGREES: Final = 6
INTERRUPTED: Final = 130
MISUSED: Final = 2

NOTHING_CHANGED: Final = "Nothing was changed."


class CommandError(Exception):
    """Ends the command: three sentences for a person and an exit code for a program."""

    def __init__(
        self,
        what: str,
        *,
        todo: str,
        unchanged: str = NOTHING_CHANGED,
        exit_code: int = REFUSED,
        envelope: object = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.unchanged = unchanged
        self.todo = todo
        self.exit_code = exit_code
        self.envelope = envelope
        """The service's own error, where there was one."""

    def lines(self) -> list[str]:
        return [f"error: {self.what}", f"  {self.unchanged}", f"  {self.todo}"]

    def to_json(self) -> dict[str, object]:
        return {
            "object": "error",
            "what": self.what,
            "unchanged": self.unchanged,
            "todo": self.todo,
            "exit_code": self.exit_code,
            "error": self.envelope,
        }
