"""A real browser for the tests of the explorer's page, and how to read what it shows."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
pytest.importorskip("uvicorn", reason="the page's tests need uvicorn")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, WebSocketRoute

    from scorefield.explorer.session import Session

CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
]
needed = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"the page's tests need a browser at {CHROMIUM}")


CHANGE = """(one) => {
  if (one.type === "range") {
    const [low, high, now] = [one.min, one.max, one.value].map(Number), part = (now - low) / (high - low);
    one.value = low + (part < 0.5 ? part + 0.25 : part - 0.25) * (high - low);
    one.dispatchEvent(new Event("input", { bubbles: true }));
  } else if (one.type === "checkbox") one.click();
  else {
    one.selectedIndex = (one.selectedIndex + 1) % one.options.length;
    one.dispatchEvent(new Event("change", { bubbles: true }));
  }
}"""
"""Sets a control to another value."""


@contextmanager
def serving(session: Session) -> Iterator[str]:
    """The explorer on a session; the address of its page."""
    from scorefield.explorer import server
    from scorefield.explorer.access import Access
    from scorefield.explorer.queries import QUERIES
    from scorefield.web.address import bound

    with bound() as listener:
        port = listener.getsockname()[1]
        running = server.server(server.application(QUERIES, session, Access("secret", port)))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{port}/?token=secret"
        running.should_exit = True
        thread.join(10)


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=OPTIONS)
        yield browser
        browser.close()


@contextmanager
def watched(browser: Browser) -> Iterator[Page]:
    """A page of its own, on which any error of the console or the page fails the test."""
    context = browser.new_context(viewport={"width": 1024, "height": 768})
    page, errors = context.new_page(), list[str]()
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    trouble = [text for text in page.locator(".trouble:visible").all_inner_texts() if text]
    context.close()
    assert not errors and not trouble, (errors, trouble)


class Held:
    """The server's answers on their way to a page, which can be kept back."""

    def __init__(self, page: Page) -> None:
        self.waiting: list[str | bytes] | None = None
        page.route_web_socket(re.compile("/ws"), self._connect)

    def _connect(self, route: WebSocketRoute) -> None:
        self.route = route
        server = route.connect_to_server()
        server.on_message(lambda message: route.send(message) if self.waiting is None else self.waiting.append(message))

    def hold(self) -> None:
        self.waiting = []

    def release(self) -> None:
        for message in self.waiting or []:
            self.route.send(message)
        self.waiting = None


def scene(page: Page, address: str, name: str, state: str = "", choice: int | None = 1) -> None:
    """Open a scene, and answer its question unless choice is None."""
    page.goto(f"{address}#/{name}?{state}")
    page.wait_for_selector(f"#scene[data-scene={name}] .question")
    page.wait_for_selector("#status[data-state=open]")
    if choice is not None:
        page.locator(".option").nth(choice).click()
        control(page, "commit").click()


def control(page: Page, name: str) -> Locator:
    return page.locator(f"[data-name={name}]")


def shown(page: Page, key: str) -> str:
    """What a readout shows, once it shows something."""
    cell = page.locator(f"[data-value={key}]").first  # of two samplers the one on the left
    until(lambda: cell.inner_text() != "–")
    return cell.inner_text()


def numbers(text: str) -> list[float]:
    return [float(part) for part in re.findall(r"-?\d[\d.]*(?:e[+-]?\d+)?", text.replace("−", "-"))]


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "the page did not say it in time"
        time.sleep(0.05)
