"""What recorders of HTTP get wrong, and what cannot go wrong here.

Secrets that reach the disk; tokens that become equal; answers that go to another task; failures that are forgotten.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from recorded import SLOT, Wavering, all_at_once, asking, kick

from interpreters.sessions import Player, Recording, replayed
from interpreters.sessions.aliases import suspicious
from kickcore.api.users import fetch_user
from kickcore.effects import LoadToken, Program, Sleep
from kickcore.errors import NetworkError
from kickcore.http import Response, Sent, Unreachable
from kickcore.oauth.access import token_for
from kickcore.oauth.login import authenticate


def test_no_secret_of_a_login_and_a_refresh_reaches_the_file() -> None:
    simulated, recording = kick(), Recording()
    seen: list[str] = []

    def answer(effect: Any) -> object:
        given = simulated.answer(effect)
        if type(effect).__name__ == "Consent":
            seen.extend([effect.state.reveal(), given.code.reveal()])  # type: ignore[attr-defined]
        if type(effect).__name__ == "Send":
            seen.extend(
                value.reveal() for name, value in effect.request.form if name in {"code_verifier", "client_secret"}
            )
            body = json.loads(given.body)  # type: ignore[attr-defined]
            seen.extend(body[name] for name in ("access_token", "refresh_token") if name in body)
        return given

    recording.run_sync(authenticate(["user:read"]), answer)
    simulated.time += 7190.0
    recording.run_sync(fetch_user(), answer)
    recording.close()
    text = recording.text().decode()
    assert len(set(seen)) == 8
    assert not [secret for secret in seen if secret in text]
    assert not [row for row in text.splitlines() for _ in suspicious(json.loads(row))]


def test_two_tokens_do_not_become_equal() -> None:
    """A program that asks whether somebody else has renewed meanwhile decides as it did."""

    def has_been_renewed() -> Program[tuple[bool, bool]]:
        before = yield from LoadToken(SLOT)
        _ = yield from token_for(SLOT, refused=before.token.access_token if before else None)
        after = yield from LoadToken(SLOT)
        assert before is not None
        assert after is not None
        return (
            before.token.access_token == after.token.access_token,
            before.token.refresh_token == after.token.refresh_token,
        )

    simulated, recording = kick(), Recording()
    recording.run_sync(authenticate(["user:read"]), simulated.answer)
    assert recording.run_sync(has_been_renewed(), simulated.answer) == (False, False)
    player = Player(recording.close())
    player.run_sync(authenticate(["user:read"]))
    assert player.run_sync(has_been_renewed()) == (False, False)


async def test_two_programs_that_ask_the_same_get_their_own_answers(anyio_backend: str) -> None:
    def polling(me: str) -> Program[list[bytes]]:
        seen: list[bytes] = []
        for _ in range(6):
            answer = yield from asking("/public/v1/livestreams")
            assert isinstance(answer, Response)
            seen.append(answer.body)
            yield from Sleep(0.0)
        return [*seen, me.encode()]

    for seed in range(20):
        simulated, recording = kick(), Recording()
        count = iter(range(1000))
        simulated.sandbox.before = lambda request, count=count: Response(200, (), b"%d" % next(count))
        wavering = Wavering(simulated, seed)
        programs: dict[str, tuple[Callable[[], Program[Any]], Any]] = {
            me: (lambda me=me: polling(me), (wavering,)) for me in ("one", "two")
        }
        results = await all_at_once(recording.run, programs)
        assert results["one"] != results["two"]
        player = Player(recording.close())
        again: dict[str, tuple[Callable[[], Program[Any]], Any]] = {
            me: (lambda me=me: polling(me), ()) for me in ("two", "one")
        }
        assert await all_at_once(player.run, again) == results
        player.finish()


def test_a_timeout_and_the_retry_after_it_come_back() -> None:
    simulated, recording = kick(), Recording()
    lost = iter([Unreachable("the answer took too long", Sent.MAYBE)])
    simulated.sandbox.before = lambda request: next(lost, None) if request.url.endswith("/users") else None
    assert recording.run_sync(fetch_user(676), simulated.answer).user_id == 676
    session = recording.close()
    asked = [line.k for line in session.lines]
    assert asked.count("send") == 3
    assert "sleep" in asked
    player = Player(session)
    assert player.run_sync(fetch_user(676)).user_id == 676
    player.finish()
    assert [session.lines[number].k for number in player.delivered] == asked


def test_a_failure_that_ends_a_call_ends_it_again() -> None:
    simulated, recording = kick(), Recording()
    simulated.sandbox.before = lambda request: Unreachable("no route", Sent.NO) if request.bearer else None
    with pytest.raises(NetworkError):
        recording.run_sync(fetch_user(676), simulated.answer)
    assert isinstance(replayed(recording.close())["fetch_user(user_id=676)"], NetworkError)
