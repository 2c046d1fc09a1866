"""Chromium without a window, spoken to by its DevTools protocol over two pipes, which needs no library."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_S = 60
RENAME = "import os, sys; a, b, *w = sys.argv[1:]; os.dup2(int(a), 3); os.dup2(int(b), 4); os.execv(w[0], w)"
"""The browser reads from 3 and writes to 4."""


def chromium() -> str | None:
    """Where the browser is; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One page in a browser of its own.

    Args:
        profile: an empty folder for what the browser writes.
    """

    def __init__(self, profile: Path, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        program = chromium()
        assert program is not None
        read_theirs, self._write = os.pipe()
        self._read, write_theirs = os.pipe()
        # above those that the browser is to have, so that neither is lost while they are renamed
        theirs = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (read_theirs, write_theirs)]
        words = [
            program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--remote-debugging-pipe", f"--user-data-dir={profile}",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            [sys.executable, "-c", RENAME, *map(str, theirs), *words],
            pass_fds=theirs,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (read_theirs, write_theirs, *theirs):
            os.close(end)
        self._number, self._left, self._session = 0, b"", ""
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.size(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)

    def size(self, width: int, height: int) -> None:
        """Sets the window."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def open(self, place: Path | str) -> None:
        """Opens a file or an address, anew where it is open already, and waits until it is there."""
        if not isinstance(place, Path):
            self.send("Page.navigate", url="about:blank")  # what follows waits for words: the blank page has none
        self.events.clear()
        self.send("Page.navigate", url=place.resolve().as_uri() if isinstance(place, Path) else place)
        self._until(lambda: any(event["method"] == "Page.loadEventFired" for event in self.events))

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self) -> str:
        """What can be read on the page."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def wait_for(self, *words: str) -> str:
        """Waits till all of some words can be read; the text of the page then."""
        deadline = time.monotonic() + PATIENCE_S
        while any(word not in (seen := self.text()) for word in words):
            missing = [word for word in words if word not in seen]
            assert time.monotonic() < deadline, f"{missing} cannot be read on the page, but {seen[:3000]!r}"
            time.sleep(0.2)
        return seen

    def press(self, key: str) -> None:
        """A key, such as `Tab`, `Enter` or `ArrowRight`."""
        text = {"text": "\r"} if key == "Enter" else {}
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        shared = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        self.send("Input.dispatchKeyEvent", type="keyDown", **shared, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **shared)

    def point(self, selector: str) -> None:
        """Moves the mouse over the first element that a selector finds."""
        self.run(f"globalThis.pointed = document.querySelector({json.dumps(selector)})")
        self.run("pointed.scrollIntoView({block: 'center'})")
        self.run("globalThis.place = pointed.getBoundingClientRect()")
        left, top, width, height = self.run("[place.x, place.y, place.width, place.height]")
        x, y = left + width / 2, top + height / 2
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def requests(self) -> list[str]:
        """Addresses that were asked for since the page was opened."""
        return [
            event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """Exceptions, console errors and warnings since the page was opened, breaches of its policy among them."""
        found = []
        for event in self.events:
            method, content = event["method"], event["params"]
            loud = method == "Runtime.consoleAPICalled" and content["type"] in ("error", "warning", "assert")
            logged = method == "Log.entryAdded" and content["entry"]["level"] in ("error", "warning")
            if method == "Runtime.exceptionThrown" or loud or logged:
                found.append(json.dumps(content)[:1000])
        return found

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """A picture of the page as PNG."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(shot["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol, and its answer."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answers: list[dict[str, Any]] = []
        self._until(lambda: any(answer.get("id") == number for answer in answers), answers)
        (answer,) = [answer for answer in answers if answer.get("id") == number]
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def _until(self, holds: Any, answers: list[dict[str, Any]] | None = None) -> None:
        end = time.monotonic() + PATIENCE_S
        while not holds():
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._read, 1 << 20)
            assert part, "the browser has ended"
            *whole, self._left = (self._left + part).split(b"\0")
            for message in map(json.loads, whole):
                (answers if "id" in message and answers is not None else self.events).append(message)
