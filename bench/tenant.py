"""An organization of the service, made and asked through its API like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Protocol

import apsw
import httpx

from bench.ledgers import KEYS

ADMIN_KEY: Final = "admin-key-of-the-benchmarks"
_ALLOWANCE: Final = 1_000_000_000
"""More events of one credit than a run books."""


class Asker(Protocol):
    """Who asks a server that wants to know. With `keys`, a file of them: whoever of many."""

    @property
    def keys(self) -> Path | None: ...

    def key_for_slices(self, like: dict[str, str] | None) -> dict[str, str]:
        """The headers of a key; where servers can have it, that of the other side (`like`)."""
        ...

    def booked(self) -> int: ...

    def booked_by_all(self) -> int: ...

    def close(self) -> None: ...


class Tenant:
    """Books events of one credit each, so that what it has consumed is how many were booked."""

    def __init__(self, url: str, database: Path | None = None) -> None:
        """`database` is the server's file, where it has one; beside it may be many keys."""
        keys = None if database is None else database.with_name(KEYS)
        self.keys = keys if keys is not None and keys.exists() else None
        self._database = database
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=30)
        self._id = self._admin("/organizations", {"name": "Benchmark", "allowance": _ALLOWANCE})[
            "id"
        ]
        self._own = self._key(scopes=["credits:read", "teamspaces:write"])

    def close(self) -> None:
        self._client.close()

    def key_for_slices(self, like: dict[str, str] | None) -> dict[str, str]:  # noqa: ARG002 (the protocol has it)
        """The headers of a key in a teamspace of its own, whose windows are empty. Secrets are made
        here, so it cannot be another's."""
        teamspace = self._client.post(
            "/v1/organization/teamspaces", json={"name": "A slice"}, headers=self._own
        )
        return self._key(teamspace_id=_good(teamspace)["id"])

    def booked(self) -> int:
        """How many events have been booked."""
        answer = self._client.get("/v1/organization/credits", headers=self._own)
        return int(_good(answer)["consumed"])

    def booked_by_all(self) -> int:
        """The same of all organizations, read beside the server from its database."""
        connection = apsw.Connection(str(self._database), flags=apsw.SQLITE_OPEN_READONLY)
        [(consumed,)] = connection.execute("SELECT sum(consumed) FROM accounts")
        connection.close()
        return int(consumed) // 1_000_000

    def _key(self, **terms: object) -> dict[str, str]:
        path = f"/organizations/{self._id}/keys"
        secret = self._admin(path, {"name": "Benchmark", **terms})["secret"]
        return {"authorization": f"Bearer {secret}"}

    def _admin(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        return _good(self._client.post(f"/v1/admin{path}", json=body, headers=headers))


class PeersTenant:
    """The one account of `peers.typical`, which admits any key that is shown to it."""

    keys = None

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=30)
        self._own = self._admit({"authorization": "Bearer the-benchmark-itself"})

    def close(self) -> None:
        self._client.close()

    def key_for_slices(self, like: dict[str, str] | None) -> dict[str, str]:
        return self._own if like is None else self._admit(like)

    def booked(self) -> int:
        answer = self._client.get("/v1/organization/credits", headers=self._own)
        return int(_good(answer)["consumed"])

    def booked_by_all(self) -> int:
        return self.booked()

    def _admit(self, headers: dict[str, str]) -> dict[str, str]:
        self._client.post("/keys", headers=headers).raise_for_status()
        return headers


def _good(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.raise_for_status().json()
    return found
