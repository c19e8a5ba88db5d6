"""What was recorded comes back: to the program that asked, in the order of its delivery, on any loop and on none."""

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from msgspec.structs import replace
from recorded import ISSUER, SLOT, Wavering, a_day, all_at_once, appending, asking, kick, recorded, waiting

from interpreters.sandbox import Simulated
from interpreters.sessions import Cancelled, Order, Player, Recording, ReplayDivergence, Session, read, replayed
from kickcore.api.chat import send_chat_message
from kickcore.api.users import fetch_user
from kickcore.effects import Leaf, Notify, Now, Program, Send
from kickcore.errors import KickWarning, NetworkError, SessionError
from kickcore.http import Response, Sent, Unreachable
from kickcore.notices import ClockSkewed, Notice
from kickcore.oauth.access import token_for
from kickcore.oauth.login import authenticate, logout
from kickcore.oauth.tokens import TokenKind
from kickcore.secret import Secret


def log_of(player: Player) -> list[tuple[str, int, str]]:
    """What was delivered, in order: program, index, kind."""
    lines = [player.session.lines[number] for number in player.delivered]
    return [(line.p, line.i, line.k) for line in lines]


def test_a_day_with_a_login_and_a_refresh_comes_back() -> None:
    simulated, recording = kick(), Recording()
    values = [recording.run_sync(program, simulated.answer) for program in a_day()]
    session = recording.close()
    player = Player(session)
    again = [player.run_sync(program) for program in a_day()]
    player.finish()
    # The e-mail address is a variable, too.
    assert again[:-1] == values[:-1]
    assert replace(again[-1], email=values[-1].email) == values[-1]
    assert again[-1].email == "fake-email-1@example.invalid"
    assert len(player.delivered) == len(session.lines)


def test_a_whole_session_of_kickcores_own_programs_replays_by_itself() -> None:
    session = recorded(*[program for program in a_day() if program.__name__ != "waiting"])
    results = replayed(session)
    assert [type(value).__name__ for value in results.values()] == [
        "User",
        "Login",
        "SentMessage",
        "SentMessage",
        "User",
    ]
    with pytest.raises(SessionError, match=r"waiting\(seconds=5.0\) is none of kickcore's own programs"):
        _ = replayed(recorded(waiting(5.0)))


def test_a_program_with_a_label_is_found_by_what_it_is_called() -> None:
    recording = Recording()
    user = recording.run_sync(fetch_user(676), kick().answer, label="the streamer")
    assert replayed(recording.close()) == {"the streamer": user}


def test_time_is_that_of_the_recording_and_moves_at_deliveries_only() -> None:
    def watching() -> Program[list[float]]:
        seen = []
        for seconds in (0.0, 1.5, 60.0):
            seen.append((yield from Now()))
            yield from waiting(seconds)
            seen.append((yield from Now()))
        return seen

    simulated, recording = kick(), Recording()
    seen = recording.run_sync(watching(), simulated.answer)
    assert [second - first for first, second in pairwise(seen)] == [0.0, 0.0, 1.5, 0.0, 60.0]
    assert Player(recording.close()).run_sync(watching()) == seen


def test_another_now_or_another_draw_does_not_make_a_recording_old() -> None:
    session = recorded(fetch_user(676))

    def asking_the_time_first() -> Program[Any]:
        _ = yield from Now()
        user = yield from fetch_user(676)
        _ = yield from Now()
        return user

    assert Player(session).run_sync(asking_the_time_first(), label="fetch_user(user_id=676)").user_id == 676


def test_a_failure_is_replayed_with_what_may_have_been_sent() -> None:
    simulated = kick()
    simulated.sandbox.before = lambda request: Unreachable("broke", Sent.MAYBE) if request.bearer else None
    session = recorded(fetch_user(676), on=simulated)
    with pytest.raises(NetworkError) as caught:
        _ = Player(session).run_sync(fetch_user(676))
    assert caught.value.sent == "maybe"
    assert isinstance(replayed(session)["fetch_user(user_id=676)"], NetworkError)


