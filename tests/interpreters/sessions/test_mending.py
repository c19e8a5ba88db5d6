"""A session file that was edited by hand, that holds a secret, or that is of another day."""

import json
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from recorded import a_day, kick

from interpreters.sessions import Recording, read, replayed
from interpreters.sessions.mending import Row, Suspect, fixed, scrubbed, secrets_in, upgraded
from kickcore.api.chat import send_chat_message
from kickcore.api.users import fetch_user
from kickcore.errors import SessionError
from kickcore.secret import Secret


def recorded(*programs: Any) -> bytes:
    simulated, recording = kick(), Recording(seed="s")
    for program in programs:
        _ = recording.run_sync(program, simulated.answer)
    _ = recording.close()
    return recording.text()


USERS = recorded(fetch_user(676), fetch_user(123), fetch_user(676))
DAY = recorded(*a_day())
AT = "Qm7xT2vLr9Kc4Wd8Zp1Hs6Bn3Yf5Gj0A"
"""What looks like an access token, and was never one."""


def rows(octets: bytes) -> list[Any]:
    return [json.loads(row) for row in octets.splitlines()]


def written(lines: list[Any]) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines).encode()


def places(octets: bytes, where: Callable[[Any], bool]) -> list[int]:
    return [number for number, line in enumerate(rows(octets)) if where(line)]


# Counted anew


@pytest.mark.parametrize("octets", [USERS, DAY], ids=["users", "a day"])
def test_what_is_right_stays_as_it_is_to_the_octet(octets: bytes) -> None:
    assert fixed(octets) == octets
    assert scrubbed(octets) == octets
    assert upgraded(octets) == octets
    assert not secrets_in(octets)


def test_a_program_that_was_deleted_is_counted_no_more() -> None:
    name = "fetch_user(user_id=123)"
    lines = [line for line in rows(USERS) if line.get("p") != name]
    with pytest.raises(SessionError, match="run: kickcore session fix"):
        _ = read(written(lines))
    session = read(fixed(written(lines)))
    assert session.programs == ("fetch_user(user_id=676)", "fetch_user(user_id=676)#2")
    assert list(replayed(session)) == list(session.programs)


def test_a_line_that_was_deleted_inserted_or_moved_is_counted_anew() -> None:
    lines = rows(DAY)
    (slept,) = places(DAY, lambda line: line.get("k") == "sleep")
    lines.insert(slept, {**lines[slept], "t": 5})
    inserted = read(fixed(written(lines)))
    of_the_program = [line for line in inserted.lines if line.p == lines[slept]["p"]]
    assert [line.i for line in of_the_program] == [0, 1]
    assert inserted.footer is not None
    assert inserted.footer.lines == len(read(DAY).lines) + 1
    del lines[slept]
    assert fixed(written(lines)) == fixed(DAY)


def test_what_stands_on_the_first_line_moves_to_the_line_that_is_first_now() -> None:
    lines = rows(USERS)
    first, second = places(USERS, lambda line: line.get("p") == "fetch_user(user_id=123)")[:2]
    lines[first], lines[second] = lines[second], lines[first]
    assert lines[second]["run"] == {"user_id": 123}
    session = read(fixed(written(lines)))
    runs = [json.loads(bytes(line.run)) for line in session.lines if bytes(line.run)]
    assert runs == [{"user_id": 676}, {"user_id": 123}, {"user_id": 676}]
    assert all(line.i == 0 for line in session.lines if bytes(line.run))


def test_what_was_about_to_be_done_goes_with_its_answer() -> None:
    lines = rows(USERS)
    asks = places(USERS, lambda line: line.get("ask") == 1)
    answer = asks[0] + 1
    assert "q" not in lines[answer]
    without_answer = [line for number, line in enumerate(lines) if number != answer]
    assert [line.k for line in read(fixed(written(without_answer))).lines].count("save_token") == 1
    assert len(rows(fixed(written(without_answer)))) == len(lines) - 2
    without_ask = [line for number, line in enumerate(lines) if number != asks[0]]
    with pytest.raises(SessionError, match=f"line {asks[0] + 1} does not say what was asked.*nothing was changed"):
        _ = fixed(written(without_ask))


def test_an_ask_at_the_end_of_what_was_cut_stays_lost() -> None:
    ask = places(USERS, lambda line: line.get("ask") == 1)[0]
    cut = written(rows(USERS)[: ask + 1])
    mended = read(fixed(cut), partial=True)
    assert [line.k for line in mended.lost] == ["send"]
    assert mended.footer is None


def test_kinds_and_the_end_are_told_anew_and_a_line_without_a_time_gets_one() -> None:
    lines = rows(USERS)
    added = {"p": "mine", "i": 77, "k": "sleep", "q": {"seconds": 1.0}, "r": None}
    end = lines.pop()
    mended = rows(fixed(written([*lines, end, added, {"p": "mine", "k": "sleep", "q": {"seconds": 2.0}, "r": None}])))
    assert mended[0]["kinds"] == {**rows(USERS)[0]["kinds"], "sleep": 1}
    assert mended[-1] == {**end, "lines": end["lines"] + 2}
    assert [line["i"] for line in mended[-3:-1]] == [0, 1]
    assert {line["t"] for line in mended[-3:-1]} == {lines[-1]["t"]}


