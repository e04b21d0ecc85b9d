"""A real browser that reaches this machine only, and notes what it should not have to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = "chromium"
_LOCAL = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
_NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


class Watched:
    """A page of a browser.

    Attributes:
        page: The page.
        elsewhere: Addresses that were asked for and are not on this machine.
        complaints: What the browser's console was told as an error.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.elsewhere: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._asked)
        page.on("console", self._told)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(_LOCAL):
            self.elsewhere.append(request.url)

    def _told(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)


@contextmanager
def browser_page(*, width: int = 1300, height: int = 1800) -> Iterator[Page]:
    """Start a browser with one page, and end it."""
    chromium = shutil.which(CHROMIUM)
    if chromium is None:
        raise FileNotFoundError("no chromium on this machine: make servers")
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=chromium, args=[*_FLAGS, _NOWHERE])
        context = browser.new_context(viewport={"width": width, "height": height})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield context.new_page()
        browser.close()