def test_an_exception_of_the_interpreter_comes_back_where_it_was_raised() -> None:
    def answer(effect: Leaf) -> object:
        if isinstance(effect, Now):
            return 0.0
        raise OSError("gone")

    recording = Recording()
    with pytest.raises(OSError, match="gone"):
        recording.run_sync(waiting(1.0), answer)
    with pytest.raises(OSError, match="gone"):
        Player(recording.close()).run_sync(waiting(1.0))


def test_notices_are_told_again() -> None:
    def telling() -> Program[None]:
        yield from Notify(ClockSkewed(90.0))

    told: list[Notice] = []
    session = recorded(telling(), telling())
    player = Player(session, on_notice=told.append)
    player.run_sync(telling())
    assert told == [ClockSkewed(90.0)]

    def raising(notice: Notice) -> None:
        raise ValueError

    player = Player(session, on_notice=raising)
    with pytest.warns(KickWarning, match="on_notice raised ValueError; the replay goes on"):
        player.run_sync(telling())


def test_tokens_that_programs_have_seen_can_be_had() -> None:
    session = recorded(*a_day())
    player = Player(session)
    for program in a_day():
        player.run_sync(program)
    token = player.tokens[SLOT]
    assert token is not None
    assert token.access_token is not None
    assert token.access_token.reveal().startswith("fake-at-3")
    assert player.time == (session.header.micros + session.lines[-1].t) / 1e6


def test_a_text_of_ones_own_may_stand_for_a_secret() -> None:
    session = recorded(fetch_user(676))
    player = Player(session, bind={"at:1": Secret("my-own-token")})
    player.run_sync(fetch_user(676))
    assert player.bindings.text_of("at:1") == "my-own-token"


# Several programs


async def record_at_once(seed: int, times: int = 2) -> tuple[Session, dict[str, Any], Simulated]:
    simulated, recording = kick(), Recording(seed=str(seed))
    wavering = Wavering(simulated, seed)
    programs: dict[str, tuple[Callable[[], Program[Any]], Any]] = {
        name: (lambda name=name: appending(name, times), (wavering,)) for name in ("a", "b", "c")
    }
    results = await all_at_once(recording.run, programs)
    return recording.close(), results, simulated


async def test_of_hundreds_of_sessions_each_program_gets_its_own_answers_and_what_is_shared_ends_the_same(
    anyio_backend: str,
) -> None:
    for seed in range(500):
        session, results, simulated = await record_at_once(seed)
        names = ["a", "b", "c"]
        random.Random(seed).shuffle(names)
        player = Player(session)
        assert player.run_all({name: appending(name, 2) for name in names}) == results
        player.finish()
        held = simulated.tokens.get(SLOT)
        assert held is not None
        replayed_token = player.tokens[SLOT]
        last = [line for line in session.lines if line.k == "load_token"]
        assert last
        assert replayed_token is not None
        saved = [text for result in results.values() for text in result if text.startswith("saved")]
        assert len(held.token.scope or ()) == len(saved)


async def test_what_one_loop_recorded_replays_on_none_and_on_the_other(anyio_backend: str) -> None:
    session, results, _ = await record_at_once(7, times=5)
    plain = Player(session)
    assert plain.run_all({name: appending(name, 5) for name in "cab"}) == results
    player = Player(session)
    programs: dict[str, tuple[Callable[[], Program[Any]], Any]] = {
        name: (lambda name=name: appending(name, 5), ()) for name in "bca"
    }
    assert await all_at_once(player.run, programs) == results
    player.finish()
    assert log_of(player) == log_of(plain) == [(line.p, line.i, line.k) for line in session.lines]


async def test_by_program_each_is_served_by_itself(anyio_backend: str) -> None:
    session, results, _ = await record_at_once(3)
    for name in "cba":
        player = Player(session, order="program")
        assert player.run_sync(appending(name, 2), label=name) == results[name]
    with pytest.raises(ReplayDivergence) as caught:
        Player(session).run_sync(appending("c", 2), label="c")
    assert caught.value.reason == "order"
    apart = recorded(waiting(1.0), waiting(2.0), waiting(3.0))
    player = Player(apart, order=Order.PROGRAM)
    for seconds in (3.0, 1.0, 2.0):
        player.run_sync(waiting(seconds))
    player.finish()


