"""The login by hand, for a computer without a browser: the user opens the URL elsewhere, then pastes an address."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import anyio

from interpreters.browser.patience import counted, login_timeout
from kickcore.effects import Consent
from kickcore.errors import ConfigError, LoginError
from kickcore.oauth.callback import Callback, Refused, read_pasted

MOST_ATTEMPTS: Final = 5

Ask: TypeAlias = Callable[[str], Awaitable[str]]
"""Shows a URL to the user and gives the address that the user's browser ended at."""


class Pasted:
    """Answers `Consent` by asking: `ask(url)` gives the address that the user's browser ended at.

    That browser may show an error page there, when nothing listens at the redirect URI; the address is what counts.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask: Callable[[str], Awaitable[object]] = ask

    async def __call__(self, consent: Consent) -> Callback:
        """How the user's visit ended, by the same checks as a callback that is received.

        Asks at most five times. Raises `LoginError` after that, `LoginTimeout` after `consent.timeout` seconds, and
        what `ask` raises.
        """
        refused: Counter[str] = Counter()
        with anyio.move_on_after(consent.timeout):
            return await self._answered(consent, refused)
        raise login_timeout("with an address", consent.timeout, refused)

    async def _answered(self, consent: Consent, refused: Counter[str]) -> Callback:
        for _ in range(MOST_ATTEMPTS):
            said = _said(await self._ask(consent.url.reveal()), consent)
            if not isinstance(said, Refused):
                return said
            refused[said.value] += 1
        raise LoginError(
            f"none of {MOST_ATTEMPTS} addresses was Kick's answer to this login ({counted(refused)}): copy the whole "
            "address that the browser ended at, and start the login again"
        )


def _said(address: object, consent: Consent) -> Callback | Refused:
    if isinstance(address, str):
        return read_pasted(address, redirect_uri=consent.redirect_uri, state=consent.state, issuer=consent.issuer)
    kind = type(address).__name__
    # It may hold a code, and a traceback may show local variables.
    del address
    raise ConfigError(f"paste gives the address as a text, not {kind}")
