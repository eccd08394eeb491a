"""The installed command, run as a person or a script runs it.

tallystick = Commands(server.database)
acme = tallystick.json("organizations", "create", "Acme")
failure = tallystick("keys", "revoke", "Acme", "key_1")
assert (failure.code, failure.out) == (3, "")
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.server import COMMAND, environment

SECONDS: Final = 60


class Result(NamedTuple):
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """Commands on one database, a file or the URL of one; nothing of the environment but what every
    process needs."""

    database: Path | str
    environ: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: object, stdin: bytes = b"") -> Result:
        done = subprocess.run(
            [str(COMMAND), *map(str, arguments)],
            input=stdin,
            capture_output=True,
            env=self.environment(),
            timeout=SECONDS,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(
        self,
        *arguments: object,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """The command, under way; the pipes as `Popen` takes them."""
        return subprocess.Popen(
            [str(COMMAND), *map(str, arguments)],
            env=self.environment(),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
        )

    def environment(self) -> dict[str, str]:
        return environment({"TALLYSTICK_DATABASE": str(self.database), **self.environ})

    def json(self, *arguments: object, stdin: bytes = b"") -> Any:  # noqa: ANN401 - any JSON value
        """The JSON of a command that has to succeed, its fractions exact."""
        result = self(*arguments, "--json", stdin=stdin)
        assert (result.code, result.err) == (0, ""), result
        return json.loads(result.out, parse_float=Decimal)