def test_who_is_gone_is_not_told_of_at_the_end() -> None:
    lines = rows(USERS)
    lines[-1] |= {"open": ["gone", lines[1]["p"]], "ended": {"gone too": "NotFound"}}
    mended = rows(fixed(written(lines)))[-1]
    assert (mended["open"], mended["ended"]) == ([lines[1]["p"]], {})


def test_unknown_members_and_the_octets_of_bodies_stay() -> None:
    body = b'{"data": [ 1.50, 12345678901234567890123 ], "a\\/b": "\\u00e9"}'
    line = b'{"p":"x","i":9,"k":"send","q":{"method":"GET","url":"https://a/"},"r":{"status":200,"json":' + body
    header = USERS.splitlines()[0]
    octets = header + b"\n\n" + line + b'},"t":1,"d":0,"later":{"z": 1}}\r\n{"end":1,"lines":4,"new":[ 2 ]}\n'
    for changed in (fixed(octets), scrubbed(octets, secret_texts=["not in it at all"])):
        assert body in changed
        assert b'"later":{"z": 1}' in changed
        assert b'"new":[ 2 ]' in changed


@pytest.mark.parametrize("mend", [fixed, scrubbed, secrets_in, upgraded])
@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"", "not the header"),
        (b'{"p":"x"}\n', "not the header"),
        (b'{"kcs":"1"}\n', "not the header"),
        (b'{"kcs":1}\nnonsense hush\n', "line 2 is no JSON object"),
        (b'{"kcs":1}\n[]\n', "line 2 is no JSON object"),
        (b'{"kcs":1}\n{"p":"\xff"}\n', "line 2 is no JSON object"),
        (b'{"kcs":1}\n{"q":{"a":nope}}\n', "line 2 is no JSON object"),
        (b'{"kcs":1}\n' + b"[" * 100_000 + b"\n", "line 2 is no JSON object"),
    ],
)
def test_what_is_no_session_is_refused(mend: Callable[[bytes], object], octets: bytes, says: str) -> None:
    with pytest.raises(SessionError, match=says) as caught:
        _ = mend(octets)
    assert "hush" not in str(caught.value)


def test_a_line_of_no_program_is_refused() -> None:
    with pytest.raises(SessionError, match="line 2 does not say of which program"):
        _ = fixed(b'{"kcs":1}\n{"p":7}\n')


def test_lines_in_any_order_are_mended_or_refused_in_one_sentence() -> None:
    chance, refused = random.Random(7), 0
    for _ in range(60):
        lines = rows(DAY)
        middle = lines[1:-1]
        for _ in range(3):
            match chance.randrange(3):
                case 0:
                    del middle[chance.randrange(len(middle))]
                case 1:
                    middle.insert(chance.randrange(len(middle)), chance.choice(middle))
                case _:
                    middle.insert(chance.randrange(len(middle)), middle.pop(chance.randrange(len(middle))))
        octets = written([lines[0], *middle, lines[-1]])
        try:
            mended = fixed(octets)
        except SessionError:
            refused += 1
            with pytest.raises(SessionError, match="does not say what was asked"):
                _ = fixed(octets)
        else:
            assert read(mended).is_whole
            assert fixed(mended) == mended
    assert 0 < refused < 60


def test_members_of_whatever_type_end_in_one_sentence_or_in_a_session() -> None:
    chance = random.Random(3)
    values: list[Any] = [None, True, 0, -1, 1.5, "", "x", [], [[]], {}, {"a": {}}, [{}, "b"], 10**30, "«at:99999999»"]
    for _ in range(150):
        lines = rows(USERS)
        for _ in range(3):
            line = chance.choice(lines)
            line[chance.choice([*line, "run", "ask", "cancel", "x", "ended", "open", "sizes"])] = chance.choice(values)
        for mend in (fixed, scrubbed, secrets_in, upgraded):
            with suppress(SessionError):
                _ = mend(written(lines))


# Freed of secrets


def leaking() -> bytes:
    """A session in which an access token stands as it is, and a text that looks like chance."""
    octets = DAY.replace("«at:2»".encode(), AT.encode())
    return octets.replace(b'"Still here"', b'"my key is Xq8Rz2Lm5Vt9Wk3Pn7Jc4Hd6Fb1Gs0Ye, ok"')


def test_a_secret_is_replaced_wherever_it_stands_by_an_alias_of_its_own() -> None:
    clean = scrubbed(leaking())
    assert AT.encode() not in clean
    session = read(clean)
    assert session.header.sizes["at:4"] == len(AT)
    assert session.header.sizes["at:1"] == read(DAY).header.sizes["at:1"]
    assert not secrets_in(clean)
    assert scrubbed(clean) == clean
    # It is the same session, but for the name of a secret.
    assert clean.decode().replace("«at:4»", "«at:2»").count("«at:2»") == DAY.decode().count("«at:2»")


