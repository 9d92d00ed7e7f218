"""Drives a headless Chromium over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """The path of a Chromium; None where there is none. RARRL_CHROMIUM names another."""
    return os.environ.get("RARRL_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in a Chromium of its own; use it in a `with` statement."""

    def __init__(self, program: str, folder: Path, width: int = 1440, height: int = 900, dark: bool = False) -> None:
        from websockets.sync.client import connect

        command = [program, "--headless", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run"]
        command += ["--disable-gpu", "--no-sandbox", "--disable-dev-shm-usage", "--mute-audio", "about:blank"]
        self._log = (folder.parent / f"{folder.name}.log").open("w+")
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self._log, start_new_session=True)
        self._number = 0
        self.errors: list[str] = []
        address = self._address()
        self._open = ExitStack()
        self._socket = self._open.enter_context(connect(address, max_size=64 << 20, proxy=None))
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Runtime.enable")
        self.call("Log.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def _address(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            self._log.seek(0)
            found = re.search(r"DevTools listening on (ws://\S+)", self._log.read())
            if found:
                return found.group(1)
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        self._log.seek(0)
        raise RuntimeError(f"Chromium did not start: {self._log.read()[-500:]}")

    def call(self, method: str, **given: Any) -> Any:
        """What a method of the protocol returns for the page."""
        return self._call(method, self._session, **given)

    def _call(self, method: str, session: str | None = None, **given: Any) -> Any:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": given} | ({"sessionId": session} if session else {})
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(answer["params"]["exceptionDetails"])[:500])
            elif answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
                self.errors.append(answer["params"]["entry"]["text"])

    def open(self, url: str) -> None:
        """Goes to `url`."""
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What JavaScript makes of `expression`; promises are waited for."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, expression: str, seconds: float = 30.0) -> Any:
        """The first value of `expression` that is true. Raises: AssertionError where there is none in time."""
        deadline = time.monotonic() + seconds
        while not (value := self.value(expression)):
            assert time.monotonic() < deadline, f"not so within {seconds:.0f} s: {expression}"
            time.sleep(0.1)
        return value

    def text(self, name: str) -> str:
        """What the element with this id says."""
        return str(self.value(f"document.getElementById({json.dumps(name)}).innerText"))

    def picture(self) -> bytes:
        """The page as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
        with suppress(ProcessLookupError):  # the program may be a script that Chromium outlives, so all of its session
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()
