"""Sessions as texts for people."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import a_day, asking, kick, recorded, waiting

from interpreters.sessions import Recording, load, read
from interpreters.sessions.coding import KINDS
from interpreters.sessions.lines import Line, Session
from interpreters.sessions.showing import MOST_COLUMNS, counted, duration, fitted, outcome, shown
from kickcore.api.users import fetch_user
from kickcore.effects import Leaf, Now, Send
from kickcore.http import Sent, Unreachable

KEPT = Path(__file__).parents[2] / "sessions" / "format-1-trio.jsonl"


def test_a_session_tells_what_it_is_and_how_its_programs_ended() -> None:
    rows = shown(recorded(fetch_user(676), fetch_user(7), waiting(2.5)), 120).splitlines()
    assert rows[:7] == [
        "the recording: format 1, kickcore 0.1.0, 2026-09-22 14:13:20 UTC, lasted 2.5 s",
        "app sandbox-app at http://127.0.0.1",
        "11 answers: 4 load_token, 3 send, 1 exclusive, 1 hold, 1 save_token, 1 sleep",
        "secrets replaced: 1 × access token, 1 × client secret",
        "  [1] fetch_user(user_id=676): ended well, 8 answers in 0 µs",
        "  [2] fetch_user(user_id=7): raised NotFound, 2 answers in 0 µs",
        "  [3] waiting(seconds=2.5): ended well, 1 answer in 2.5 s",
    ]


def test_a_line_tells_when_it_was_how_long_it_took_what_was_asked_and_what_came_of_it() -> None:
    session = recorded(asking("/a"), waiting(2.5), asking("/public/v1/users"))
    rows = shown(session, 40).splitlines()
    assert rows[-2] == "     3     2.500000      2.5 s  [2] waiting: sleep 2.5 s -> done"
    assert rows[-1].startswith("     4     2.500000             [3] asking: send GET /public/v1/users -> 401")
    assert len(rows[-1]) == 80


def test_up_to_four_programs_get_a_column_each_if_there_is_room() -> None:
    session = recorded(waiting(1.0), fetch_user(676))
    rows = shown(session, 140).splitlines()
    head, first, second = rows[-10], rows[-9], rows[-8]
    at = head.index("[2] fetch_user(user_id=676)")
    assert head.index("[1] waiting(seconds=1.0)") == first.index("sleep 1 s -> done") == 32
    assert second.index("load_token app -> nothing") == at == 32 + (140 - 32) // 2
    assert max(map(len, rows)) <= 140
    assert "[2] fetch_user: load_token" in shown(session, 100), "there is no room"
    many = recorded(*(waiting(float(number)) for number in range(MOST_COLUMNS + 1)))
    assert "[5] waiting: sleep 4 s -> done" in shown(many, 500)


def test_one_program_needs_no_column_and_no_number() -> None:
    rows = shown(recorded(waiting(1.0)), 80).splitlines()
    assert rows[-2].endswith("what was asked -> what came of it")
    assert rows[-1].endswith("  sleep 1 s -> done")


@pytest.mark.parametrize("width", [1, 80, 100, 160, 500])
def test_no_line_is_longer_than_the_terminal_is_wide(width: int) -> None:
    for session in (load(KEPT), recorded(fetch_user(676))):
        assert max(map(len, shown(session, width).splitlines())) <= max(width, 80)


def test_every_answer_has_a_line_with_its_number() -> None:
    session = load(KEPT)
    rows = shown(session).splitlines()
    numbers = [int(row.split()[0]) for row in rows if row[:6].strip().isdigit()]
    assert numbers == list(session.numbers)


def outcomes(*programs: Any, **options: Any) -> list[str]:
    return [outcome(line) for line in recorded(*programs, **options).lines]


def test_outcomes_in_short() -> None:
    told = outcomes(*a_day())
    assert told[:6] == ["nothing", "its turn", "nothing", "alone", "nothing", told[5]]
    assert told[5].startswith('200 {"access_token":"«at:1»"')
    assert told[6] == "saved"
    assert "granted" in told
    assert any(text.startswith("«at:2», until 17") for text in told)


def test_what_went_wrong_in_short() -> None:
    simulated = kick()
    simulated.sandbox.before = lambda _: Unreachable("the connection broke", Sent.MAYBE)
    assert outcomes(asking("/x"), on=simulated) == ["no answer (the connection broke; sent: maybe)"]

    def answer(effect: Leaf) -> object:
        if isinstance(effect, Send):
            raise OSError("the disk is gone")
        return 0.0 if isinstance(effect, Now) else kick().answer(effect)

    recording = Recording()
    with pytest.raises(OSError, match="disk"):
        recording.run_sync(asking("/x"), answer)
    assert [outcome(line) for line in recording.close().lines] == ["raised OSError: the disk is gone"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (Line("p", k="", cancel=1), "cancelled"),
        (Line("p", k="stalled"), "given up"),
        (Line("p", k="pay_retry", r=msgspec.Raw(b"true")), "paid"),
        (Line("p", k="pay_retry", r=msgspec.Raw(b"false")), "not enough"),
        (Line("p", k="renew_ahead", r=msgspec.Raw(b"false")), "somebody is at it"),
        (Line("p", k="hold", r=msgspec.Raw(b"false")), "not alone for sure"),
        (Line("p", k="save_token", r=msgspec.Raw(b'{"type":"not_saved","reason":"full"}')), "not_saved"),
        (Line("p", k="load_pace", r=msgspec.Raw(b'{"until":5.0}')), '{"until":5.0}'),
        (Line("p", k="load_token", r=msgspec.Raw(b"[1]")), "nothing"),
        (Line("p", k="send", r=msgspec.Raw(b'{"status":"x"}')), "unreadable"),
        (Line("p", k="send", r=msgspec.Raw(b'{"status":200,"text":"\xff"}')), "unreadable"),
        (Line("p", k="send", r=msgspec.Raw(b'{"status":204}')), "204"),
        (Line("p", k="send", r=msgspec.Raw(b'{"status":200,"octets":"abc"}')), "200 3 octets"),
        (
            Line("p", k="send", r=msgspec.Raw(b'{"status":429,"headers":[["retry-after","7"]],"text":"slow"}')),
            "429 retry after 7 slow",
        ),
        (Line("p", k="sleep", x=msgspec.Raw(b'{"type":"Gone"}')), "raised Gone"),
        (Line("p", k="sleep", x=msgspec.Raw(b"7")), "unreadable"),
    ],
)
def test_outcome(line: Line, told: str) -> None:
    assert outcome(line) == told


def test_a_recording_that_was_cut_off_says_so() -> None:
    simulated, recording = kick(), Recording(seed="s")
    recording.run_sync(fetch_user(676), simulated.answer)
    recording.close()
    rows = recording.text().split(b"\n")
    ask = next(number for number, row in enumerate(rows) if b'"ask"' in row)
    text = shown(read(b"\n".join(rows[: ask + 1]) + b"\n", "a.jsonl.part", partial=True), 120)
    assert "; it was not closed\n" in text
    assert "lost: the recording ends in the middle" in text
    assert text.endswith("send POST /oauth/token -> never answered")
    text = shown(read(b"\n".join(rows[:4]) + b"\n", partial=True), 120)
    assert "nobody knows how it ended, 3 answers" in text


def test_other_ends() -> None:
    simulated, recording = kick(), Recording(seed="s")
    recording.run_sync(waiting(1.0), simulated.answer)
    recording.opened("another")
    recording.close()
    session = recording.text()
    name = "waiting(seconds=1.0)"
    still = read(session.replace(b'"open":["another"]', f'"open":["{name}"]'.encode()))
    assert f"[1] {name}: had not ended, 1 answer" in shown(still)
    row = f'{{"p":"{name}","i":1,"cancel":1,"t":5}}\n{{"end"'.encode()
    cancelled = read(session.replace(b'{"end"', row).replace(b'"lines":1', b'"lines":2'))
    assert "cancelled, 2 answers" in shown(cancelled)
    assert shown(cancelled).splitlines()[-1].endswith("cancelled")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30))
def test_nothing_in_a_file_reaches_the_terminal_but_what_can_be_printed(text: str) -> None:
    written = msgspec.json.encode(text)
    row = b'{"p":%b,"i":0,"k":"send","q":{"method":%b,"url":%b},"r":{"status":200,"text":%b},"t":0,"a":%b}\n'
    head = b'{"kcs":1,"lib":%b,"kinds":{"send":1},"app":{"client_id":%b,"client_secret":"x"},"sizes":{%b:1}}\n'
    end = b'{"end":1,"lines":1,"ended":{%b:%b}}\n'
    octets = head % ((written,) * 3) + row % ((written,) * 5) + end % ((written,) * 2)
    whole = shown(read(octets, f"name {text}"), 200)
    assert all(letter.isprintable() or letter == "\n" for letter in whole)


def test_times_that_no_clock_has() -> None:
    line = Line("p", 0, "sleep", msgspec.Raw(b"{}"), msgspec.Raw(b"null"), t=10**400, d=-(10**400))
    session = recorded(waiting(1.0))
    assert shown(Session(session.header, (line,), (2,)))


def test_units() -> None:
    told = [duration(micros) for micros in (0, 999, 1_000, 999_900, 1_000_000, 599_000_000, 600_000_000, -5)]
    assert told == ["0 µs", "999 µs", "1.0 ms", "999.9 ms", "1.0 s", "599.0 s", "10 min", "-5 µs"]
    assert (counted(1, "call"), counted(2, "call")) == ("1 call", "2 calls")
    assert (fitted("abcdef", 4), fitted("abcd", 4), fitted("ab", 0)) == ("abc…", "abcd", "…")


def test_every_kind_has_an_outcome() -> None:
    assert all(isinstance(outcome(Line("p", k=kind, r=msgspec.Raw(b"null"))), str) for kind in KINDS)
