"""How calls behave when something goes wrong."""

from typing import Any

import pytest
from msgspec.structs import replace
from worlds import APP

from kickcore import KickClient
from kickcore.errors import ConfigError
from kickcore.oauth.tokens import checked_app
from kickcore.policy import BUDGET, Drift, Pace, Policy, checked_policy


def test_what_happens_if_nothing_is_said() -> None:
    assert Policy() == Policy(retries=2, backoff=0.2, longest_backoff=5.0, longest_wait=60.0, drift=Drift.IGNORE)
    assert APP.policy == Policy()
    assert BUDGET == 500
    assert Pace() == Pace(not_before=0.0, refill=False)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(retries=0),
        Policy(retries=10),
        Policy(backoff=0, longest_backoff=0, longest_wait=0),
        Policy(backoff=3600.0, longest_backoff=3600, longest_wait=3600),
        *(Policy(drift=drift) for drift in Drift),
    ],
    ids=repr,
)
def test_what_can_be_right_is_taken_as_it_is(policy: Policy) -> None:
    assert checked_policy(policy) is policy
    assert checked_app(replace(APP, policy=policy)).policy == policy
    assert KickClient("CID", "CSECRET", policy=policy) is not None


NONSENSE: list[tuple[str, Any]] = [
    ("retries", -1),
    ("retries", 11),
    ("retries", 2.5),
    ("retries", "2"),
    ("retries", None),
    ("retries", True),
    ("retries", float("nan")),
    *(
        (name, value)
        for name in ("backoff", "longest_backoff", "longest_wait")
        for value in (-0.1, 3601, float("inf"), float("nan"), "1", None, False, [1], 10**400)
    ),
    ("drift", "refuse"),
    ("drift", ""),
    ("drift", None),
    ("drift", 1),
]


@pytest.mark.parametrize(("name", "value"), NONSENSE, ids=lambda value: repr(value)[:20])
def test_nonsense_is_a_config_error_that_names_the_member(name: str, value: Any) -> None:
    members: dict[str, Any] = {name: value}
    policy = Policy(**members)
    with pytest.raises(ConfigError, match=rf"^policy\.{name} is ") as caught:
        checked_policy(policy)
    assert len(str(caught.value)) < 200
    with pytest.raises(ConfigError, match=rf"^policy\.{name} is "):
        KickClient("CID", "CSECRET", policy=policy)
    with pytest.raises(ConfigError, match=rf"^policy\.{name} is "):
        checked_app(replace(APP, policy=policy))


@pytest.mark.parametrize("value", [{"retries": 0}, "none", 0, None, Policy, Drift.TELL], ids=repr)
def test_what_is_no_policy_is_a_config_error(value: Any) -> None:
    with pytest.raises(ConfigError, match="policy is a Policy"):
        checked_policy(value)


def test_a_policy_is_a_value() -> None:
    assert hash(Policy(retries=1)) == hash(Policy(retries=1))
    with pytest.raises(AttributeError, match="immutable"):
        Policy().retries = 5  # type: ignore[misc]
