"""Deliveries as they go out: what goes wrong with them on request, and what becomes of receivers that fail."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from interpreters.sandbox import (
    Delivery,
    DeliveryFaults,
    Fault,
    RegisteredApp,
    Sandbox,
    claiming,
    with_app,
    with_subscriptions,
)
from interpreters.sandbox.deliveries import PATIENCE, UNHEARD, another_than, take
from kickcore.webhooks import (
    ChannelFollowed,
    EventUser,
    LivestreamMetadataUpdated,
    Refusal,
    Rejected,
    Strangeness,
    Unknown,
    parse,
)
from kickcore.webhooks import Delivery as Verified

from .asking import NOW, call, user_token
from .telling import CAMPAIGN, CHANNEL, HAPPENINGS, REWARD, checked, happen, members, subscribed

FOLLOW = "channel.followed"


def follows(count: int, **faults: Any) -> tuple[Sandbox, tuple[Delivery, ...]]:
    sandbox = subscribed(FOLLOW, faults=DeliveryFaults(**faults))
    return sandbox, happen(sandbox, *[FOLLOW] * count)


def good(sandbox: Sandbox, delivery: Delivery, now: float = NOW) -> Verified:
    outcome = checked(sandbox, delivery, now)
    assert isinstance(outcome, Verified), outcome
    return outcome


def numbers(deliveries: tuple[Delivery, ...]) -> list[Fault | None]:
    return [delivery.fault for delivery in deliveries]


def test_without_faults_each_is_delivered_once_in_order_and_is_good() -> None:
    sandbox = subscribed()
    deliveries = happen(sandbox, *HAPPENINGS)
    assert [good(sandbox, delivery).type for delivery in deliveries] == list(HAPPENINGS)
    assert numbers(deliveries) == [None] * len(HAPPENINGS)
    assert sandbox.take_deliveries() == ()


def test_the_same_world_gives_the_same_deliveries_again() -> None:
    world = HAPPENINGS[FOLLOW](subscribed(FOLLOW).world)
    assert take(world, NOW) == take(world, NOW)
    assert take(world, NOW)[1][0].message_id != take(replace(world, seed="another"), NOW)[1][0].message_id


def test_some_are_dropped() -> None:
    _, deliveries = follows(5, drop_every=2)
    assert len(deliveries) == 3


def test_a_duplicate_has_the_same_id_and_signature() -> None:
    sandbox, deliveries = follows(2, duplicate_every=2)
    assert numbers(deliveries) == [None, None, Fault.DUPLICATE]
    assert (deliveries[1].headers, deliveries[1].body) == (deliveries[2].headers, deliveries[2].body)
    assert good(sandbox, deliveries[2])


@pytest.mark.parametrize(("seconds", "is_stale"), [(240.0, False), (301.0, True)])
def test_one_that_is_late_comes_last_with_the_time_at_which_it_was_sent(seconds: float, is_stale: bool) -> None:
    sandbox, deliveries = follows(4, late_every=2, late_seconds=seconds)
    assert numbers(deliveries) == [None, None, Fault.LATE, Fault.LATE]
    outcome = checked(sandbox, deliveries[2])
    assert (isinstance(outcome, Rejected) and outcome.refusal is Refusal.STALE_TIMESTAMP) is is_stale
    assert good(sandbox, deliveries[2], NOW - seconds).timestamp == NOW - seconds


def test_out_of_order() -> None:
    (_, straight), (_, turned) = follows(3), follows(3, out_of_order=True)
    assert turned == straight[::-1]


def test_a_doubled_subscription_tells_one_thing_under_two_ids() -> None:
    sandbox, deliveries = follows(2, doubled_every=1)
    first, twin, second, its_twin = [good(sandbox, delivery) for delivery in deliveries]
    assert first.body == twin.body
    assert first.message_id != twin.message_id
    assert first.subscription_id == second.subscription_id != twin.subscription_id == its_twin.subscription_id
    assert numbers(deliveries) == [None, Fault.DOUBLED] * 2


def test_a_forged_one_is_refused() -> None:
    sandbox, deliveries = follows(1, forged_every=1)
    original, forged = deliveries
    assert forged.fault is Fault.FORGED
    assert forged.message_id != original.message_id
    outcome = checked(sandbox, forged)
    assert isinstance(outcome, Rejected)
    assert outcome.refusal is Refusal.INVALID_SIGNATURE


@pytest.mark.parametrize("event", HAPPENINGS)
def test_a_relabelled_one_has_a_good_signature_and_is_told_apart(event: str) -> None:
    sandbox = subscribed(event, faults=DeliveryFaults(relabelled_every=1))
    original, relabelled = happen(sandbox, event)
    assert (original.message_id, original.body) == (relabelled.message_id, relabelled.body)
    outcome = good(sandbox, relabelled)
    assert outcome.type == another_than(event) != event
    assert isinstance(outcome.event, Unknown)
    assert outcome.event.why is Strangeness.MISMATCH


def test_an_event_that_nobody_has_heard_of_comes_beside() -> None:
    sandbox, (_, unheard) = follows(1, unknown_type_every=1)
    outcome = good(sandbox, unheard)
    assert outcome.type == UNHEARD
    assert isinstance(outcome.event, Unknown)
    assert outcome.event.why is Strangeness.TYPE
    assert json.loads(unheard.body)["broadcaster"]["user_id"] == CHANNEL


def test_category_in_capitals() -> None:
    sandbox = subscribed(faults=DeliveryFaults(upper_category=True))
    token = user_token(sandbox, user_id=CHANNEL)
    assert call(sandbox, "PATCH", "/public/v1/channels", bearer=token, body={"category_id": 15})[0] == 204
    (delivery,) = sandbox.take_deliveries()
    assert json.loads(delivery.body)["metadata"]["Category"]["id"] == 15
    assert "category" not in json.loads(delivery.body)["metadata"]
    told = good(sandbox, delivery).event
    assert isinstance(told, LivestreamMetadataUpdated)
    assert told.metadata.category is not None
    assert told.metadata.category.id == 15


def nulls_and_members(octets: bytes) -> bool:
    return b"not_heard_of_yet" in octets or b'"is_verified":null' in octets


@pytest.mark.parametrize("faults", [{"nulls": True}, {"extra_members": True}, {"nulls": True, "extra_members": True}])
@pytest.mark.parametrize("event", [*HAPPENINGS, "chat.message.sent"])
def test_nulls_and_new_members_do_not_make_it_another_event(event: str, faults: Any) -> None:
    sandbox = subscribed(event, faults=DeliveryFaults(**faults))
    if event in HAPPENINGS:
        (delivery,) = happen(sandbox, event)
    else:
        body = {"content": "[emote:1:A]", "type": "user", "broadcaster_user_id": CHANNEL}
        assert call(sandbox, "POST", "/public/v1/chat", bearer=user_token(sandbox), body=body)[0] == 200
        (delivery,) = sandbox.take_deliveries()
        assert ("nulls" in faults) is (json.loads(delivery.body)["emotes"] is None)
    assert nulls_and_members(delivery.body)
    outcome = good(sandbox, delivery)
    assert not isinstance(outcome.event, Unknown)


def test_an_alteration_changes_nothing_else() -> None:
    _, (plain,) = follows(1)
    _, (nulled,) = follows(1, nulls=True)
    assert members(json.loads(plain.body)) == members(json.loads(nulled.body))
    told = parse(FOLLOW, "1", nulled.body)
    assert isinstance(told, ChannelFollowed)
    assert isinstance(told.follower, EventUser)
    assert (told.follower.user_id, told.follower.is_verified) == (123, None)


def test_faults_that_need_a_type_leave_claims_alone() -> None:
    faults = DeliveryFaults(
        relabelled_every=1, unknown_type_every=1, doubled_every=1, duplicate_every=1, forged_every=1
    )
    sandbox = subscribed(faults=faults)
    sandbox.world = with_app(sandbox.world, RegisteredApp("drops", "secret", (), organization=True))
    sandbox.world = claiming(sandbox.world, 123, CAMPAIGN, REWARD.id, at=NOW)
    assert numbers(sandbox.take_deliveries()) == [None, Fault.DUPLICATE, Fault.FORGED]


# Receivers that fail


class Day:
    """A Kick with a clock that is moved."""

    def __init__(self) -> None:
        self.sandbox = subscribed(FOLLOW, "kicks.gifted")
        self.sandbox.clock = lambda: NOW + self.after
        self.after = 0.0

    def follow(self, after: float, status: int) -> None:
        self.after = after
        for delivery in happen(self.sandbox, FOLLOW):
            self.sandbox.note_answer(delivery, status)

    @property
    def events(self) -> list[str]:
        return [held.event for held in self.sandbox.world.subscriptions.values()]


@pytest.mark.parametrize("status", [0, 199, 302, 400, 401, 500, 503])
def test_after_failing_for_more_than_a_day_an_app_is_unsubscribed_from_that_event(status: int) -> None:
    day = Day()
    for after in (0.0, 60.0, PATIENCE):
        day.follow(after, status)
        assert day.events == [FOLLOW, "kicks.gifted"]
    day.follow(PATIENCE + 1, status)
    assert day.events == ["kicks.gifted"]
    assert day.sandbox.world.failing == {}
    assert happen(day.sandbox, FOLLOW) == ()
    assert len(happen(day.sandbox, "kicks.gifted")) == 1


@pytest.mark.parametrize("status", [200, 204, 299])
def test_one_that_was_taken_begins_the_day_anew(status: int) -> None:
    day = Day()
    day.follow(0.0, 500)
    day.follow(PATIENCE - 1, status)
    day.follow(PATIENCE + 1, 500)
    day.follow(2 * PATIENCE, 500)
    assert day.events == [FOLLOW, "kicks.gifted"]
    day.follow(2 * PATIENCE + 2, 500)
    assert day.events == ["kicks.gifted"]


@pytest.mark.parametrize("fault", ["forged_every", "relabelled_every"])
def test_refusing_what_is_not_kicks_is_no_failure(fault: str) -> None:
    sandbox, deliveries = follows(1, **{fault: 1})
    sandbox.note_answer(deliveries[1], 401)
    assert sandbox.world.failing == {}
    sandbox.note_answer(deliveries[0], 401)
    assert list(sandbox.world.failing) == [("sandbox-app", FOLLOW)]


def test_another_app_keeps_its_subscriptions() -> None:
    day = Day()
    day.sandbox.world = with_app(day.sandbox.world, RegisteredApp("other", "secret", ()))
    day.sandbox.world = with_subscriptions(day.sandbox.world, CHANNEL, FOLLOW, client_id="other", at=NOW)
    for after in (0.0, PATIENCE + 1):
        day.after = after
        for delivery in happen(day.sandbox, FOLLOW):
            day.sandbox.note_answer(delivery, 200 if delivery.sent.client_id == "other" else 500)
    assert [(held.client_id, held.event) for held in day.sandbox.world.subscriptions.values()] == [
        ("sandbox-app", "kicks.gifted"),
        ("other", FOLLOW),
    ]


# Everything at once

EVERY = st.none() | st.integers(1, 3)
FAULTS = st.builds(
    DeliveryFaults,
    drop_every=EVERY,
    late_every=EVERY,
    out_of_order=st.booleans(),
    duplicate_every=EVERY,
    doubled_every=EVERY,
    forged_every=EVERY,
    relabelled_every=EVERY,
    unknown_type_every=EVERY,
    upper_category=st.booleans(),
    nulls=st.booleans(),
    extra_members=st.booleans(),
)


@settings(max_examples=60)
@given(FAULTS, st.lists(st.sampled_from(sorted(HAPPENINGS)), max_size=6))
def test_whatever_goes_wrong_what_is_good_is_good_and_what_is_not_is_marked(
    faults: DeliveryFaults, events: list[str]
) -> None:
    sandbox = subscribed(faults=faults)
    deliveries = happen(sandbox, *events)
    assert sandbox.world.due == ()
    firsts = [each for each in deliveries if each.fault in {None, Fault.LATE}]
    dropped = len(events) // faults.drop_every if faults.drop_every else 0
    assert len(firsts) == len(events) - dropped
    assert len({each.message_id for each in firsts}) == len(firsts)
    for delivery in deliveries:
        outcome = checked(sandbox, delivery)
        assert isinstance(outcome, Rejected) is (delivery.fault is Fault.FORGED)
        if isinstance(outcome, Verified):
            is_strange = delivery.fault in {Fault.RELABELLED, Fault.UNKNOWN_TYPE}
            assert isinstance(outcome.event, Unknown) is is_strange
            assert (outcome.type == delivery.event) is not is_strange
