"""The login by hand."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from interpreters.browser import Pasted
from kickcore.effects import Consent
from kickcore.errors import ConfigError, LoginError, LoginTimeout
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
    with pytest.raises(LoginError) as caught:
        await pasted(consent_for(3000))
    assert len(asked) == 5
    assert str(caught.value) == (
        "none of 5 addresses was Kick's answer to this login (1 malformed callback, 4 wrong or missing state): copy "
        "the whole address that the browser ended at, and start the login again"
    )


@pytest.mark.parametrize("given", [None, 5, b"http://127.0.0.1:3000/callback?code=GOOD&state=STATE"])
async def test_what_is_no_text_is_the_mistake_of_the_program(given: Any, consent_for: ConsentFor) -> None:
    pasted, asked = answering(given)
    with pytest.raises(ConfigError, match=f"^paste gives the address as a text, not {type(given).__name__}$"):
        await pasted(consent_for(3000))
    assert len(asked) == 1


async def test_a_user_who_pastes_nothing(consent_for: ConsentFor) -> None:
    async def ask(_url: str) -> str:
        await anyio.sleep_forever()
        return ""

    with pytest.raises(LoginTimeout) as caught:
        await Pasted(ask)(consent_for(3000, 0.02))
    assert (caught.value.seconds, caught.value.refused) == (0.02, {})
    assert str(caught.value) == (
        "nobody came back from the browser with an address within 0.02 seconds; no other request came either; if "
        "Kick's page showed an error, compare the client id and the redirect URL with your app's settings. Start the "
        "login again"
    )


async def test_what_was_pasted_in_vain_is_told_when_the_time_is_over(consent_for: ConsentFor) -> None:
    asked: list[str] = []

    async def ask(url: str) -> str:
        asked.append(url)
        if len(asked) == 3:
            await anyio.sleep_forever()
        return f"{ADDRESS}?code=EVIL&state=OTHER"

    with pytest.raises(LoginTimeout, match="; turned away meanwhile: 2 wrong or missing state; if Kick's") as caught:
        await Pasted(ask)(consent_for(3000, 0.05))
    assert caught.value.refused == {"wrong or missing state": 2}


async def test_what_asking_raises_comes_out(consent_for: ConsentFor) -> None:
    async def ask(_url: str) -> str:
        raise EOFError

    with pytest.raises(EOFError):
        await Pasted(ask)(consent_for(3000))
