"""Salts: what values are hashed with. A salt is never stored; its digest tells whether the same one was given again."""

from __future__ import annotations

import base64
import hashlib
import hmac

from oarlock.errors import SaltMismatch

#: Cost of the digest: about a millisecond, as it stands on the way of ``attach()``, and half a MB of memory.
COST = 512


def default_salt(pipeline_name: str) -> str:
    """Derive the salt of a pipeline that was given none: base64 of the SHA3-256 of its name."""
    return base64.b64encode(hashlib.sha3_256(pipeline_name.encode()).digest()).decode("ascii")


def salt_digest(salt: str, pipeline_name: str) -> str:
    """Make the digest that a pipeline keeps of an explicit salt; the salt cannot be read back from it."""
    return f"scrypt${COST}${_scrypt(salt, pipeline_name, COST)}"


def check_salt(stored_digest: str | None, salt: str | None, pipeline_name: str) -> None:
    """Compare a salt (None: the default) with the digest kept at creation (None: created with the default).

    Raises:
        SaltMismatch: The pipeline was created with another salt.
    """
    default = default_salt(pipeline_name)
    given = default if salt is None else salt
    if stored_digest is None:
        same = hmac.compare_digest(given.encode(), default.encode())
    else:
        same = _matches(stored_digest, given, pipeline_name)
    if not same:
        raise SaltMismatch(pipeline_name)


def _matches(digest: str, salt: str, pipeline_name: str) -> bool:
    kind, _, rest = digest.partition("$")
    cost, _, expected = rest.partition("$")
    # A digest of another kind or of an absurd cost was not made by this code: it matches nothing.
    if kind != "scrypt" or not cost.isascii() or not cost.isdigit() or not 2 <= int(cost) <= 2**14:
        return False
    if int(cost) & (int(cost) - 1):
        return False
    return hmac.compare_digest(_scrypt(salt, pipeline_name, int(cost)), expected)


def _scrypt(salt: str, pipeline_name: str, cost: int) -> str:
    named = b"oarlock:pipeline_salt:" + pipeline_name.encode()
    raw = hashlib.scrypt(salt.encode(errors="surrogatepass"), salt=named, n=cost, r=8, p=1, dklen=32)
    return base64.b64encode(raw).decode("ascii")
