"""A session at one of its lines: what time it was, which tokens there were, and where each program stood."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from recorded import SLOT, a_day, appending, kick, recorded, waiting

from interpreters.sessions import Player, Recording, ReplayDivergence, Session, read
from interpreters.sessions.travelling import Position, at_line
from kickcore.api.users import fetch_user
from kickcore.effects import LoadToken, Program, Send
from kickcore.errors import SessionError
from kickcore.http import Request
from kickcore.oauth.login import authenticate, logout
from kickcore.secret import Secret

OWN = {"waiting(seconds=7150.0)": lambda: waiting(7150.0)}


@pytest.fixture(scope="module")
def day() -> Session:
    return recorded(*a_day())


def line_of(session: Session, kind: str, nth: int = 1) -> int:
    found = [number for line, number in zip(session.lines, session.numbers, strict=True) if line.k == kind]
    return found[nth - 1]


def test_before_the_first_line_everybody_waits(day: Session) -> None:
    position = at_line(day, 1, OWN)
    assert position.delivered == 0
    assert position.tokens == {}
    assert position.time == day.header.micros / 1e6
    first = position.programs["fetch_user(user_id=676)"]
    assert not first.began
    assert first.waits_for == "load_token app"
    assert first.place.startswith("kickcore/oauth/access.py:")
    assert first.place.endswith(" in token_for")
    assert [frame.function for frame in first.frames] == [
        "fetch_user",
        "call",
        "_exchange",
        "_sent",
        "_once",
        "token_for",
    ]
    assert all(Path(frame.file).name in {"users.py", "call.py", "access.py"} for frame in first.frames)


def test_in_the_middle_of_a_refresh(day: Session) -> None:
    line = line_of(day, "hold", 3)
    position = at_line(day, line, OWN)
    name = next(name for name in position.programs if name.startswith("send_chat_message(content='Still"))
    standing = position.programs[name]
    assert standing.waits_for == "load_token user"
    assert [frame.function for frame in standing.frames][-3:] == ["token_for", "carry_out", "_renew"]
    assert standing.place.endswith(" in _renew")
    assert position.programs["fetch_user(user_id=676)"].outcome == "gave User"
    assert position.time == (day.header.micros + 7150_000_000) / 1e6
    assert position.tokens[SLOT] is not None
    text = str(position)
    assert text.startswith(f"line {line}, ")
    assert "waits for load_token user, at kickcore/oauth/renewal.py:" in text


def test_a_renewal_beside_a_program_stands_there_too() -> None:
    session = recorded(authenticate(["user:read"]), waiting(6700.0), fetch_user())
    position = at_line(session, line_of(session, "renew_ahead"), {"waiting(seconds=6700.0)": lambda: waiting(6700.0)})
    child = position.programs["fetch_user()/1"]
    assert child.waits_for == "hold user"
    assert not child.began
    assert position.programs["fetch_user()"].waits_for == "send GET /public/v1/users"


def test_each_line_is_one_answer_further(day: Session) -> None:
    delivered = [at_line(day, line, OWN).delivered for line in range(1, day.numbers[-1] + 2)]
    assert delivered[0] == 0
    assert delivered[-1] == len(day.lines)
    assert all(one in {before, before + 1} for before, one in pairwise(delivered))
    end = at_line(day, day.numbers[-1], OWN)
    assert all(one.outcome and not one.waits_for for one in end.programs.values())
    player = Player(day)
    for program in a_day():
        player.run_sync(program)
    assert end.tokens == player.tokens
    assert end.time == player.time


def test_to_go_back_is_to_run_again(day: Session) -> None:
    lines = (20, 5, 20)
    first, _, again = (at_line(day, line, OWN) for line in lines)
    assert isinstance(first, Position)
    assert first == again


def test_an_error_and_a_cancellation_are_told() -> None:
    session = recorded(fetch_user())
    end = at_line(session, session.numbers[-1])
    assert end.programs["fetch_user()"].outcome.startswith("raised LoginRequired: ")
    recording = Recording(seed="s")
    recording.run_sync(waiting(1.0), kick().answer)
    text = b"\n".join(
        (
            recording.text().split(b"\n")[0],
            b'{"p":"waiting(seconds=1.0)","i":0,"cancel":1,"t":5}',
            b'{"end":1,"lines":1,"open":[],"ended":{},"leaks":0}',
            b"",
        )
    )
    cancelled = at_line(read(text), 2, {"waiting(seconds=1.0)": lambda: waiting(1.0)})
    assert cancelled.programs["waiting(seconds=1.0)"].outcome == "was cancelled"


def test_a_secret_that_the_recording_does_not_know_does_not_show() -> None:
    def telling(secret: str) -> Program[Any]:
        _ = yield from LoadToken(SLOT)
        query = (("token", Secret(secret)),)
        return (yield from Send(Request("POST", "http://127.0.0.1/oauth/revoke", query=query)))

    session = recorded(telling("Zk3qT7w9xVbR2mN8pL4sD6fG"))
    name = session.programs[0]
    position = at_line(session, 2, {name: lambda: telling("Qp8wE5rT1yU7iO3aS9dF")})
    assert "Qp8w" not in str(position)
    assert position.programs[name].waits_for.startswith("send POST /oauth/revoke?token=«")


def test_what_cannot_be_travelled_to_is_told(day: Session) -> None:
    with pytest.raises(SessionError, match=r"has no line 0; its answers stand in lines 2 to \d+"):
        _ = at_line(day, 0)
    with pytest.raises(SessionError, match="has no line 999"):
        _ = at_line(day, 999)
    with pytest.raises(SessionError, match=r"waiting\(seconds=7150.0\) is none of kickcore's own programs; say how it"):
        _ = at_line(day, 5)


def test_a_program_that_has_changed_is_told(day: Session) -> None:
    with pytest.raises(ReplayDivergence, match="asked the same as the recording has, with another value"):
        _ = at_line(day, day.numbers[-1], {**OWN, "fetch_user(user_id=676)": logout})


def test_concurrent_programs_stand_where_they_stood() -> None:
    simulated, recording = kick(), Recording(seed="s")
    recording.run_sync(appending("one", 2), simulated.answer, label="a")
    recording.run_sync(appending("two", 1), simulated.answer, label="b")
    session = recording.close()
    position = at_line(session, 3, {"a": lambda: appending("one", 2), "b": lambda: appending("two", 1)})
    assert position.programs["a"].waits_for == "save_token user"
    assert position.programs["b"].waits_for == "load_token user"
