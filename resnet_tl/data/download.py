"""Downloads one file over http(s): goes on where it was cut, and says what went wrong without showing a login.

What is downloaded is checked by its caller, who knows the hash.
"""

import base64
import errno
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import quote

from resnet_tl.address import Address
from resnet_tl.errors import DataError
from resnet_tl.files import is_full, write_text

TIMEOUT_S = 60.0
"""Of silence on a connection."""
RETRIES = 5
"""After connections that were cut; what arrived of the file is kept, and each new byte begins the count anew."""
PAUSE_S = 1.0
_CHUNK = 1 << 20


class _Cut(Exception):
    """The connection ended before the file did."""


def download(address: Address, path: Path) -> None:
    """Fetches a file, or the rest of one of which an earlier start has fetched some.

    Args:
        path: where it goes; `PATH.about.json` beside it remembers which version of the file it is.

    Raises:
        DataError: it cannot be had, or not all of it; what arrived is kept for the next start.
    """
    print(f"Downloading {address.shown}", file=sys.stderr, flush=True)
    left = RETRIES
    most = path.stat().st_size if path.exists() else 0
    while True:
        try:
            _fetch(address, path)
            return
        except urllib.error.HTTPError as error:
            raise DataError(_refused(address, error)) from None
        except (_Cut, HTTPException, OSError) as error:  # URLError and timeouts are OSErrors
            if is_full(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from None
            if getattr(error, "filename", None) is not None:  # of the disk, not of the network
                raise
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise DataError(_certificate(address, reason)) from None
            now = path.stat().st_size if path.exists() else 0
            # more than ever before: a server without ranges begins anew each time
            left, most = (RETRIES, now) if now > most else (left - 1, most)
            if left < 0 or (now == 0 and not isinstance(error, _Cut)):  # a host that was never reached
                kept = f" {now:,} bytes arrived and are kept; the same command goes on from there." if now else ""
                raise DataError(
                    f"`data.url` must lead to an archive, but {address.shown} cannot be had: {reason}.{kept}"
                ) from None
            time.sleep(PAUSE_S)


def _fetch(address: Address, path: Path) -> None:
    about = path.with_name(f"{path.name}.about.json")
    version = json.loads(about.read_text(encoding="utf-8")) if about.exists() else None
    start = path.stat().st_size if path.exists() and version else 0
    with _answer(address, start, version) as answer:
        if answer is None:  # nothing more to come
            return
        resumed = answer.status == 206 and _begins_at(answer) == start
        if answer.status == 206 and not resumed:
            raise _Cut("the server answered with another part of the file than the one asked for")
        length = answer.headers.get("Content-Length")
        total = (start if resumed else 0) + int(length) if length and length.isdigit() else None
        if not resumed:  # a server that knows no ranges, or a file that has changed: all of it comes anew
            start = 0
            path.unlink(missing_ok=True)
            # a weak tag does not promise the same bytes
            tag = answer.headers.get("ETag")
            known = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")
            if known:
                write_text(about, json.dumps(known))
            else:
                about.unlink(missing_ok=True)  # versions cannot be told apart, so nothing is put together of two
        with path.open("ab") as stream:
            done = _copy(answer, stream, start, total)
    if total is not None and done < total:
        raise _Cut(f"the connection was cut after {done:,} of {total:,} bytes")


@contextmanager
def _answer(address: Address, start: int, version: str | None) -> Iterator[HTTPResponse | None]:
    url = quote(address.bare, safe="%/:=&?~#+!$,;'@()*[]")  # letters beyond ASCII, as people copy them
    request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "resnet-tl"})
    if address.user is not None:
        login = base64.b64encode(f"{address.user}:{address.password or ''}".encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {login}")  # not to be told to another host
    if start and version:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", version)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise
        error.close()
        total = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
        if total == str(start):
            yield None
            return
        with urllib.request.urlopen(_without_range(request), timeout=TIMEOUT_S) as answer:
            yield answer


def _without_range(request: urllib.request.Request) -> urllib.request.Request:
    request.remove_header("Range")
    request.remove_header("If-range")  # as urllib spells it
    return request


def _begins_at(answer: HTTPResponse) -> int:
    said = str(answer.headers.get("Content-Range", "")).removeprefix("bytes ").partition("-")[0]
    return int(said) if said.isdigit() else -1


def _copy(answer: HTTPResponse, stream: IO[bytes], done: int, total: int | None) -> int:
    """Writes what comes; returns the bytes that are there then."""
    is_seen = sys.stderr.isatty()
    told = 0.0
    while chunk := answer.read(_CHUNK):
        stream.write(chunk)
        done += len(chunk)
        if is_seen and time.monotonic() - told > 0.2:
            told = time.monotonic()
            of = f" of {total / 1e6:,.1f}" if total else ""
            print(f"\r{done / 1e6:,.1f}{of} MB", end="", file=sys.stderr, flush=True)
    if is_seen:
        print(f"\r{done / 1e6:,.1f} MB" + " " * 20, file=sys.stderr, flush=True)
    return done


def _refused(address: Address, error: urllib.error.HTTPError) -> str:
    advice = {
        401: "; if it needs a login, give it as https://USER:PASSWORD@HOST/…",
        403: "; it may need a login, or open in a browser only",
        404: "; look whether the address is written right",
    }.get(error.code, "")
    return (
        f"`data.url` must lead to an archive, but {address.shown} answers {error.code} {error.reason}{advice}. Or "
        "download it by other means, unpack it and give the folder as data.root."
    )


def _certificate(address: Address, reason: ssl.SSLCertVerificationError) -> str:
    return (
        f"`data.url` must lead to a host whose certificate is trusted here, but that of {address.shown} is refused: "
        f"{reason.verify_message or reason}. If your organisation has certificates of its own, name their file in the "
        "environment variable SSL_CERT_FILE."
    )
