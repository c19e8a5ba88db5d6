"""Plans: scopes and requests, without sending anything."""

from collections.abc import Callable

import pytest
from contract import LOCAL

from kickcore import KickClient, Scope
from kickcore.api.chat import send_chat_message
from kickcore.api.moderation import unban_user
from kickcore.api.plan import FREE, dry_run, scopes_needed
from kickcore.api.users import fetch_user, fetch_users
from kickcore.effects import Program
from kickcore.errors import ConfigError, InvalidInput
from kickcore.oauth.login import authenticate
from kickcore.oauth.scopes import NEEDS


@pytest.mark.parametrize(
    ("methods", "scopes"),
    [
        ((), ()),
        (("fetch_livestreams",), ()),
        ((KickClient.send_chat_message,), (Scope.CHAT_WRITE,)),
        ((send_chat_message, "ban_user", KickClient.timeout_user), (Scope.CHAT_WRITE, Scope.MODERATION_BAN)),
        (("fetch_channel_rewards",), (Scope.CHANNEL_REWARDS_READ,)),
        (("fetch_channel_rewards", "create_channel_reward"), (Scope.CHANNEL_REWARDS_WRITE,)),
        (("fetch_ad_break_status",), (Scope.ADS_READ,)),
        ((KickClient.reward_redemptions,), (Scope.CHANNEL_REWARDS_READ,)),
    ],
)
def test_the_scopes_for_a_set_of_methods(
    methods: tuple[str | Callable[..., object], ...], scopes: tuple[Scope, ...]
) -> None:
    assert scopes_needed(*methods) == scopes


@pytest.mark.parametrize("name", ["fetch_usr", "", "a b", "__init__"])
def test_what_is_no_method_needs_no_scope_by_mistake(name: str) -> None:
    with pytest.raises(ConfigError, match="not the name of a method"):
        scopes_needed(name)


def test_every_method_that_sends_anything_is_in_one_of_the_two_lists() -> None:
    local = LOCAL | {"authenticate"}
    methods = {name for name, member in vars(KickClient).items() if callable(member) and not name.startswith("_")}
    assert methods - local == NEEDS.keys() | FREE
    assert not NEEDS.keys() & FREE


def test_a_dry_run_shows_the_request() -> None:
    plan = dry_run(send_chat_message("Hello!", broadcaster_user_id=123))
    assert plan.is_complete
    assert str(plan) == (
        'POST https://api.kick.com/public/v1/chat {"content":"Hello!","type":"user","broadcaster_user_id":123}'
    )
    assert str(dry_run(unban_user(1, 2))).startswith("DELETE https://api.kick.com/public/v1/moderation/bans {")


def test_a_dry_run_shows_all_requests_of_a_split_call() -> None:
    plan = dry_run(fetch_users(range(1, 121)))
    assert [len(request.query) for request in plan.requests] == [50, 50, 20]


def test_a_dry_run_says_where_answers_decide() -> None:
    def flow() -> Program[None]:
        _ = yield from send_chat_message("one", broadcaster_user_id=1)
        user = yield from fetch_user(2)
        _ = yield from send_chat_message(user.name, broadcaster_user_id=1)

    plan = dry_run(flow())
    assert not plan.is_complete
    assert "depends on the answers" in str(plan)


def test_a_dry_run_refuses_what_the_call_would_refuse() -> None:
    with pytest.raises(InvalidInput):
        dry_run(fetch_user(0))


def test_a_login_cannot_be_planned() -> None:
    with pytest.raises(ConfigError, match="user"):
        dry_run(authenticate(["user:read"]))
