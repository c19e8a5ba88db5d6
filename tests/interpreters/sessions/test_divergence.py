"""Each way in which a program and a recording may disagree is told so that a stranger understands it."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from recorded import ISSUER, SCOPES, SLOT, asking, kick, recorded, waiting

from interpreters.sessions import Player, Reason, Recording, ReplayDivergence, Session, read
from interpreters.sessions.divergence import first_difference, summary
from kickcore.api.users import fetch_user
from kickcore.effects import LoadToken, Program, Sleep
from kickcore.errors import KickError
from kickcore.oauth.access import token_for
from kickcore.oauth.login import authenticate
from kickcore.oauth.tokens import Slot, TokenKind
from kickcore.secret import Secret

USER = "fetch_user(user_id=676)"
APP_SLOT = Slot(ISSUER, "sandbox-app", TokenKind.APP)


def diverges(run: Callable[[], object]) -> ReplayDivergence:
    with pytest.raises(ReplayDivergence) as caught:
        run()
    return caught.value


def rows(divergence: ReplayDivergence) -> list[str]:
    return [row.rstrip() for row in str(divergence).splitlines()]


def test_another_effect() -> None:
    def sleeping() -> Program[None]:
        yield from Sleep(1.5)

    told = diverges(lambda: Player(recorded(fetch_user(676))).run_sync(sleeping(), label=USER))
    assert told.reason is Reason.KIND
    first, session, program, was, used, following, likely, fix = rows(told)
    assert first == f"program {USER} asked for something else than the recording has"
    assert session == "  session   the recording, line 2 of 11"
    assert program.startswith(
        f"  program   {USER}, effect 0, yielded at tests/interpreters/sessions/test_divergence.py:"
    )
    assert program.endswith(" in sleeping")
    assert was == "    recorded  load_token app"
    assert used == "    this run  sleep 1.5 s"
    assert following == f"  recording expects next  {USER} #1 exclusive app"
    assert likely == "  likely    the decision about the token is another one"
    assert fix == "  fix       if this is intended, record the session anew"


def test_another_value() -> None:
    told = diverges(lambda: Player(recorded(fetch_user(676))).run_sync(fetch_user(677), label=USER))
    assert told.reason is Reason.FIELD
    assert rows(told) == [
        f"program {USER} asked the same as the recording has, with another value",
        "  session   the recording, line 11 of 11",
        f"  program   {USER}, effect 7, yielded at {rows(told)[2].partition('yielded at ')[2]}",
        "  field     send /query/0/1",
        "    recorded  676",
        "    this run  677",
        "  before    6 load_token app   8 send POST /oauth/token   10 save_token app",
        "  likely    an argument, or how a request is built, has changed",
        "  fix       if this is intended, record the session anew",
    ]
    assert "kickcore/api/call.py" in rows(told)[2]


def with_a_renewal(*, is_old: bool) -> Program[Any]:
    first = yield from token_for(SLOT)
    second = yield from token_for(SLOT, refused=first.access_token)
    return (yield from asking("/public/v1/users", bearer=(first if is_old else second).access_token))


def renewed() -> Session:
    simulated, recording = kick(), Recording(seed="s")
    recording.run_sync(authenticate(SCOPES), simulated.answer)
    recording.run_sync(with_a_renewal(is_old=False), simulated.answer, label="bot")
    return recording.close()


def test_another_token() -> None:
    player = Player(renewed())
    player.run_sync(authenticate(SCOPES))
    told = diverges(lambda: player.run_sync(with_a_renewal(is_old=True), label="bot"))
    assert told.reason is Reason.IDENTITY
    assert rows(told)[3:6] == [
        "  field     send /bearer",
        "    recorded  «at:2»   (answered at line 20)",
        "    this run  «at:1»   (answered at line 8)",
    ]
    assert rows(told)[-2] == "  likely    a token was held on to over a renewal; load it anew before each call"


def test_a_token_that_the_recording_does_not_know() -> None:
    player = Player(renewed())
    player.run_sync(authenticate(SCOPES))

    def own() -> Program[Any]:
        first = yield from token_for(SLOT)
        _ = yield from token_for(SLOT, refused=first.access_token)
        return (yield from asking("/public/v1/users", bearer=Secret("my-very-own-token-7")))

    told = diverges(lambda: player.run_sync(own(), label="bot"))
    assert told.reason is Reason.IDENTITY
    assert rows(told)[5] == "    this run  «at:?»"
    assert "my-very-own-token-7" not in str(told)


def test_more_than_was_recorded() -> None:
    def twice() -> Program[None]:
        _ = yield from waiting(1.0)
        _ = yield from waiting(2.0)

    told = diverges(lambda: Player(recorded(waiting(1.0))).run_sync(twice(), label="waiting(seconds=1.0)"))
    assert told.reason is Reason.EXTRA
    assert rows(told)[0] == "program waiting(seconds=1.0) goes on where its recording ends"
    assert rows(told)[3:5] == ["    recorded  nothing", "    this run  sleep 2 s"]
    assert "  likely    the program does more than when it was recorded" in rows(told)


def test_a_program_of_another_name() -> None:
    told = diverges(lambda: Player(recorded(fetch_user(676))).run_sync(fetch_user(5)))
    assert told.reason is Reason.EXTRA
    assert f"  likely    no program of this name was recorded; there are: {USER}" in rows(told)


def test_less_than_was_recorded() -> None:
    def half() -> Program[None]:
        _ = yield from LoadToken(APP_SLOT)
        raise ValueError("oops")

    player = Player(recorded(fetch_user(676)))
    told = diverges(lambda: player.run_sync(half(), label=USER))
    assert told.reason is Reason.UNFINISHED
    assert rows(told)[0] == f"program {USER} ended, and its recording goes on"
    assert rows(told)[3:5] == ["    recorded  exclusive app", "    this run  it ended with ValueError: oops"]


def test_a_program_that_was_never_begun() -> None:
    player = Player(recorded(waiting(1.0), waiting(2.0)))
    player.run_sync(waiting(1.0))
    told = diverges(player.finish)
    assert told.reason is Reason.UNFINISHED
    assert told.difference.program == "waiting(seconds=2.0)"
    assert told.difference.used == "it was never begun"


def test_another_order() -> None:
    told = diverges(lambda: Player(recorded(waiting(1.0), waiting(2.0))).run_sync(waiting(2.0)))
    assert told.reason is Reason.ORDER
    assert rows(told)[0] == "program waiting(seconds=1.0) is the next by the recording, and does not ask"
    assert "    this run  it was not begun, while waiting(seconds=2.0) waits" in rows(told)
    assert 'if they share nothing: order="program"' in rows(told)[-2]


def test_an_answer_that_was_lost() -> None:
    simulated, recording = kick(), Recording()
    recording.run_sync(fetch_user(676), simulated.answer)
    text = recording.text().splitlines(keepends=True)
    cut = read(b"".join(text[:7]), "cut.jsonl", partial=True)
    told = diverges(lambda: Player(cut).run_sync(fetch_user(676)))
    assert told.reason is Reason.LOST
    assert rows(told)[0] == f"program {USER} comes to an effect whose answer was never recorded"
    assert "    recorded  send POST /oauth/token was begun" in rows(told)
    assert "  likely    the process that recorded it died here, and nobody knows what came of it" in rows(told)


def test_no_program_can_catch_it() -> None:
    caught: list[BaseException] = []

    def stubborn() -> Program[None]:
        for seconds in (5.0, 6.0, 7.0):
            try:
                yield from Sleep(seconds)
            except Exception as error:  # noqa: BLE001
                caught.append(error)

    told = diverges(lambda: Player(recorded(waiting(1.0))).run_sync(stubborn(), label="waiting(seconds=1.0)"))
    assert told.reason is Reason.FIELD
    assert not caught
    assert not isinstance(told, Exception)
    assert not isinstance(told, KickError)


def test_it_is_raised_again_to_whoever_goes_on() -> None:
    player = Player(recorded(waiting(1.0), waiting(2.0)))
    first = diverges(lambda: player.run_sync(waiting(9.0), label="waiting(seconds=1.0)"))
    assert str(diverges(lambda: player.run_sync(waiting(2.0)))) == str(first)
    assert str(diverges(player.finish)) == str(first)
    assert player.failure is not None
    assert str(pickle.loads(pickle.dumps(first))) == str(first)


def test_what_came_before_is_told_by_program() -> None:
    player = Player(recorded(waiting(1.0), waiting(2.0)))
    player.run_sync(waiting(1.0))
    player.run_sync(waiting(2.0))
    assert player.history() == {
        "waiting(seconds=1.0)": ["2 sleep 1 s answered"],
        "waiting(seconds=2.0)": ["3 sleep 2 s answered"],
    }


@pytest.mark.parametrize(
    ("recorded", "used", "found"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, ("/a/1/b", "2", "3")),
        ({"a": [1]}, {"a": [1, 2]}, ("/a/1", "nothing", "2")),
        ({"a": 1, "b": 2}, {"a": 1}, ("/b", "2", "nothing")),
        ({"a": 1}, {"a": 1, "b": 2}, ("/b", "nothing", "2")),
        ({"a": True}, {"a": 1}, ("/a", "True", "1")),
        (1, "1", ("/", "1", "'1'")),
    ],
)
def test_the_first_difference_is_found(recorded: object, used: object, found: tuple[str, str, str] | None) -> None:
    told = first_difference(recorded, used)
    assert told == found or (told and (told[0], repr(told[1]), repr(told[2])) == found)


@pytest.mark.parametrize("raw", [b"", b"[1]", b"{", b'{"query":5}', b'{"slot":[]}', b'{"url":5}', b"\xff"])
def test_a_line_that_makes_no_sense_is_told_by_its_kind(raw: bytes) -> None:
    assert summary("send", raw) == "send"
