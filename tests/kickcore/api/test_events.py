"""Event subscriptions."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from worlds import APP_SLOT, NOW, World, exchange, json_response, refusal, user_world

from kickcore import Secret
from kickcore.api.events import (
    EventMethod,
    EventName,
    EventSubscribed,
    EventSubscription,
    fetch_events_subscriptions,
    subscribe_to_event,
    subscribe_to_events,
    unsubscribe_from_event,
    unsubscribe_from_events,
)
from kickcore.effects import Program
from kickcore.errors import BadRequest, BadResponse, LoginRequired, MissingScopes, NetworkError, ServerError
from kickcore.http import Request, Response, Sent, Unreachable
from kickcore.oauth.tokens import Token

URL = "https://api.kick.com/public/v1/events/subscriptions"
FIRST, SECOND = "01JMJVAGE9JQS97VRB00000001", "01JMJVAGF7RET51N1G00000002"
APP_ID = "01JMEFN25GFC00000000000001"
THROTTLED = (
    "internal: operation error DynamoDB: PutItem, failed to get rate limit token, retry quota exceeded, "
    "0 available, 5 requested"
)
ROW: dict[str, Any] = {
    "id": FIRST,
    "event": "kicks.gifted",
    "broadcaster_user_id": 5,
    "app_id": APP_ID,
    "version": 1,
    "method": "webhook",
    "created_at": "2025-02-20T23:33:10Z",
    "updated_at": "2025-02-20T23:34:14Z",
}
RESULT: dict[str, Any] = {"name": "kicks.gifted", "version": 1, "subscription_id": FIRST, "error": "none"}


def as_user(program: Program[Any], answer: Any) -> tuple[Any, Request]:
    """As `exchange`, for a user who granted `events:subscribe`."""
    world = user_world()
    world.log_in(scope="events:subscribe")
    world.kick.api = lambda _: answer if isinstance(answer, Response) else json_response({"data": answer})
    value = world.run(program)
    (request,) = world.sent
    return value, request


def test_the_subscriptions_of_the_app(payload: Any) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-events-subscriptions.json"))
    found, request = exchange(fetch_events_subscriptions(), answer)
    first = datetime(2025, 2, 20, 23, 33, 10, tzinfo=UTC), datetime(2025, 2, 20, 23, 34, 14, tzinfo=UTC)
    # Of 9 digits, 6 are kept, rounded.
    second = datetime(2025, 9, 3, 10, 11, 12, 123456, tzinfo=UTC), datetime(2025, 9, 3, 10, 11, 12, 123457, tzinfo=UTC)
    assert found == [
        EventSubscription(FIRST, "chat.message.sent", 721956, APP_ID, 1, "webhook", *first),
        EventSubscription(SECOND, "channel.followed", 721956, APP_ID, 1, "webhook", *second),
    ]
    assert (request.method, request.url, request.query, request.body) == ("GET", URL, (), b"")
    assert request.bearer == Secret("APP0")


def test_no_subscriptions_are_an_empty_list(payload: Any) -> None:
    answer = Response(200, (), payload("responses/get-public-v1-events-subscriptions.empty.json"))
    assert exchange(fetch_events_subscriptions(), answer)[0] == []


def test_the_subscriptions_of_one_channel_hold_no_others() -> None:
    rows = [ROW, ROW | {"id": SECOND, "broadcaster_user_id": 6}]
    found, request = exchange(fetch_events_subscriptions(6), rows)
    assert [row.id for row in found] == [SECOND]
    assert request.query == (("broadcaster_user_id", "6"),)
    assert [row.id for row in exchange(fetch_events_subscriptions(), rows)[0]] == [FIRST, SECOND]


def test_a_broadcaster_is_subscribed_to_with_the_app_token(payload: Any) -> None:
    answer = Response(200, (), payload("responses/post-public-v1-events-subscriptions.json"))
    done, request = exchange(subscribe_to_events([EventName.CHAT_MESSAGE_SENT, "channel.followed"], 721956), answer)
    assert done == [EventSubscribed("chat.message.sent", 1, FIRST), EventSubscribed("channel.followed", 1, SECOND)]
    assert [row.ok for row in done] == [True, True]
    assert (request.method, request.url, request.query, request.form) == ("POST", URL, (), ())
    assert request.bearer == Secret("APP0")
    assert json.loads(request.body) == json.loads(payload("requests/post-public-v1-events-subscriptions.app.json"))


def test_without_a_broadcaster_it_is_the_users_own_channel(payload: Any) -> None:
    rows = [{"name": "chat.message.sent", "version": 1, "subscription_id": FIRST}]
    wanted = json.loads(payload("requests/post-public-v1-events-subscriptions.user.json"))
    for program in (subscribe_to_events(iter(["chat.message.sent"])), subscribe_to_event(EventName.CHAT_MESSAGE_SENT)):
        _, request = as_user(program, rows)
        assert request.bearer == Secret("AT0")
        assert json.loads(request.body) == wanted


def test_an_event_that_failed_is_told_and_not_raised() -> None:
    rows = [
        {"name": "chat.message.sent", "version": 1, "subscription_id": "", "error": THROTTLED},
        {"name": "kicks.gifted", "version": 1, "subscription_id": FIRST, "error": ""},
    ]
    done, _ = exchange(subscribe_to_events(["chat.message.sent", "kicks.gifted"], 5), rows)
    assert done == [
        EventSubscribed("chat.message.sent", 1, error=THROTTLED),
        EventSubscribed("kicks.gifted", 1, FIRST),
    ]
    assert [row.ok for row in done] == [False, True]
    one, _ = exchange(subscribe_to_event("chat.message.sent", 5), rows[:1])
    assert one == done[0]


@pytest.mark.parametrize(
    ("row", "ok"),
    [
        (EventSubscribed("a.b", subscription_id="x"), True),
        (EventSubscribed("a.b", subscription_id="x", error="but"), False),
        (EventSubscribed("a.b", error="no"), False),
        (EventSubscribed("a.b"), False),
    ],
    ids=repr,
)
def test_it_is_well_if_there_is_an_id_and_no_error(row: EventSubscribed, ok: bool) -> None:
    assert row.ok is ok


def test_one_event_is_found_by_its_name() -> None:
    rows = [{"name": "channel.followed", "subscription_id": "x"}, {"name": "kicks.gifted", "subscription_id": "y"}]
    one, request = exchange(subscribe_to_event("kicks.gifted", 5), rows)
    assert one == EventSubscribed("kicks.gifted", subscription_id="y")
    assert json.loads(request.body)["events"] == [{"name": "kicks.gifted", "version": 1}]
    for others in ([], rows[:1]):
        with pytest.raises(BadResponse, match=r"what became of kicks\.gifted"):
            exchange(subscribe_to_event("kicks.gifted", 5), others)


@pytest.mark.parametrize("name", ["channel.raided", "a.b.c.d", "livestream.v2.began", "channel.chat_message.pinned"])
def test_an_event_that_is_new_can_be_subscribed_to(name: str) -> None:
    done, request = exchange(subscribe_to_events([name], 5), [{"name": name, "subscription_id": FIRST}])
    assert done[0].ok
    assert json.loads(request.body)["events"] == [{"name": name, "version": 1}]


NO_NAMES = [
    *("", "chat", "Chat.message.sent", "chat..sent", ".chat.sent", "chat.sent.", "chat message", "chat.sent\n"),
    *("chat/sent", "chät.sent", "1.2", "a." * 50 + "a", "\ud800.a"),
]


@pytest.mark.parametrize("bad", [*NO_NAMES, 5, None, b"chat.message.sent"], ids=lambda value: repr(value)[:30])
def test_what_is_no_name_of_an_event_is_refused(bad: Any) -> None:
    assert refusal(subscribe_to_events(["kicks.gifted", bad], 5)).parameter == "events"
    assert refusal(subscribe_to_event(bad, 5)).parameter == "event"


def test_the_name_of_another_library_is_refused_with_the_right_one() -> None:
    assert "'moderation.banned'" in str(refusal(subscribe_to_event("channel.moderation.user_banned", 5)))


@pytest.mark.parametrize("bad", [[], "chat.message.sent", 5, None], ids=repr)
def test_what_is_no_list_of_events_is_refused(bad: Any) -> None:
    assert refusal(subscribe_to_events(bad, 5)).parameter == "events"


def test_an_event_is_named_once() -> None:
    error = refusal(subscribe_to_events(["kicks.gifted", "a.b", EventName.KICKS_GIFTED], 5))
    assert error.parameter == "events"
    assert "'kicks.gifted' more than once" in str(error)


@pytest.mark.parametrize("bad", [0, -1, 2**64, True, "5", 1.0], ids=repr)
def test_what_is_no_broadcaster_is_refused(bad: Any) -> None:
    for program in (
        fetch_events_subscriptions(bad),
        subscribe_to_events(["a.b"], bad),
        subscribe_to_event("a.b", bad),
    ):
        assert refusal(program).parameter == "broadcaster_user_id"


def test_all_ten_events_go_in_one_request() -> None:
    assert len(EventName) == 10
    _, request = exchange(subscribe_to_events(EventName, 5), [])
    assert [event["name"] for event in json.loads(request.body)["events"]] == [name.value for name in EventName]


@pytest.mark.parametrize("answer", [Unreachable("reset", Sent.MAYBE), Response(500)], ids=repr)
def test_a_subscription_is_never_made_twice(answer: Any) -> None:
    world = user_world()
    world.kick.api = lambda _: answer
    with pytest.raises((NetworkError, ServerError)):
        world.run(subscribe_to_events(["kicks.gifted"], 5))
    assert len(world.sent) == 1


def test_the_limit_of_subscriptions_is_told_in_kicks_words(payload: Any) -> None:
    answer = Response(400, (), payload("errors/400-bad-request.subscription-limit.json"))
    with pytest.raises(BadRequest) as caught:
        exchange(subscribe_to_event("kicks.gifted", 5), answer)
    assert caught.value.code == "event subscription limit reached"


def test_your_own_channel_needs_a_user_with_the_scope_and_an_app_token_will_not_do() -> None:
    world = World()
    world.put(APP_SLOT, Token(Secret("APP0"), NOW + 86400, NOW))
    with pytest.raises(LoginRequired):
        world.run(subscribe_to_events(["kicks.gifted"]))
    with pytest.raises(LoginRequired):
        world.run(subscribe_to_event("kicks.gifted"))
    world.log_in(scope="user:read")
    with pytest.raises(MissingScopes, match="events:subscribe"):
        world.run(subscribe_to_events(["kicks.gifted"]))
    with pytest.raises(MissingScopes, match="events:subscribe"):
        world.run(subscribe_to_event("kicks.gifted"))
    assert world.sent == []


@pytest.mark.parametrize(
    "program",
    [fetch_events_subscriptions, lambda: unsubscribe_from_events([FIRST]), lambda: unsubscribe_from_event(FIRST)],
    ids=["fetch", "several", "one"],
)
def test_where_the_app_token_is_refused_a_user_with_the_scope_asks(program: Any) -> None:
    world = user_world()
    world.kick.takes_app_tokens = False
    world.log_in(scope="events:subscribe")
    world.run(program())
    assert world.asked_api[-1].bearer == Secret("AT0")


def test_subscriptions_are_ended_by_their_ids_in_one_request() -> None:
    value, request = exchange(unsubscribe_from_events([FIRST, SECOND, FIRST]), Response(204))
    assert value is None
    assert (request.method, request.url, request.body) == ("DELETE", URL, b"")
    assert request.query == (("id", FIRST), ("id", SECOND))
    assert request.bearer == Secret("APP0")
    _, request = exchange(unsubscribe_from_event(FIRST), Response(204))
    assert request.query == (("id", FIRST),)


def test_50_subscriptions_are_ended_at_once_and_no_more() -> None:
    ids = [f"id{number}" for number in range(51)]
    assert len(exchange(unsubscribe_from_events(ids[:50]), Response(204))[1].query) == 50
    assert "1 to 50 items, not 51" in str(refusal(unsubscribe_from_events(ids)))


@pytest.mark.parametrize("bad", [[], FIRST, 5, None, [FIRST, "a b"]], ids=repr)
def test_what_is_no_list_of_ids_is_refused(bad: Any) -> None:
    assert refusal(unsubscribe_from_events(bad)).parameter == "subscription_ids"


@pytest.mark.parametrize("bad", ["", "x" * 129, "a b", "ä", "a\n", ".", 5, None, [FIRST]], ids=repr)
def test_what_is_no_id_is_refused(bad: Any) -> None:
    assert refusal(unsubscribe_from_events([bad])).parameter == "subscription_ids"
    assert refusal(unsubscribe_from_event(bad)).parameter == "subscription_id"


@pytest.mark.parametrize(
    ("row", "member", "required"),
    [
        *((ROW, member, member in {"id", "event", "broadcaster_user_id"}) for member in ROW),
        *((RESULT, member, member == "name") for member in RESULT),
    ],
)
def test_each_member_is_forgiven_or_named(row: dict[str, Any], member: str, required: bool) -> None:
    def read(changed: dict[str, Any]) -> Any:
        program = fetch_events_subscriptions() if row is ROW else subscribe_to_events(["a.b"], 5)
        return exchange(program, [changed])[0][0]

    for changed in ({name: row[name] for name in row if name != member}, row | {member: None}):
        if required:
            with pytest.raises(BadResponse, match=rf"[`.]{member}`"):
                read(changed)
        else:
            assert getattr(read(changed), member) is None
    with pytest.raises(BadResponse, match=rf"\.{member}`"):
        read(row | {member: {"a": 1}})
    assert read(row | {"new_" + member: [{"a": 1}]}) == read(row)


def test_what_stands_for_nothing_is_none_and_unknown_values_are_kept() -> None:
    odd = {"app_id": "", "method": "", "created_at": "0001-01-01T00:00:00Z", "updated_at": None, "version": 2}
    found, _ = exchange(fetch_events_subscriptions(), [ROW | odd | {"event": "channel.raided"}])
    assert found == [EventSubscription(FIRST, "channel.raided", 5, version=2)]


def test_the_sets_of_known_values_are_named() -> None:
    assert EventSubscription.known == {"event": EventName, "method": EventMethod}
    assert EventSubscribed.known == {"name": EventName}
