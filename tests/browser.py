"""Headless Chromium for tests: opens a page, waits for what a person would see, takes its picture.

Spoken to over a pipe in Chrome's DevTools protocol (`--remote-debugging-pipe`), so that no package is needed.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The program, or None where there is none."""

PATIENCE_S = 60.0


class Browser:
    """One window of a fresh profile.

    Args:
        profile: an empty folder.
    """

    def __init__(self, profile: Path, *, width: int = 1500, height: int = 760) -> None:
        assert CHROMIUM is not None, "there is no Chromium"
        child_in, self._out = os.pipe()
        self._in, child_out = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (child_in, child_out)]  # out of the way of 3 and 4

        def place() -> None:
            for number, end in zip((3, 4), ends, strict=True):  # where the protocol has them
                os.dup2(end, number)

        self._process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             "--remote-debugging-pipe", f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"],
            preexec_fn=place, pass_fds=(3, 4), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for end in (child_in, child_out, *ends):
            os.close(end)
        self._rest, self._number, self._session = b"", 0, None
        [page] = [found for found in self._ask("Target.getTargets")["targetInfos"] if found["type"] == "page"]
        self._session = self._ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **size)

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                part = os.read(self._in, 1 << 20)
                assert part, "Chromium has ended"
                self._rest += part
            line, _, self._rest = self._rest.partition(b"\0")
            told = json.loads(line)
            if told.get("id") == self._number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result

    def open(self, url: str) -> None:
        """Goes to a page, as from its address bar: from a page of the same address, it is loaded anew."""
        self._ask("Page.navigate", url="about:blank")
        self._ask("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)["result"].get(
            "value"
        )

    def text(self) -> str:
        """What can be read on the page."""
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def wait_for(self, *words: str) -> str:
        """Waits till all of some words can be read; the text of the page then."""
        deadline = time.monotonic() + PATIENCE_S
        while any(word not in (seen := self.text()) for word in words):
            missing = [word for word in words if word not in seen]
            assert time.monotonic() < deadline, f"{missing} cannot be read on the page, but {seen[:3000]!r}"
            time.sleep(0.2)
        return seen

    def picture(self, path: Path) -> None:
        """Stores what is seen as PNG."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """Ends Chromium."""
        try:
            self._session = None
            self._ask("Browser.close")
        except (AssertionError, OSError):
            self._process.kill()
        self._process.wait(timeout=20)
        os.close(self._in)
        os.close(self._out)
