"""Files of anchors and of the keys that sign them.

The private key is a PEM file (PKCS #8) that only its owner can read; the public key another one
(`openssl pkey` reads both). An anchor is replaced whole or not at all, and the one that it replaces
stays beside it under its number.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tallystick.bootstrap import write_private
from tallystick.cli.errors import DISAGREES, MISUSED, UNAVAILABLE, CommandError
from tallystick.domain.entries import GENESIS
from tallystick.ledger.anchors import (
    InvalidAnchor,
    following,
    format_anchor,
    parse_anchor,
    split_signed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tallystick.ledger.anchors import Anchor
    from tallystick.ledger.audit import Head

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_NO_ENCRYPTION: Final = serialization.NoEncryption()


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchoring:
    """An anchor file, and what it is checked with.

    `anchor` is None where there is none yet. Without `private` it is only checked. `made_key` says
    that the key has just been made.
    """

    file: Path
    public: Ed25519PublicKey
    private: Ed25519PrivateKey | None = None
    anchor: Anchor | None = None
    digest: bytes = GENESIS
    made_key: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the raw public key, in hexadecimal."""
        return hashlib.sha256(self.public.public_bytes_raw()).hexdigest()

    def write(self, made_at: int, heads: Mapping[str, Head]) -> tuple[Anchoring, bool]:
        """Signs where the chains are now, in place of the anchor before, if it can."""
        if self.private is None:
            return self, False
        anchor = following(self.anchor, self.digest, made_at, heads)
        body = format_anchor(anchor)
        content = body.decode("ascii") + self.private.sign(body).hex()
        try:
            if self.anchor is not None:
                _keep(self.file, self.anchor.number)
            write_private(self.file, content)
        except OSError as error:
            raise _unusable(self.file, error) from error
        return replace(self, anchor=anchor), True


def _keep(file: Path, number: int) -> None:
    kept = file.with_name(f"{file.name}.{number}")
    if not kept.exists():
        os.link(file, kept)


def open_anchor(file: Path, key: Path | None, public_key: Path | None, *, begin: bool) -> Anchoring:
    """Reads the anchor and checks its signature; makes the key where there is none.

    `begin` says that there is meant to be no anchor yet, whatever keys there are: otherwise one
    that vanished would be replaced without a word. Raises CommandError.
    """
    if (key is None) == (public_key is None):
        raise CommandError(
            "an anchor is signed with a private key, or checked with a public one",
            todo="Give one of --anchor-key and --anchor-public-key.",
            exit_code=MISUSED,
        )
    private, made_key = (None, False) if key is None else _private_key(key)
    public = _public_key(public_key) if private is None else private.public_key()
    anchoring = Anchoring(file=file, public=public, private=private, made_key=made_key)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        if begin or made_key:
            return anchoring
        raise _no_anchor(file, may_begin=private is not None) from None
    except OSError as error:
        raise _unusable(file, error) from error
    if begin:
        raise CommandError(
            f"there is an anchor already: {file}",
            todo="Leave --new-anchor out to check it, or name another file.",
            exit_code=MISUSED,
        )
    return replace(
        anchoring, anchor=_checked(file, content, public), digest=hashlib.sha256(content).digest()
    )


def _checked(file: Path, content: bytes, public: Ed25519PublicKey) -> Anchor:
    try:
        body, signature = split_signed(content)
        public.verify(signature, body)
        return parse_anchor(body)
    except (InvalidAnchor, InvalidSignature) as error:
        why = str(error) or "its signature is not of this key, or of another text"
        raise CommandError(
            f"{file} is not to be trusted: {why}",
            unchanged="Nothing was verified, and nothing was changed.",
            todo="Compare it with copies that were kept elsewhere, and find out who changed it.",
            exit_code=DISAGREES,
        ) from None


def _private_key(file: Path) -> tuple[Ed25519PrivateKey, bool]:
    """The key, and whether it has just been made."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except FileNotFoundError:
        return _new_key(file), True
    except OSError as error:
        raise _unusable(file, error) from error
    if mode & _OTHERS:
        raise CommandError(
            f"{file} can be read or written by other users (mode {mode:04o})",
            todo=f"chmod 600 {file}, and think about who may have read it.",
            exit_code=UNAVAILABLE,
        )
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), None)
    except OSError as error:
        raise _unusable(file, error) from error
    except (ValueError, TypeError):
        raise _no_key(file) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(file)
    return key, False


def _new_key(file: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, _NO_ENCRYPTION
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        write_private(file.with_name(f"{file.name}.pub"), public.decode().rstrip())
        write_private(file, pem.decode().rstrip())
    except OSError as error:
        raise _unusable(file, error) from error
    return key


def _public_key(file: Path | None) -> Ed25519PublicKey:
    if file is None:
        raise LookupError("there is a key of one kind")
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except OSError as error:
        raise _unusable(file, error) from error
    except ValueError:
        raise _no_key(file) from None
    if not isinstance(key, Ed25519PublicKey):
        raise _no_key(file)
    return key


def _no_anchor(file: Path, *, may_begin: bool) -> CommandError:
    todo = "Bring back a copy that was kept elsewhere"
    return CommandError(
        f"there is no anchor {file}",
        unchanged="Nothing was verified, and nothing was changed.",
        todo=f"{todo}, or begin anew with --new-anchor." if may_begin else f"{todo}.",
        exit_code=DISAGREES,
    )


def _no_key(file: Path) -> CommandError:
    return CommandError(
        f"{file} is no Ed25519 key in PEM",
        todo="Name the file that --anchor-key made, or the .pub beside it.",
        exit_code=MISUSED,
    )


def _unusable(file: Path, error: OSError) -> CommandError:
    return CommandError(
        f"{file}: {error.strerror}", todo="See to the file or its folder.", exit_code=UNAVAILABLE
    )
