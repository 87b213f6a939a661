"""Somebody at a browser, who notices what no page may do: errors in its console, and requests to elsewhere."""

from typing import Any, Self

from playwright.sync_api import Browser, Page, Request, Response, expect

expect.set_options(timeout=20_000)
HARMLESS = ("Password forms should have",)  # a key has no user name


class Visitor:
    """One browser window. Leaving it raises when a page had errors or asked another machine for anything."""

    def __init__(self, browser: Browser, url: str, key: str | None = None, **options: Any) -> None:
        self.url = url
        self._context = browser.new_context(**options)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(20_000)
        self.complaints: list[str] = []
        self.expected: set[int] = set()  # statuses that a test provokes
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self._hear(message.type, message.text))
        self.page.on("request", self._notice)
        self.page.on("response", self._check)
        if key:
            self.sign_in(key)

    def sign_in(self, key: str) -> None:
        self.go("/console/sign-in")
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def _hear(self, kind: str, text: str) -> None:
        known = any(each in text for each in HARMLESS) or any(f"status of {each}" in text for each in self.expected)
        if kind in ("error", "warning") and not known:
            self.complaints.append(text)

    def _notice(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:")):
            self.complaints.append(f"asked {request.url}")

    def _check(self, response: Response) -> None:
        if response.status >= 500 and response.status not in self.expected:
            self.complaints.append(f"{response.status} from {response.url}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()
        assert self.complaints == []
