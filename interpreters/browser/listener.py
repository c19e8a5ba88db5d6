"""The login through the browser on this machine: listen first, open the browser second, wait for one good callback."""

from urllib.parse import urlsplit

import anyio

from interpreters.browser.loopback import listening
from interpreters.browser.opening import Invitation, OpenUrl, ShowUrl, open_system_browser, show_on_stderr
from interpreters.browser.patience import login_timeout
from interpreters.browser.reception import Reception
from kickcore.effects import Consent
from kickcore.errors import ConfigError
from kickcore.oauth.callback import Callback, checked_redirect_uri, is_local, redirect_port


class Loopback:
    """Answers `Consent` with the browser on this machine.

    `open_url` opens the authorization page. If it gives False or raises, or if nobody has come back after ten seconds,
    the URL goes to `show_url`, by default a line on standard error; the wait goes on.
    """

    def __init__(self, open_url: OpenUrl = open_system_browser, show_url: ShowUrl | None = None) -> None:
        self._open_url = open_url
        self._show_url = show_url or show_on_stderr

    def telling(self, show_url: ShowUrl) -> "Loopback":
        """The same with another way to show the URL."""
        return Loopback(self._open_url, show_url)

    async def __call__(self, consent: Consent) -> Callback:
        """How the user's visit ended.

        Raises `ConfigError` for a redirect URI that does not lead here or a port that the system forbids,
        `CallbackPortInUse` and `LoginError` before any browser is opened, `LoginTimeout` after `consent.timeout`
        seconds, and what `show_url` raises.
        """
        uri = checked_redirect_uri(consent.redirect_uri)
        if not is_local(uri):
            raise ConfigError(
                f"redirect_uri {uri} does not lead to this computer by http, so no callback can be received here: use "
                "the manual mode (interpreters.browser.Pasted), where the user pastes the address the browser ended at"
            )
        port = redirect_port(uri)
        reception = Reception(consent)
        invitation = Invitation(consent.url.reveal(), self._open_url, self._show_url)
        async with listening(urlsplit(uri).hostname or "", port) as listeners:
            with anyio.move_on_after(consent.timeout):
                await reception.hold(listeners, invitation)
        if reception.outcome is None:
            trouble = f" (the browser could not be opened: {invitation.trouble})" if invitation.trouble else ""
            raise login_timeout(f"on port {port}{trouble}", consent.timeout, reception.refused)
        return reception.outcome
