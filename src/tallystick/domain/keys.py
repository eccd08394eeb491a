"""The secrets of API keys: how they look and how they are remembered.

    tsk_<public id, 12>_<secret, 32><checksum, 6>      all base 62

The prefix and the checksum let scanners find a leaked key and tell it from noise; only the digest
is stored. Keys that were issued elsewhere are imported by the SHA-256 of their secret, whatever
they look like, so the digest with a pepper is an HMAC of that SHA-256.
"""

from __future__ import annotations

import hashlib
import hmac
import zlib
from typing import Final

PREFIX: Final = "tsk"
ENTROPY_BYTES: Final = 40
"""Random bytes that `make_secret` needs: 62**44 lies below 2**263, the rest is against bias."""

_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PUBLIC, _PRIVATE, _CHECK = 12, 32, 6


def make_secret(entropy: bytes) -> str:
    """A new secret from `ENTROPY_BYTES` random bytes."""
    if len(entropy) < ENTROPY_BYTES:
        raise ValueError(f"a secret needs {ENTROPY_BYTES} random bytes")
    digits = _base62(int.from_bytes(entropy, "big"), _PUBLIC + _PRIVATE)
    body = f"{PREFIX}_{digits[:_PUBLIC]}_{digits[_PUBLIC:]}"
    return body + _checksum(body)


def has_valid_checksum(secret: str) -> bool:
    """Whether `secret` is one of ours and was copied whole."""
    body, check = secret[:-_CHECK], secret[-_CHECK:]
    return secret.startswith(f"{PREFIX}_") and check == _checksum(body)


def secret_digest(secret: bytes, pepper: bytes | None = None) -> bytes:
    """What is stored of a secret: its SHA-256, or the pepper's HMAC of that."""
    return stored_digest(hashlib.sha256(secret).digest(), pepper)


def stored_digest(sha256: bytes, pepper: bytes | None) -> bytes:
    """What is stored for a secret of which only the SHA-256 is known."""
    return hmac.digest(pepper, sha256, "sha256") if pepper else sha256


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECK)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