def test_what_looks_like_chance_is_replaced_and_the_rest_of_its_text_stays() -> None:
    clean = scrubbed(leaking())
    assert clean.decode().count("my key is «sec:1», ok") == leaking().decode().count("my key is")
    allowed = scrubbed(leaking(), allow=["content"])
    assert b"Xq8Rz2Lm5Vt9Wk3Pn7Jc4Hd6Fb1Gs0Ye" in allowed
    assert AT.encode() not in allowed


def test_what_was_scrubbed_replays() -> None:
    message = send_chat_message("my key is Xq8Rz2Lm5Vt9Wk3Pn7Jc4Hd6Fb1Gs0Ye, ok", broadcaster_user_id=676)
    simulated, recording = kick(), Recording(seed="s", allow=["content", "p"])
    _ = recording.run_sync(a_day()[1], simulated.answer)
    _ = recording.run_sync(message, simulated.answer)
    _ = recording.close()
    session = read(scrubbed(recording.text()))
    assert "«sec:1»" in session.programs[1] or "«sec:1»" in bytes(session.lines[-1].q).decode()
    assert len(replayed(session)) == 2


def test_texts_that_are_given_vanish_in_every_form() -> None:
    octets = DAY.replace(b'"Hello!"', b'"hunter/2 hunter%2F2 aHVudGVyLzI= hunter\\/2"')
    clean = scrubbed(octets, secret_texts=[Secret("hunter/2")])
    assert b"hunter" not in clean
    assert b"aHVudGVy" not in clean
    assert "«sec:1» «sec:1» «pack:1» «sec:1»" in clean.decode()


def test_secrets_in_forms_queries_runs_and_the_header_are_found_by_their_names() -> None:
    line: dict[str, Any] = {
        "p": "x",
        "i": 0,
        "k": "send",
        "q": {
            "method": "POST",
            "url": "https://id.kick.com/oauth/token",
            "query": [["token", "query-secret-1"]],
            "bearer": "bearer-secret-2",
            "form": [["client_secret", "form-secret-3"], ["code", "form-secret-4"], ["grant_type", "x"]],
        },
        "r": {"status": 200, "json": {"refresh_token": "body-secret-5"}},
        "run": {"token": "run-secret-6", "user_id": 7},
    }
    header = {"kcs": 1, "kinds": {"send": 1}, "app": {"client_id": "app", "client_secret": "header-secret-7"}}
    octets = written([header, line, {"end": 1, "lines": 1}])
    clean = scrubbed(octets)
    assert b"secret-" not in clean
    found = secrets_in(octets)
    assert [str(suspect) for suspect in found] == [
        "line 1 /app/client_secret: client secret",
        "line 2 /q/query/0/1: access token",
        "line 2 /q/bearer: access token",
        "line 2 /q/form/0/1: client secret",
        "line 2 /q/form/1/1: authorization code",
        "line 2 /r/json/refresh_token: refresh token",
        "line 2 /run/token: access token",
    ]


def test_the_check_names_places_and_shows_no_secret() -> None:
    octets = leaking()
    found = secrets_in(octets)
    assert found
    assert Suspect(found[0].line, found[0].pointer, "access token") == found[0]
    assert {suspect.what for suspect in found} == {"access token", "long, and as if by chance"}
    assert AT not in repr(found)
    lines = rows(octets)
    for suspect in found:
        value: Any = lines[suspect.line - 1]
        for member in suspect.pointer.split("/")[1:]:
            value = value[int(member)] if isinstance(value, list) else value[member]
        assert AT in value or "my key is" in value
    assert all(suspect.what == "access token" for suspect in secrets_in(octets, allow=["content"]))


# Lifted


def test_each_step_of_the_chain_is_taken_once_and_in_order() -> None:
    def second(row: Row) -> Row:
        return row | {"k": msgspec.Raw(b'"was_' + bytes(row["k"])[1:])} if "k" in row else row

    def third(row: Row) -> Row:
        return {("program" if name == "p" else name): value for name, value in row.items()}

    upgrades = {1: second, 2: third}
    lifted = rows(upgraded(USERS, upgrades=upgrades, to=3))
    before = rows(USERS)
    assert lifted[0] == {**before[0], "kcs": 3}
    assert lifted[1] == {
        "program": before[1]["p"],
        **{k: v for k, v in before[1].items() if k != "p"},
        "k": "was_load_token",
    }
    assert lifted[-1] == before[-1]
    assert upgraded(USERS, upgrades=upgrades, to=1) == USERS
    half = upgraded(USERS, upgrades=upgrades, to=2)
    assert rows(upgraded(half, upgrades=upgrades, to=3)) == lifted


def test_a_format_that_nothing_lifts_or_that_is_newer_is_refused() -> None:
    with pytest.raises(SessionError, match="nothing here lifts a session of format 1 to 2"):
        _ = upgraded(USERS, to=2)
    with pytest.raises(SessionError, match=r"of format 9.*use a newer kickcore"):
        _ = upgraded(USERS.replace(b'"kcs":1', b'"kcs":9'))
    with pytest.raises(SessionError, match=r"of format 0.*no kickcore wrote that"):
        _ = upgraded(USERS.replace(b'"kcs":1', b'"kcs":0'))
