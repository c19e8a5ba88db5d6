"""Every Python example of the README and the docs is run, page by page, on both event loops.

What an example sends to Kick goes to a simulated one, and its browser is a user who agrees.
"""

import ast
import inspect
import re
import socket
import threading
import urllib.request
import webbrowser
from pathlib import Path
from typing import Any

import pytest
from reference_table import PAGE, table

from interpreters.http.transport import HttpTransport
from interpreters.sandbox import Sandbox, approve, small_world
from kickcore.api.retry import MAY_REPEAT, Failure
from kickcore.http import Request, Response, Unreachable

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)\)")


@pytest.fixture
def port() -> int:
    """Stands for 3000 in the examples: another test run may be at the same page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def kick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, port: int) -> Sandbox:
    monkeypatch.chdir(tmp_path)
    redirects = tuple(f"http://127.0.0.1:{number}/callback" for number in (3000, port))
    sandbox = Sandbox(small_world("CLIENT_ID", "CLIENT_SECRET", redirect_uris=redirects))

    def open_browser(url: str) -> bool:
        location = approve(url, sandbox.handle)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        visit = threading.Thread(target=lambda: opener.open(location, timeout=10).close())
        visit.start()
        return True

    real = HttpTransport.send

    async def send(self: HttpTransport, request: Request) -> Response | Unreachable:
        to_kick = self._own is None and "kick.com" in request.url
        return sandbox.handle(request) if to_kick else await real(self, request)

    monkeypatch.setattr(webbrowser, "open", open_browser)
    monkeypatch.setattr(HttpTransport, "send", send)
    return sandbox


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
async def test_the_examples_of_a_page_run_from_top_to_bottom(
    page: Path, kick: Sandbox, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ask_the_user(text: str) -> str:
        url = re.search(r"https://\S+", text)
        assert url is not None
        return approve(url[0], kick.handle)

    names: dict[str, Any] = {"__name__": "example", "ask_the_user": ask_the_user}
    for example in EXAMPLE.finditer(page.read_text("utf-8")):
        line = page.read_text("utf-8")[: example.start()].count("\n") + 1
        text = example[1].replace("port=3000", f"port={port}")
        code = compile("\n" * line + text, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if code.co_flags & inspect.CO_COROUTINE:
            await eval(code, names)
        else:
            exec(code, names)
    _ = capsys.readouterr()


def test_the_pages_have_examples() -> None:
    told = {page.name: len(EXAMPLE.findall(page.read_text("utf-8"))) for page in PAGES}
    assert {name for name, count in told.items() if count} >= {
        "README.md",
        "effects.md",
        "first-steps.md",
        "sandbox.md",
        "tokens.md",
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index


def test_the_table_of_methods_is_that_of_the_code() -> None:
    assert PAGE.read_text("utf-8") == table(), "run: python tests/reference_table.py"


def test_the_table_of_what_is_repeated_is_that_of_the_code() -> None:
    rows = (ROOT / "docs" / "errors.md").read_text("utf-8")
    for failure, label in {
        Failure.NOT_SENT: "nothing was sent",
        Failure.LOST: "the answer was lost",
        Failure.LIMITED: "429, too many requests",
        Failure.BUSY: "503 that asks to wait",
        Failure.FAULTY: "500, 502, 503, 504",
    }.items():
        row = re.search(rf"^\| {label} \| (.*) \| (.*) \| (.*) \|$", rows, re.MULTILINE)
        assert row is not None
        assert [cell.startswith("yes") for cell in row.groups()] == list(MAY_REPEAT[failure].values())
