"""A session file that is damaged or hostile is refused in one sentence, whatever it holds."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from interpreters.driver import run_sync
from interpreters.sandbox import Simulated
from interpreters.sessions import Player, Recording, ReplayDivergence, Session, load, read
from interpreters.sessions.lines import LARGEST, LONGEST_LINE
from kickcore.api.users import fetch_user
from kickcore.errors import KickError, SessionError


def recorded() -> bytes:
    kick, recording = Simulated(), Recording(seed="s")
    _ = recording.run_sync(fetch_user(676), kick.answer)
    _ = recording.close()
    return recording.text()


WHOLE = recorded()
ROWS = WHOLE.decode().splitlines()


def changed(number: int, **members: Any) -> bytes:
    """The session with other members in one line; None takes a member out."""
    rows = list(ROWS)
    line = {**json.loads(rows[number]), **members}
    rows[number] = json.dumps({key: value for key, value in line.items() if members.get(key, "") is not None})
    return ("\n".join(rows) + "\n").encode()


def test_a_session_is_read_back_as_it_was_written() -> None:
    session = read(WHOLE, "s.jsonl")
    assert session.is_whole
    assert len(session.lines) == 8
    assert session.programs == ("fetch_user(user_id=676)",)
    assert session.numbers == (2, 3, 4, 5, 6, 8, 10, 11)
    assert session.header.micros == 1_790_086_400_000_000
    assert session.header.kinds == {"exclusive": 1, "hold": 1, "load_token": 1, "save_token": 1, "send": 1}


def test_a_session_cut_at_any_octet_is_refused_and_its_whole_lines_can_be_had() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(SessionError, match=r"^cut"):
            _ = read(WHOLE[:length], "cut")
        try:
            session = read(WHOLE[:length], "cut", partial=True)
        except SessionError:
            assert length <= len(ROWS[0]) + 1 or length >= len(WHOLE) - len(ROWS[-1])
        else:
            assert len(session.lines) <= 8


def test_what_is_cut_off_replays_up_to_there_and_says_so() -> None:
    for count in range(2, len(ROWS) - 1):
        session = read("".join(row + "\n" for row in ROWS[:count]).encode(), "cut", partial=True)
        with pytest.raises(ReplayDivergence) as caught:
            _ = Player(session).run_sync(fetch_user(676))
        assert caught.value.reason == "lost"


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"", "is empty"),
        (b"\n", "line 1 cannot be read: it is not the header"),
        (b"not json\n", "not the header"),
        (b"[]\n", "not the header"),
        (b'{"end":1}\n', "not the header"),
        (b'{"kcs":1}\n', "has no end"),
        (b'{"kcs":99,"lib":"9.9"}\n', "format 99, written by kickcore '9.9'.*use a newer kickcore"),
        (b'{"kcs":0}\n{"end":1}\n', "does not know: format 0"),
        (b'{"kcs":1,"kinds":{"teleport":1}}\n', "does not know: teleport 1"),
        (b'{"kcs":1,"kinds":{"send":2}}\n', "does not know: send 2"),
        (b'{"kcs":1,"t0":"yesterday"}\n', "t0 is no instant"),
        (b'{"kcs":1,"t0":"2026-01-01"}\n', "t0 is no instant"),
        (b'{"kcs":1}\n{"end":1}\nmore\n', "after the end"),
        (b"\xff\xfe\n", "not the header"),
        (b'{"kcs":1}\n{"p":"\xff"}\n{"end":1,"lines":1}\n', "line 2 cannot be read"),
        (b"[" * 100_000 + b"\n", "not the header"),
        (b'{"kcs":1}\n{"p":"x","q":' + b"[" * 200_000 + b'}\n{"end":1,"lines":1}\n', "line 2 cannot be read"),
        (b'{"kcs":1}\n{"p":"x","z":' + b"[" * 200_000 + b"]" * 200_000 + b'}\n{"end":1,"lines":1}\n', "line 2"),
    ],
)
def test_what_is_no_session_is_refused(octets: bytes, says: str) -> None:
    with pytest.raises(SessionError, match=says):
        _ = read(octets, "file")


@pytest.mark.parametrize(
    ("number", "members", "says"),
    [
        (1, {"p": 5}, "line 2 cannot be read: Expected `str`"),
        (1, {"t": "soon"}, "Expected `int`"),
        (1, {"k": "teleport"}, "nothing of the kind 'teleport'"),
        (1, {"k": "sleep"}, "nothing of the kind 'sleep'"),
        (1, {"r": None}, "not exactly one of an answer and an exception"),
        (1, {"x": {"type": "E"}}, "not exactly one"),
        (1, {"q": None}, "does not say what was asked"),
        (2, {"i": 7}, "number 7 of its program, after 0; run: kickcore session fix"),
        (-1, {"lines": 3}, "says that it has 3 lines and has 8"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(number: int, members: dict[str, Any], says: str) -> None:
    with pytest.raises(SessionError, match=says):
        _ = read(changed(number, **members), "file")


@pytest.mark.parametrize("member", ["p", "i", "k", "q", "r", "t", "d", "s", "run", "x", "a", "ask", "cancel"])
@pytest.mark.parametrize("value", [None, True, -1, 2**70, 1.5, "", "x", [], [[]], {}, {"type": 5}])
def test_whatever_a_member_holds_nothing_but_our_errors_comes_of_it(member: str, value: object) -> None:
    for number in (1, 4, 7, 9):
        row = json.dumps({**json.loads(ROWS[number]), member: value})
        octets = "\n".join([*ROWS[:number], row, *ROWS[number + 1 :], ""]).encode()
        with suppress(KickError, ReplayDivergence):
            _ = Player(read(octets)).run_sync(fetch_user(676))


def test_unknown_members_are_ignored() -> None:
    session = read(changed(1, colour="blue"))
    assert Player(session).run_sync(fetch_user(676)).name == run_sync(fetch_user(676), Simulated().answer).name


def test_a_file_is_read_only_if_it_is_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(SessionError, match=r"a\.jsonl cannot be read: No such file.*record it first"):
        _ = load(path)
    with pytest.raises(SessionError, match=r"regular file|Is a directory"):
        _ = load(tmp_path)
    os.mkfifo(path)
    with pytest.raises(SessionError, match="no regular file"):
        _ = load(path)
    path.unlink()
    path.write_bytes(WHOLE)
    assert isinstance(load(path), Session)


def test_a_file_of_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl"
    with path.open("wb") as file:
        file.truncate(1024**3)
    with pytest.raises(SessionError, match=f"more than {LARGEST} octets"):
        _ = load(path)


def test_a_line_that_is_too_long_is_refused() -> None:
    octets = WHOLE.replace(b'"q":{', b'"q":{"pad":"' + b"x" * LONGEST_LINE + b'",', 1)
    with pytest.raises(SessionError, match=f"line 2 cannot be read: it has more than {LONGEST_LINE} octets"):
        _ = read(octets, "long")
