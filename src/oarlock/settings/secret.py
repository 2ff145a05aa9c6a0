"""Secrets: values that never show themselves, and the redaction of texts that might."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Generic, NoReturn, TypeVar

T = TypeVar("T")

#: What stands in a text where a secret was.
MASK = "***"
#: A shorter secret is masked only where it stands alone: replaced everywhere, it would deface every text.
SHORT = 4
#: A line of a secret of many lines (a private key) is masked by itself from this length on.
LINE = 16
#: A setting of such a name is a secret, whoever asks for it and however.
TELLING_NAME = re.compile(
    r"secret|(password|passwd|passphrase|pwd|token|api_?key|access_?key|private_?key|salt)$", re.IGNORECASE
)
#: Fields of a credentials table that say where and who, which may be shown.
PLAIN_FIELDS = frozenset(
    (
        *("host", "port", "database", "schema", "user", "username", "account", "client_email", "drivername", "driver"),
        *("warehouse", "role", "region", "project_id", "location", "dataset_name", "connect_timeout", "query", "type"),
    )
)
#: The password of a URL: whatever stands between the user and the last @ before the host.
URL_PASSWORD = re.compile(r"://[^/@:]*:([^/]*)@")

_known: set[str] = set()
_ordered: tuple[str, ...] = ()


class Secret(Generic[T]):
    """A value that shows itself only to ``reveal()``: not to repr, str, f-strings, logs or pickle."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value
        remember(value)

    def reveal(self) -> T:
        """Give the value itself, for the driver that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        mine, theirs = self._value, other._value if isinstance(other, Secret) else other
        if isinstance(mine, str) and isinstance(theirs, str):
            return hmac.compare_digest(mine.encode(errors="surrogatepass"), theirs.encode(errors="surrogatepass"))
        return bool(mine == theirs)

    def __hash__(self) -> int:
        return hash(repr(self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: resolve it again where it is needed, or hand on .reveal() on purpose")


def telling(name: str) -> bool:
    """Tell whether a setting of this name is a secret by its name alone."""
    return TELLING_NAME.search(name) is not None


def remember(value: object, name: str = "") -> None:
    """Note a secret, so that ``redact`` masks it from now on in every text of this process."""
    global _ordered
    if name.lower() in PLAIN_FIELDS:
        return
    if isinstance(value, Secret):
        value = value.reveal()
    if isinstance(value, Mapping):
        for key, item in value.items():
            remember(item, str(key))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            remember(item, name)
    elif isinstance(value, bytes):
        remember(value.decode("utf-8", "backslashreplace"), name)
    elif isinstance(value, str):
        _known.update(form for form in _forms(value) if form.strip() and form != MASK)
        _ordered = tuple(sorted(_known, key=len, reverse=True))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        remember(str(value), name)


def _forms(value: str) -> Iterator[str]:
    """Give every way in which a secret may stand in a text: itself, escaped, quoted, its lines, its password."""
    yield value
    yield value.strip()
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield repr(value.encode("utf-8", "surrogatepass"))[2:-1]
    quoted = _quoted(value)
    yield quoted
    yield quoted.replace("%20", "+")
    if "\n" in value:
        yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= LINE)
    for password in URL_PASSWORD.findall(value):
        yield password
        yield _unquoted(password)


def _quoted(text: str) -> str:
    """Quote as URLs do; urllib would cost every attach its import."""
    raw = text.encode("utf-8", "surrogatepass")
    return "".join(chr(b) if (chr(b).isalnum() and b < 128) or b in b"_.-~" else f"%{b:02X}" for b in raw)


def _unquoted(text: str) -> str:
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "surrogatepass"))
    return raw.decode("utf-8", "replace")


def knows_secrets() -> bool:
    """Tell whether this process has resolved any secret."""
    return bool(_ordered)


def redact(text: str) -> str:
    """Replace every secret that this process has resolved by ``***``."""
    for secret in _ordered:
        if secret not in text:
            continue
        if len(secret) < SHORT:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
        else:
            text = text.replace(secret, MASK)
    return text


def redact_all(value: Any) -> Any:
    """Give a copy of a plain value with the secrets in its texts masked, keys too."""
    if not _ordered:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(k) if isinstance(k, str) else k: redact_all(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(item) for item in value]
    return value
