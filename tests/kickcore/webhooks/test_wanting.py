"""Subscriptions as a set that is wanted: made once, ended where they are too many, and then left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from interpreters.driver import run_sync
from interpreters.sandbox import Sandbox, Simulated, small_world, with_rules
from kickcore.api.events import EventName, EventSubscription, fetch_events_subscriptions, subscribe_to_events
from kickcore.errors import ConfigError, InvalidInput
from kickcore.webhooks.wanting import (
    CHAT_CAP,
    Wanted,
    keep_subscriptions,
    plan_subscriptions,
    wanted_of,
)

CHAT, FOLLOWED, GIFTED = EventName.CHAT_MESSAGE_SENT, EventName.CHANNEL_FOLLOWED, EventName.KICKS_GIFTED
events = st.sampled_from(["chat.message.sent", "channel.followed", "kicks.gifted"])
wants = st.frozensets(st.builds(Wanted, st.integers(1, 4), events), max_size=8)
subscriptions = st.lists(
    st.builds(
        EventSubscription,
        st.uuids().map(str),
        events,
        st.integers(1, 4),
        version=st.sampled_from([None, 1, 1, 1, 2]),
    ),
    max_size=12,
)


@given(subscriptions, wants)
def test_a_plan_makes_the_set_that_is_wanted(there: list[EventSubscription], wanted: frozenset[Wanted]) -> None:
    plan = plan_subscriptions(there, wanted)
    kept = [Wanted(one.broadcaster_user_id, str(one.event)) for one in plan.keep]
    assert sorted([*kept, *plan.make]) == sorted(wanted)
    assert {one.id for one in (*plan.keep, *plan.end)} == {one.id for one in there}
    assert sum(plan.counts.values()) == len(wanted)


@given(subscriptions, wants)
def test_of_others_nothing_is_ended_but_what_is_there_twice(
    there: list[EventSubscription], wanted: frozenset[Wanted]
) -> None:
    plan = plan_subscriptions(there, wanted, ends_others=False)
    usual = [one for one in there if one.version != 2]
    keys = {Wanted(one.broadcaster_user_id, str(one.event)) for one in usual}
    assert set(plan.make) == wanted - keys
    assert {Wanted(one.broadcaster_user_id, str(one.event)) for one in plan.keep} >= keys
    assert all(one.version != 2 or Wanted(one.broadcaster_user_id, str(one.event)) in keys for one in plan.end)


@given(subscriptions, wants)
def test_what_is_as_wanted_is_left_alone(there: list[EventSubscription], wanted: frozenset[Wanted]) -> None:
    plan = plan_subscriptions(there, wanted)
    made = [
        EventSubscription(f"new-{number}", one.event, one.broadcaster_user_id) for number, one in enumerate(plan.make)
    ]
    assert plan_subscriptions([*plan.keep, *made], wanted).is_done


def test_what_is_wanted_is_kept_and_doing_it_again_only_looks() -> None:
    kick = Simulated()
    run_sync(subscribe_to_events([CHAT, FOLLOWED], 676), kick.answer)
    run_sync(subscribe_to_events([CHAT], 676), kick.answer)
    run_sync(subscribe_to_events([GIFTED], 123), kick.answer)
    wanted = wanted_of([CHAT, FOLLOWED], [676, 123])
    report = run_sync(keep_subscriptions(wanted), kick.answer)
    assert report.ok
    assert sorted(report.made.values()) == [Wanted(123, FOLLOWED), Wanted(123, CHAT)]
    assert sorted(str(one.event) for one in report.ended) == [CHAT, GIFTED]
    there = run_sync(fetch_events_subscriptions(), kick.answer)
    assert {Wanted(one.broadcaster_user_id, str(one.event)) for one in there} == wanted
    kick.sandbox.log.clear()
    again = run_sync(keep_subscriptions(wanted), kick.answer)
    assert again.plan.is_done
    assert [entry.method for entry in kick.sandbox.log] == ["GET"]
    assert again.plan.counts == {CHAT: 2, FOLLOWED: 2}


def test_what_kick_refuses_for_one_holds_up_no_other() -> None:
    kick = Simulated(Sandbox(with_rules(small_world(), failing_events=("kicks.gifted",))))
    report = run_sync(keep_subscriptions(wanted_of([CHAT, GIFTED], [676, 123, 999_999])), kick.answer)
    assert not report.ok
    assert {one.broadcaster_user_id for one in report.made.values()} == {676, 123}
    refused = {(one.wanted.broadcaster_user_id, one.wanted.event) for one in report.refused}
    assert refused == {(676, GIFTED), (123, GIFTED), (999_999, CHAT), (999_999, GIFTED)}
    assert all(one.error for one in report.refused)


def test_more_than_kick_allows_is_told_before_anything_is_changed() -> None:
    kick = Simulated()
    wanted = wanted_of([CHAT], range(1, CHAT_CAP + 2))
    with pytest.raises(ConfigError, match=r"1001 subscriptions to chat.message.sent are wanted, and Kick allows 1000"):
        run_sync(keep_subscriptions(wanted), kick.answer)
    assert {entry.method for entry in kick.sandbox.log} == {"GET", "POST"}
    assert [entry.path for entry in kick.sandbox.log if entry.method == "POST"] == ["/oauth/token"]
    assert len(plan_subscriptions([], wanted, is_verified=True).make) == CHAT_CAP + 1


def test_many_are_ended_in_batches() -> None:
    kick = Simulated()
    for _ in range(60):
        run_sync(subscribe_to_events([FOLLOWED], 676), kick.answer)
    kick.sandbox.log.clear()
    report = run_sync(keep_subscriptions([]), kick.answer)
    assert len(report.ended) == 60
    assert [entry.method for entry in kick.sandbox.log] == ["GET", "DELETE", "DELETE"]
    assert run_sync(fetch_events_subscriptions(), kick.answer) == []


def test_the_oldest_of_several_stays() -> None:
    from datetime import UTC, datetime

    old, new = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    one = EventSubscription("b", CHAT, 676, created_at=new)
    plan = plan_subscriptions([one, replace(one, id="a", created_at=old)], [Wanted(676, CHAT)])
    assert [kept.id for kept in plan.keep] == ["a"]
    assert [ended.id for ended in plan.end] == ["b"]


def test_what_can_be_no_id_is_told() -> None:
    with pytest.raises(InvalidInput, match="broadcaster_user_ids"):
        wanted_of([CHAT], [0])
