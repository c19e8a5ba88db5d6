"""The login by hand."""

from collections.abc import Callable

import anyio
import pytest

from interpreters.browser import Pasted
from kickcore.effects import Consent
from kickcore.errors import LoginError, LoginTimeout
from kickcore.oauth.callback import Denied, Granted
from kickcore.secret import Secret

ConsentFor = Callable[..., Consent]
ADDRESS = "http://127.0.0.1:3000/callback"


def answering(*addresses: str) -> tuple[Pasted, list[str]]:
    asked: list[str] = []

    async def ask(url: str) -> str:
        asked.append(url)
        return addresses[len(asked) - 1]

    return Pasted(ask), asked


async def test_the_address_that_the_browser_ended_at(consent_for: ConsentFor) -> None:
    pasted, asked = answering(f" {ADDRESS}?code=GOOD&state=STATE\n")
    assert await pasted(consent_for(3000)) == Granted(Secret("GOOD"))
    assert asked == ["https://id.kick.com/oauth/authorize?state=STATE"]


async def test_a_wrong_address_is_asked_for_again(consent_for: ConsentFor) -> None:
    pasted, asked = answering("", f"{ADDRESS}?code=EVIL&state=OTHER", f"{ADDRESS}?error=access_denied&state=STATE")
    assert await pasted(consent_for(3000)) == Denied("access_denied")
    assert len(asked) == 3


async def test_five_wrong_addresses_are_enough(consent_for: ConsentFor) -> None:
    pasted, asked = answering(*[f"{ADDRESS}?code=EVIL&state=OTHER"] * 4, "http://[", "never asked")
    with pytest.raises(LoginError, match=r"\(1 malformed callback, 4 wrong or missing state\)") as caught:
        await pasted(consent_for(3000))
    assert len(asked) == 5
    assert "EVIL" not in str(caught.value)


async def test_a_user_who_pastes_nothing(consent_for: ConsentFor) -> None:
    async def ask(_url: str) -> str:
        await anyio.sleep_forever()
        return ""

    with pytest.raises(LoginTimeout, match=r"within 0\.02 seconds") as caught:
        await Pasted(ask)(consent_for(3000, 0.02))
    assert caught.value.seconds == 0.02


async def test_what_asking_raises_comes_out(consent_for: ConsentFor) -> None:
    async def ask(_url: str) -> str:
        raise EOFError

    with pytest.raises(EOFError):
        await Pasted(ask)(consent_for(3000))
