"""Addresses of services: how to reach one, what of it may be shown, and the user and password that nobody may see."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from resnet_tl.errors import ConfigError

HIDDEN = "…"
"""Stands in a text where a secret stood."""

_SECRET_OPTION = re.compile(r"(?i)([?&;][^=&;?\s]*(?:pass|pwd|token|secret|key|auth|sig|cred)[^=&;\s]*=)[^&\s]*")
"""`?password=…` of a database's address, and the like. A secret may hold any character that `parse` lets through, so
quotes and brackets around an address may be hidden with it."""
_IN_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*:/{2,})(\S*)@")
_IN_WORD = re.compile(r"(?s)([A-Za-z][A-Za-z0-9+.\-]*:/{2,})(.*)@")
"""An address up to its last `@`, in a text and where it is all of one."""


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
        if "@" in text and not text.startswith(("/", ".", "~", "file:", "sqlite:")):
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
    return _SECRET_OPTION.sub(rf"\1{HIDDEN}", _IN_TEXT.sub(_without_login, text))


def word_without_secrets(word: str) -> str:
    """A word of a command line, as `without_secrets`; here an address ends where the word does, not at a space."""
    return _SECRET_OPTION.sub(rf"\1{HIDDEN}", _IN_WORD.sub(_without_login, word))


def _without_login(found: "re.Match[str]") -> str:
    scheme, before = found.groups()
    authority = re.split(r"[/?#]", before, maxsplit=1)[0]
    # a password that is not encoded may hold a slash; an @ in the path of a mere host is none of a login
    is_login = authority == before or ":" in authority or "@" in authority
    return str(scheme if is_login else found.group(0))
