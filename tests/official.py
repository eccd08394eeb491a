"""The official client in front of a service that has no socket."""

from __future__ import annotations

from datagrid_ai import AsyncDatagrid

from tests.harness import Headers, World


def official_client(w: World, key: Headers) -> AsyncDatagrid:
    """A client that tries once, and believes no answer that is not to the field."""
    return AsyncDatagrid(
        api_key=key["authorization"].removeprefix("Bearer "),
        base_url=f"{w.client.base_url}/v1",
        http_client=w.client,
        max_retries=0,
        _strict_response_validation=True,
    )
