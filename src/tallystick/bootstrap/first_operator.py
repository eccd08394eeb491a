"""The first operator of a new database, and files that only their owner can read."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tallystick.bootstrap.wiring import clock, new_id
from tallystick.domain.directory import ApiKey
from tallystick.domain.keys import ENTROPY_BYTES, make_secret
from tallystick.ledger.directory import CreateKey
from tallystick.ledger.reading import Page
from tallystick.storage.owner import PRIVATE

if TYPE_CHECKING:
    from tallystick.http.service import Service


async def make_first_operator(service: Service, path: Path) -> str | None:
    """An operator key for a new database, also written to `path`; None where it is not new."""
    reader = service.reads.reader
    if await reader.keys(None, Page(1)) or await reader.organizations(Page(1)):
        return None
    secret = make_secret(os.urandom(ENTROPY_BYTES))
    # The file first: if what follows fails, the database is as new as before.
    write_private(path, secret)
    key = ApiKey(
        id=new_id("key"),
        organization_id=None,
        teamspace_id=None,
        name="The first operator",
        created_at=clock(),
    )
    digest = service.authenticator.digest(secret.encode())
    await service.ledger.submit("", CreateKey(key=key, digest=digest))
    return secret


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, PRIVATE)
            file.write(f"{text}\n")
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
