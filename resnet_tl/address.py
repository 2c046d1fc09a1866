"""Addresses of services: how to reach one, what of it may be shown, and the user and password that nobody may see."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from resnet_tl.errors import ConfigError

HIDDEN = "…"
"""Stands in a text where a secret stood."""

_OPTION = re.compile(r"[?&;][^=&;?\s]*=")
"""An option of an address, up to its value."""
_SECRET = re.compile(r"(?i)pass|pwd|token|secret|key|auth|sig|cred")
"""In the name of an option whose value nobody may see: `?password=…` of a database's address, and the like."""
_VALUE = re.compile(r"[^&\s]*")
"""Of such an option. It may hold any character that `parse` lets through, so quotes and brackets around an address may
be hidden with it."""
_SCHEME = re.compile(r"(?<![A-Za-z0-9+.\-])[A-Za-z0-9+.\-]+:/{2,}")
"""Where an address begins. Each scheme is looked at once: what a long word without any costs grows with its length."""
_WORD = re.compile(r"\S+")
"""What may be an address: quotes and brackets may be of a password."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """The address of a server or a database; `parse` makes it."""

    scheme: str
    """Lower case; empty for a path."""
    bare: str = field(repr=False)
    """Without user and password; the secrets of a query are still in it."""
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def is_http(self) -> bool:
        """Whether it is a server, which is told user and password apart from its address."""
        return self.scheme in ("http", "https")

    @property
    def shown(self) -> str:
        """What may be printed and stored."""
        return without_secrets(self.bare)

    @property
    def full(self) -> str:
        """With user and password; never to be printed or stored."""
        if self.user is None:
            return self.bare
        login = quote(self.user, safe="") + ("" if self.password is None else ":" + quote(self.password, safe=""))
        return self.bare.replace("://", f"://{login}@", 1)


def parse(text: str, option: str) -> Address:
    """Takes an address apart.

    Args:
        option: names it in an error, which never shows the address: it may hold a password.

    Raises:
        ConfigError: where user and password end cannot be told.
    """
    scheme, mark, rest = text.partition("://")
    if not mark:
        is_path = text.startswith(("/", ".", "~", "file:", "sqlite:")) and not text.startswith("//")
        if "@" in text and not is_path:
            raise ConfigError(f"`{option}` must begin with http://, https:// or the like where it holds an @.")
        return Address(scheme="", bare=text)
    (authority,) = re.findall(r"\A[^/?#]*", rest)
    behind = rest[len(authority) :]
    login, at, host = authority.rpartition("@")
    if scheme.lower() not in ("file", "sqlite") and ("@" in behind or re.search(r"\s", text)):
        raise ConfigError(
            f"`{option}` must not hold spaces, or an @ behind its host: in a user, a password or a path write @ as "
            "%40, : as %3A, / as %2F, ? as %3F, # as %23 and a space as %20."
        )
    if not at:
        return Address(scheme=scheme.lower(), bare=text)
    user, colon, password = login.partition(":")
    return Address(
        scheme=scheme.lower(),
        bare=f"{scheme}://{host}{behind}",
        user=unquote(user),
        password=unquote(password) if colon else None,
    )


def without_secrets(text: str, known: Iterable[str] = ()) -> str:
    """A text in which no address holds a user, a password or a token any more.

    Args:
        known: secrets that are hidden wherever they stand, as they are and percent-encoded; very short ones, which
            would be found in the middle of words, are not.
    """
    for secret in sorted((secret for secret in known if len(secret) > 3), key=len, reverse=True):
        for form in dict.fromkeys((secret, quote(secret, safe=""), quote(secret))):
            text = text.replace(form, HIDDEN)
    return _without_options(_WORD.sub(_without_login, text))


def _without_options(text: str) -> str:
    parts = []
    place = 0
    for option in _OPTION.finditer(text):
        if option.start() >= place and _SECRET.search(option.group()):
            parts += [text[place : option.end()], HIDDEN]
            value = _VALUE.match(text, option.end())
            assert value is not None, "it may be empty"
            place = value.end()
    return "".join([*parts, text[place:]])


def _without_login(found: "re.Match[str]") -> str:
    """What may be an address, less what stands before its last `@`, if that is a login."""
    head, at, tail = found.group().rpartition("@")
    scheme = _SCHEME.search(head)
    if not at or scheme is None:
        return str(found.group())
    before = head[scheme.end() :]
    authority = re.split(r"[/?#]", before, maxsplit=1)[0]
    # a password that is not encoded may hold a slash; an @ in the path of a mere host is none of a login
    is_login = authority == before or ":" in authority or "@" in authority
    return head[: scheme.end()] + tail if is_login else str(found.group())
