"""An organization of the service, made and asked through its API like any other."""

from __future__ import annotations

from typing import Any, Final, Protocol

import httpx

ADMIN_KEY: Final = "admin-key-of-the-benchmarks"
_ALLOWANCE: Final = 1_000_000_000
"""More events of one credit than a run books."""


class Asker(Protocol):
    """Who asks a server that wants to know."""

    def key_for_slices(self, like: dict[str, str] | None) -> dict[str, str]:
        """The headers of a key; where servers can have it, that of the other side (`like`)."""
        ...

    def booked(self) -> int: ...

    def close(self) -> None: ...


class Tenant:
    """Books events of one credit each, so that what it has consumed is how many were booked."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=30)
        self._id = self._admin("/organizations", {"name": "Benchmark", "allowance": _ALLOWANCE})[
            "id"
        ]
        self._own = self._key(scopes=["credits:read", "teamspaces:write"])

    def close(self) -> None:
        self._client.close()

    def key_for_slices(self, like: dict[str, str] | None) -> dict[str, str]:  # noqa: ARG002
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

    def _key(self, **terms: object) -> dict[str, str]:
        path = f"/organizations/{self._id}/keys"
        secret = self._admin(path, {"name": "Benchmark", **terms})["secret"]
        return {"authorization": f"Bearer {secret}"}

    def _admin(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        return _good(self._client.post(f"/v1/admin{path}", json=body, headers=headers))


class PeersTenant:
    """The one account of `peers.typical`, which admits any key that is shown to it."""

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

    def _admit(self, headers: dict[str, str]) -> dict[str, str]:
        self._client.post("/keys", headers=headers).raise_for_status()
        return headers


def _good(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.raise_for_status().json()
    return found
