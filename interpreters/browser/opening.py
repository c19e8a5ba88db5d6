"""Bringing the user to the authorization page: the system's browser, or a line on standard error."""

import re
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeAlias

import anyio

from interpreters.daemon import in_daemon_thread

OpenUrl: TypeAlias = Callable[[str], Awaitable[bool]]
"""Opens a URL for the user; False or an exception says that it could not."""

ShowUrl: TypeAlias = Callable[[str], None]
"""Shows a URL to the user, who opens it by hand."""

PATIENCE: Final = 10.0
"""Seconds after which the URL is shown as well, if the user has not come back by then."""

_WEB: Final = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII | re.IGNORECASE)


async def open_system_browser(url: str) -> bool:
    """Open `url` in the user's browser. False if there is none, or if this is no http or https URL.

    No shell ever sees the URL. The call runs in a daemon thread, which is left behind when the caller is cancelled:
    some text browsers come back only when the user leaves them.
    """
    if not _WEB.fullmatch(url):
        return False
    try:
        return await in_daemon_thread(lambda: webbrowser.open(url))
    except (webbrowser.Error, OSError):
        return False


def show_on_stderr(url: str) -> None:
    """Write one line with `url` to standard error, if the program has one that can be written to."""
    # A log would be the wrong place: the URL carries the state, and nobody might read it.
    if sys.stderr is None:
        return
    # It may be closed, or its reader gone. A login whose browser did open must not end by that.
    with suppress(OSError, ValueError):
        print(f"To log in to Kick, open this address in a browser on this computer: {url}", file=sys.stderr, flush=True)


class Invitation:
    """One attempt to bring the user to `url`: with a browser, else by showing the URL, which happens at most once."""

    def __init__(self, url: str, open_url: OpenUrl, show_url: ShowUrl) -> None:
        self._url = url
        self._open_url = open_url
        self._show_url = show_url
        self._tried = anyio.Event()
        self.trouble: str = ""
        """Why no browser was opened, as a name and never as a text that could hold the URL; "" if one was."""

    async def try_browser(self) -> None:
        """Open the browser. That it cannot be opened is `trouble`, and no exception."""
        try:
            opened = await self._open_url(self._url)
        except Exception as error:  # noqa: BLE001  A browser that breaks must not end the login.
            self.trouble = type(error).__name__
        else:
            self.trouble = "" if opened else "no browser"
        self._tried.set()

    async def show_in_time(self) -> None:
        """Show the URL if the browser cannot be opened, or if nobody has come back after `PATIENCE`.

        Many a browser that cannot start says that it did. Raises what showing raises.
        """
        with anyio.move_on_after(PATIENCE):
            await self._tried.wait()
            if not self.trouble:
                await anyio.sleep_forever()
        self._show_url(self._url)
