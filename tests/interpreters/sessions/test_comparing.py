"""What two sessions differ in, and which differences count as none."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import SCOPES, a_day, asking, kick, recorded, waiting

from interpreters.sandbox import Simulated
from interpreters.sessions import Recording, Session, read
from interpreters.sessions.comparing import Change, Shape, changes, shape_changes
from kickcore.api.chat import send_chat_message
from kickcore.api.users import fetch_user
from kickcore.effects import Program
from kickcore.errors import SessionError
from kickcore.http import Response
from kickcore.oauth.login import authenticate


def octets(*programs: Program[Any], on: Simulated | None = None, **labels: Program[Any]) -> bytes:
    simulated, recording = on or kick(), Recording(seed="s")
    for label, program in [*((None, program) for program in programs), *labels.items()]:
        try:
            recording.run_sync(program, simulated.answer, label=label)
        except Exception:  # noqa: BLE001 - it belongs to the session
            continue
    recording.close()
    return recording.text()


def edited(session: bytes, edit: Callable[[list[dict[str, Any]]], object]) -> Session:
    """A session whose lines were changed by hand, with its count of lines put right."""
    rows = [json.loads(row) for row in session.splitlines()]
    edit(rows)
    rows[-1]["lines"] = sum("end" not in row and not row.get("ask") for row in rows[1:])
    return read(b"".join(json.dumps(row).encode() + b"\n" for row in rows), "edited")


def last_send(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return [row for row in rows if row.get("k") == "send" and "r" in row][-1]


def test_a_session_does_not_differ_from_itself() -> None:
    session = recorded(*a_day())
    assert changes(session, session) == ()
    assert shape_changes(session, session) == ()


def test_times_seeds_and_the_order_between_programs_are_left_aside() -> None:
    one, other = kick(), kick()
    other.time += 86400
    early = recorded(*a_day(), on=one)
    late = recorded(*a_day(), on=other, seed="another")
    assert early.header.t0 != late.header.t0
    assert changes(early, late) == ()
    # The rows of the two programs trade places; each keeps its own order.
    session = octets(waiting(1.0), first=asking("/public/v1/users"), second=asking("/public/v1/channels"))
    turned = edited(session, lambda rows: rows.__setitem__(slice(2, 4), rows[2:4][::-1]))
    assert turned.programs != read(session).programs
    assert changes(read(session), turned) == ()


def test_the_numbers_of_aliases_do_not_matter_and_their_places_do() -> None:
    session = octets(*a_day())
    renamed = session.replace("«at:1»".encode(), "«at:9»".encode()).replace("«rt:1»".encode(), "«rt:5»".encode())
    assert changes(read(session), read(renamed)) == ()

    def use_the_old_one(rows: list[dict[str, Any]]) -> None:
        last_send(rows)["q"]["bearer"] = "«at:2»"

    (change,) = changes(read(session), edited(session, use_the_old_one))
    assert (change.what, change.pointer, change.first, change.second) == ("asked", "/bearer", '"«at:3»"', '"«at:2»"')
    assert str(change).startswith("fetch_user() #1 asked /bearer: ")


def test_a_place_with_another_alias_does_not_make_all_others_differ() -> None:
    session = octets(*a_day())
    renamed = session.replace("«at:1»".encode(), "«at:9»".encode())

    def use_the_wrong_one(rows: list[dict[str, Any]], alias: str) -> None:
        last_send(rows)["q"]["bearer"] = alias

    (change,) = changes(read(session), edited(renamed, lambda rows: use_the_wrong_one(rows, "«at:9»")))
    assert (change.first, change.second) == ('"«at:3»"', '"«at:9»"')
    wrong = edited(session, lambda rows: use_the_wrong_one(rows, "«at:1»"))
    right = edited(renamed, lambda rows: use_the_wrong_one(rows, "«at:1»"))
    (change,) = changes(wrong, right)
    assert (change.first, change.second) == ('"«at:1»"', '"«at:1»" (another one)')


def test_an_alias_in_the_name_of_a_program_does_not_part_it_from_its_like() -> None:
    session = octets(one=asking("/public/v1/users"))
    ones = read(session.replace(b'"one"', '"say «at:1»"'.encode()))
    others = read(session.replace(b'"one"', '"say «at:4»"'.encode()))
    assert changes(ones, others) == ()
    assert [change.what for change in changes(ones, read(session))] == ["program", "program"]
    two = octets(one=asking("/public/v1/users"), two=asking("/public/v1/channels"))
    named = read(two.replace(b'"one"', '"say «at:1»"'.encode()).replace(b'"two"', '"say «at:2»"'.encode()))
    assert [change.program for change in changes(named, ones)] == ["say «at» (2)"]


def test_every_value_that_differs_is_told_with_its_place() -> None:
    session = octets(fetch_user(676))

    def edit(rows: list[dict[str, Any]]) -> None:
        row = last_send(rows)
        row["q"]["query"][0][1] = "677"
        row["r"]["json"]["data"][0] |= {"name": "\x1b[31mred", "is/new": True}
        del row["r"]["json"]["message"]

    told = changes(read(session), edited(session, edit))
    assert [(change.what, change.pointer, change.first, change.second) for change in told] == [
        ("asked", "/query/0/1", '"676"', '"677"'),
        ("answered", "/json/data/0/name", '"xQc"', '"\\u001b[31mred"'),
        ("answered", "/json/data/0/is~1new", "nothing", "true"),
        ("answered", "/json/message", '"OK"', "nothing"),
    ]
    assert {change.lines for change in told} == {(11, 11)}
    assert all(str(change).isprintable() for change in told)


@pytest.mark.parametrize(
    ("one", "other", "is_told"),
    [
        ("say «at:1»", "say «at:7»", False),
        ("say «at:1»", "tell «at:1»", True),
        ("say «at:1»", "say «rt:1»", True),
        ("say «at:1»", "say «at:1» «at:1»", True),
        ("«at:1» «at:1»", "«at:1» «at:2»", True),
        ("«at:1» «at:2»", "«at:1» «at:1»", True),
        ("say ««", "say ««", False),
        ("say ««", "say nothing", True),
    ],
)
def test_texts_with_aliases(one: str, other: str, is_told: bool) -> None:
    # There is no other place that an alias is known from.
    session = octets(one=asking("/public/v1/users"))

    def edit(rows: list[dict[str, Any]], value: str) -> None:
        last_send(rows)["r"]["json"]["message"] = value

    told = changes(edited(session, lambda rows: edit(rows, one)), edited(session, lambda rows: edit(rows, other)))
    assert bool(told) is is_told


def test_a_number_and_a_truth_are_not_the_same() -> None:
    session = octets(fetch_user(676))

    def edit(rows: list[dict[str, Any]], value: object) -> None:
        last_send(rows)["r"]["json"]["message"] = value

    one, true = edited(session, lambda rows: edit(rows, 1)), edited(session, lambda rows: edit(rows, True))
    assert [(change.first, change.second) for change in changes(one, true)] == [("1", "true")]


def test_programs_lines_kinds_and_outcomes() -> None:
    whole = octets(fetch_user(676), waiting(1.0))
    short = octets(fetch_user(676))
    assert changes(read(whole), read(short)) == (
        Change("program", "waiting(seconds=1.0)", first="1 line", second="nothing"),
    )
    assert changes(read(short), read(whole)) == (
        Change("program", "waiting(seconds=1.0)", first="nothing", second="1 line"),
    )

    def raise_there(rows: list[dict[str, Any]]) -> None:
        row = last_send(rows)
        row["x"] = {"type": "OSError", "text": "gone"}
        del row["r"]
        rows[-1]["ended"] = {"fetch_user(user_id=676)": "OSError"}

    told = changes(read(short), edited(short, raise_there))
    assert [(change.what, change.first, change.second) for change in told] == [
        ("outcome", "answered", "raised"),
        ("ended", "gave a value", "raised OSError"),
    ]

    def cancel_there(rows: list[dict[str, Any]]) -> None:
        at = rows.index(last_send(rows))
        rows[at] = {"p": rows[at]["p"], "i": rows[at]["i"], "cancel": 1, "t": 0}

    (change,) = changes(read(short), edited(short, cancel_there))
    assert (change.what, change.second) == ("kind", "cancelled")
    longer = edited(short, lambda rows: rows.insert(-1, {**last_send(rows), "i": 8}))
    (change,) = changes(read(short), longer)
    assert (change.what, change.index, change.first, change.lines) == ("kind", 8, "nothing", (0, 12))
    assert "(line -/12)" in str(change)


def test_accounts_apps_exceptions_and_what_was_never_answered() -> None:
    session = octets(fetch_user(676))
    other = session.replace(b'"client_id":"sandbox-app","client_secret"', b'"client_id":"other","client_secret"')
    assert [(change.what, change.pointer) for change in changes(read(session), read(other))] == [("app", "/client_id")]
    alice = edited(session, lambda rows: rows[1].__setitem__("a", "alice"))
    assert [(change.what, change.first, change.second) for change in changes(read(session), alice)] == [
        ("account", "nobody", "alice")
    ]
    rows = session.split(b"\n")
    ask = next(number for number, row in enumerate(rows) if b'"ask"' in row)
    part = read(b"\n".join(rows[: ask + 1]) + b"\n", partial=True)
    told = changes(read(b"\n".join(rows[: ask + 2]) + b"\n", partial=True), part)
    assert [(change.what, change.first, change.second) for change in told] == [
        ("outcome", "answered", "never answered")
    ]

    def fail(rows: list[dict[str, Any]], text: str) -> None:
        row = last_send(rows)
        row["x"] = {"type": "OSError", "text": text}
        del row["r"]

    ones, others = (edited(session, lambda rows, text=text: fail(rows, text)) for text in ("a", "b"))
    (change,) = changes(ones, others)
    assert (change.what, change.pointer) == ("raised", "/text")


def test_what_is_no_json_is_told() -> None:
    session = octets(fetch_user(676))
    broken = read(session.replace(b'"message":"OK"', b'"message":"\xff"'), "broken.jsonl")
    with pytest.raises(SessionError, match=r"broken\.jsonl and the session cannot be compared"):
        changes(broken, read(session, "the session"))
    with pytest.raises(SessionError, match="cannot be compared"):
        shape_changes(read(session), broken)


# Shapes


def answering(*values: object, status: int = 200) -> Session:
    """A session in which a program asks for one address as often as there are values, and gets them."""
    simulated = kick()
    bodies = iter(values)

    def answer(request: object) -> Response:
        value = next(bodies)
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return Response(status, (("content-type", "application/json"),), body)

    simulated.sandbox.before = answer

    def program() -> Program[None]:
        for _ in values:
            yield from asking("/public/v1/things")

    recording = Recording(seed="s")
    recording.run_sync(program(), simulated.answer, label="things")
    return recording.close()


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        ({"email": "a"}, {"email": None}, ["/email: was string, is null"]),
        ({"email": None}, {"email": "a"}, []),
        ({"email": None}, {"email": None}, []),
        ({"a": 1}, {"a": 1.5}, []),
        ({"a": 1}, {"a": True}, ["/a: was number, is boolean"]),
        ({"a": "1"}, {"a": ["1"]}, ["/a: was string, is list"]),
        ({"a": 1, "b": 2}, {"a": 1}, ["/b: was number, is missing"]),
        ({"a": 1}, {"a": 1, "b": {}}, ["/b: is new, object"]),
        ({"data": [{"a": 1}]}, {"data": []}, []),
        ({"data": []}, {"data": [{"a": 1}]}, []),
        ({"data": [{"a": 1}]}, {"data": [{"a": 1}, {"a": "x"}]}, ["/data/1/a: was number, is string"]),
        ({"data": [{"a": 1}, {"a": "x"}]}, {"data": [{"a": "y"}]}, []),
        ({"data": [{"a": 1}, {"a": None}]}, {"data": [{"a": None}]}, []),
        ({"data": [{"a": 1}, {}]}, {"data": [{}]}, []),
        ({"data": [{}, {"a": 1}]}, {"data": [{}]}, []),
        ({"data": [{"a": 1}]}, {"data": [{"a": 1}, {}]}, ["/data/1/a: was number, is missing"]),
        ({"data": [{"a": 1}]}, {"data": [{}, {"a": 1}]}, ["/data/0/a: was number, is missing"]),
        ({"data": [1]}, {"data": [2, "x"]}, ["/data/1: was number, is string"]),
        ({}, [], ["/: was object, is list"]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": "x"}}}, ["/a/b/c: was number, is string"]),
    ],
)
def test_shapes(then: object, now: object, told: list[str]) -> None:
    assert list(shape_changes(answering(then), answering(now))) == [f"things #0 {text}" for text in told]


def test_values_do_not_matter_and_a_session_of_another_day_has_the_same_shape() -> None:
    other = kick()
    other.time += 86400
    programs = [fetch_user(676), authenticate(SCOPES), send_chat_message("Hello!", broadcaster_user_id=676)]
    again = [fetch_user(676), authenticate(SCOPES), send_chat_message("Hello!", broadcaster_user_id=676)]
    assert shape_changes(recorded(*programs), recorded(*again, on=other)) == ()


def test_a_status_a_body_and_silence() -> None:
    fine = answering({"a": 1})
    assert shape_changes(fine, answering({"a": 1}, status=404)) == ("things #0 status: was 200, is 404",)
    assert shape_changes(fine, answering(b"<html>")) == ("things #0 body: was JSON, is text",)
    assert shape_changes(fine, answering(b"")) == ("things #0 body: was JSON, is empty",)
    assert shape_changes(answering(b"\x80"), fine) == ("things #0 body: was octets, is JSON",)

    def lose(rows: list[dict[str, Any]]) -> None:
        rows[1]["r"] = {"reason": "gone", "sent": "no"}

    recorded_one = octets(things=asking("/public/v1/things"))
    silent = edited(recorded_one, lose)
    assert shape_changes(read(recorded_one), silent) == ("things #0 status: was 401, is no answer",)
    assert shape_changes(silent, read(recorded_one)) == ()


def test_of_several_answers_to_one_ask_the_last_ones_are_compared() -> None:
    assert shape_changes(answering({"a": 1}), answering({"error": 1}, {"a": 1})) == ()
    assert shape_changes(answering({"error": 1}, {"a": 1}), answering({"a": 1})) == ()
    assert shape_changes(answering([1], {"a": 1}), answering([1], {"a": "x"})) == (
        "things #1 /a: was number, is string",
    )


def test_what_is_not_asked_any_more_is_told_and_token_endpoints_are_left_aside() -> None:
    session = recorded(fetch_user(676))
    assert shape_changes(session, recorded(fetch_user(123))) == (
        "fetch_user(user_id=676) #7: GET /public/v1/users was answered, is not asked for",
    )
    # The second one holds an app token already.
    simulated = kick()
    recorded(fetch_user(1), on=simulated)
    assert shape_changes(session, recorded(fetch_user(676), on=simulated)) == ()
    assert shape_changes(recorded(fetch_user(676), on=simulated), session) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_every_value_has_its_own_shape(value: object) -> None:
    one, other = Shape(), Shape()
    one.add(value, "")
    other.add(value, "")
    assert not list(one.changes(other))


@given(st.lists(JSON, min_size=1, max_size=5), st.data())
def test_what_was_among_the_items_is_no_news(items: list[object], data: st.DataObject) -> None:
    some = data.draw(st.lists(st.sampled_from(items), min_size=1))
    whole, part = Shape(), Shape()
    whole.add(items, "")
    part.add(some, "")
    assert not list(whole.changes(part))