async def test_callers_that_begin_late_are_waited_for(anyio_backend: str) -> None:
    simulated, recording = kick(), Recording()
    recording.run_sync(waiting(1.0), simulated.answer, label="first")
    recording.run_sync(waiting(2.0), simulated.answer, label="second")
    player = Player(recording.close())
    order: list[str] = []

    async def late() -> None:
        for _ in range(5):
            await checkpoint()
        order.append("late begins")
        await player.run(waiting(1.0), label="first")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(late)
        await player.run(waiting(2.0), label="second")
        order.append("second is done")
    assert order == ["late begins", "second is done"]


async def test_a_caller_that_never_begins_is_waited_for_no_longer_than_patience(anyio_backend: str) -> None:
    session = recorded(waiting(1.0), waiting(2.0))
    player = Player(session, patience=0.01)
    with pytest.raises(ReplayDivergence, match="and does not ask"):
        await player.run(waiting(2.0))
    with pytest.raises(ReplayDivergence):
        await player.run(waiting(1.0))


class Stuck(Wavering):
    """Never answers a request."""

    async def __call__(self, effect: Leaf, /) -> object:
        if isinstance(effect, Send):
            self.simulated.time += 3.0
            await anyio.sleep_forever()
        return self.simulated.answer(effect)


async def cancelled_session(anyio_backend: str) -> Session:
    recording, stuck = Recording(), Stuck(kick(), 0)
    with anyio.move_on_after(0):
        await recording.run(asking("/x"), stuck)
    await recording.run(waiting(1.0), stuck)
    return recording.close()


async def test_a_cancelled_program_is_cancelled_again(anyio_backend: str) -> None:
    session = await cancelled_session(anyio_backend)
    player = Player(session)
    with anyio.move_on_after(0) as scope:
        await player.run(asking("/x"))
    assert scope.cancelled_caught
    await player.run(waiting(1.0))
    player.finish()
    plain = Player(session)
    with pytest.raises(Cancelled):
        plain.run_sync(asking("/x"))
    plain.run_sync(waiting(1.0))
    plain.finish()


async def test_a_program_that_nobody_cancels_is_told_of(anyio_backend: str) -> None:
    player = Player(await cancelled_session(anyio_backend), patience=0.01)
    with pytest.raises(ReplayDivergence, match="it was cancelled here"):
        await player.run(asking("/x"))


async def test_a_program_that_is_cancelled_earlier_than_recorded_ends_the_others(anyio_backend: str) -> None:
    session = recorded(waiting(1.0), waiting(2.0))
    player = Player(session)
    with anyio.move_on_after(0):
        await player.run(waiting(2.0))
    with pytest.raises(ReplayDivergence, match="ended, and its recording goes on") as caught:
        await player.run(waiting(1.0))
    assert caught.value.difference.used == "its caller cancelled it"
    with pytest.raises(ReplayDivergence):
        player.finish()


async def test_a_replay_in_a_loop_is_a_checkpoint(anyio_backend: str) -> None:
    player = Player(recorded(fetch_user(676)))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await player.run(fetch_user(676))
    assert scope.cancelled_caught
    assert not player.delivered


async def test_recorded_time_passes_on_demand(anyio_backend: str) -> None:
    session = recorded(waiting(0.02), waiting(0.02))
    player = Player(session, speed=2.0)
    began = anyio.current_time()
    await player.run(waiting(0.02))
    await player.run(waiting(0.02))
    assert anyio.current_time() - began >= 0.009


def test_what_was_still_under_way_at_the_end_stays_so() -> None:
    octets = recorded(waiting(1.0))
    session = replace(octets, footer=replace(octets.footer, open=["twice()"]))  # type: ignore[type-var]

    def twice() -> Program[None]:
        _ = yield from waiting(1.0)
        _ = yield from waiting(1.0)

    rows = [replace(line, p="twice()") for line in session.lines]
    player = Player(replace(session, lines=tuple(rows)))
    with pytest.raises(ReplayDivergence, match=r"order|cancel|does not ask"):
        player.run_sync(twice())


