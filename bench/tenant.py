"""An organization of the service, made and asked through its API like any other."""

from __future__ import annotations

from typing import Any, Final

import httpx

ADMIN_KEY: Final = "admin-key-of-the-benchmarks"
_ALLOWANCE: Final = 1_000_000_000
"""More events of one credit than a run books."""


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

    def new_key(self) -> dict[str, str]:
        """The headers of a key in a teamspace of its own, whose windows are empty."""
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


def _good(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.raise_for_status().json()
    return found