def test_a_session_with_a_program_under_way_at_its_end_replays_to_there() -> None:
    session = recorded(waiting(1.0), waiting(2.0))
    under_way = replace(session.lines[1], p="twice()")
    footer = replace(session.footer, open=["twice()"])  # type: ignore[type-var]
    player = Player(replace(session, lines=(session.lines[0], under_way), footer=footer))

    def twice() -> Program[None]:
        _ = yield from waiting(2.0)
        _ = yield from waiting(3.0)

    _ = player.begin(twice(), label="twice()")
    player.run_sync(waiting(1.0))
    player.pump()
    player.finish()


def test_a_broken_answer_is_told_to_everybody() -> None:
    session = recorded(waiting(1.0), fetch_user(676))
    lines = [
        replace(line, r=type(line.r)(b'{"status":"what"}')) if line.k == "send" else line for line in session.lines
    ]
    player = Player(replace(session, lines=tuple(lines)))
    player.run_sync(waiting(1.0))
    for program in (fetch_user(676), waiting(5.0)):
        with pytest.raises(SessionError, match="its answer is none to send: Expected `int`"):
            player.run_sync(program)


def test_a_session_without_an_app_says_so() -> None:
    recording = Recording()
    recording.run_sync(waiting(1.0), kick().answer)
    with pytest.raises(SessionError, match="for which app"):
        Player(recording.close()).run_sync(fetch_user(676))


def test_two_accounts_and_a_renewal_beside_come_back() -> None:
    simulated = kick()
    wavering = Wavering(simulated, 1)
    programs: list[tuple[Callable[[], Program[Any]], str]] = []
    for account in ("alice", "bob"):
        programs += [(lambda: authenticate(["user:read", "chat:write"]), account)]
    for number in range(30):
        for account in ("alice", "bob"):
            programs += [(lambda n=number: send_chat_message(f"message {n}", broadcaster_user_id=676), account)]
        programs += [(lambda n=number: waiting(400.0 + n), "")]
    programs += [(logout, "alice"), (logout, "bob")]
    recording = Recording()
    for make, account in programs:
        answer = wavering.acting_for(account).simulated.answer if account else simulated.answer
        recording.run_sync(make(), answer, account=account)
    session = recording.close()
    assert sum("/1" in name for name in session.programs) >= 2
    assert {line.a for line in session.lines} == {"", "alice", "bob"}
    logs = []
    for _ in range(3):
        player = Player(session)
        for make, account in programs:
            player.run_sync(make(), account=account)
        player.finish()
        logs.append(log_of(player))
    assert logs[0] == logs[1] == logs[2]
    assert len(logs[0]) == len(session.lines) > 150


def test_tokens_stay_apart_and_equal_in_a_replay() -> None:
    """Code that asks whether somebody else has renewed takes the branch that it took."""
    simulated = kick()
    recording = Recording()
    recording.run_sync(authenticate(["user:read"]), simulated.answer)
    app = simulated.app

    def renewing() -> Program[tuple[bool, bool]]:
        slot = app.slot(TokenKind.USER)
        first = yield from token_for(slot)
        second = yield from token_for(slot, refused=first.access_token)
        third = yield from token_for(slot, refused=first.access_token)
        return first.access_token == second.access_token, second.access_token == third.access_token

    assert recording.run_sync(renewing(), simulated.answer) == (False, True)
    player = Player(recording.close())
    player.run_sync(authenticate(["user:read"]))
    assert player.run_sync(renewing()) == (False, True)


def test_a_session_is_small() -> None:
    recording = Recording()
    simulated = kick()
    for _ in range(50):
        recording.run_sync(fetch_user(676), simulated.answer)
    assert len(recording.text()) / 50 < 1024


def test_an_answer_may_hold_what_looks_like_an_alias() -> None:
    body = '{"data":"«at:1» ««at:1»» «"}'.encode()
    simulated = kick()
    simulated.sandbox.before = lambda request: Response(200, (), body)
    session = recorded(asking("/«at:1»"), on=simulated)
    assert Player(session).run_sync(asking("/«at:1»")) == Response(200, (), body)
    assert read(b"".join([b'{"kcs":1}\n', b'{"end":1}\n'])).lines == ()
    assert ISSUER
