"""The laws of recording and replaying, for any program in any world."""

from collections.abc import Callable
from hashlib import sha512
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from interpreters.sessions import Player, Recording, read
from interpreters.sessions.aliases import ROLES, SHORTEST, WORD, packed_forms, written_forms
from interpreters.sessions.finding import in_answer, in_ask
from kickcore.api.channels import fetch_channel
from kickcore.api.chat import send_chat_message
from kickcore.api.introspection import introspect_token
from kickcore.api.rewards import fetch_channel_rewards
from kickcore.api.users import fetch_user
from kickcore.effects import Entropy, Leaf, Now, Program
from kickcore.errors import LeakSuspected
from kickcore.oauth.access import token_for
from kickcore.oauth.login import authenticate, logout
from kickcore.oauth.tokens import TokenKind
from kickcore.testing import DrawnWorld, worlds

PROGRAMS: dict[str, Callable[[DrawnWorld], Program[Any]]] = {
    "fetch_user": lambda _: fetch_user(123),
    "own user": lambda _: fetch_user(),
    "fetch_channel": lambda _: fetch_channel(slug="a"),
    "chat": lambda _: send_chat_message("Hello «you»", broadcaster_user_id=123),
    "rewards": lambda _: fetch_channel_rewards(),
    "introspect": lambda _: introspect_token(use_user_token=True),
    "login": lambda _: authenticate(["user:read"]),
    "logout": lambda _: logout(),
    "renewal": lambda world: token_for(world.app.slot(TokenKind.USER)),
}


PUBLIC = {
    *("a", "123", "GET", "POST", "DELETE", "PUT", "PATCH", "app", "user", "id", "slug", "p", "s", "authorization_code"),
    *("grant_type", "client_id", "client_secret", "refresh_token", "client_credentials", "code", "code_verifier"),
    *("redirect_uri", "token", "token_type_hint", "token_hint_type", "access_token", "content-type", "retry-after"),
    *("user:read", "http://127.0.0.1:3000/callback", "http://127.0.0.1", "https://id.kick.com", "unknown", "failed"),
    *("saved", "superseded", "not_saved", "granted", "denied", "foreign_issuer", "no", "maybe", "yes", "ended"),
    *("replaced", "refresh_token", "fetch_app_token", "exchange_code", "log_out", "ignore", "retrying", "backoff"),
}
"""Words of the protocol, which Hypothesis knows from the code."""


def outcome_of(run: Callable[[], object]) -> tuple[str, object]:
    try:
        return "value", run()
    except Exception as error:  # noqa: BLE001
        return type(error).__name__, None


@pytest.mark.parametrize("name", PROGRAMS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), worlds())
def test_what_was_recorded_in_any_world_replays_to_the_same_outcome(
    name: str, data: st.DataObject, world: DrawnWorld
) -> None:
    recording, seen = Recording(seed="s"), dict[str, str]()

    def answer(effect: Leaf) -> object:
        # Of what is drawn, two secrets may be equal; what an entropy source gives is not.
        given = (
            sha512(effect.purpose.encode()).digest()[: effect.size] if isinstance(effect, Entropy) else world(effect)
        )
        if not isinstance(effect, Now | Entropy):
            seen.update({text: role for role, text in (*in_ask(effect), *in_answer(effect, given))})
        return given

    seen[world.app.client_secret.reveal()] = "cs"
    kind, value = outcome_of(lambda: recording.run_sync(PROGRAMS[name](world), answer, label="p"))
    # A text that is a secret and also something else cannot be renamed.
    assume(not seen.keys() & {*PUBLIC, world.app.client_id})
    try:
        session = recording.close()
    except LeakSuspected:
        # The answers are by chance: some look it. What was recorded replays all the same.
        session = read(recording.text())
    for _ in range(2):
        player = Player(session)
        again, result = outcome_of(lambda player=player: player.run_sync(PROGRAMS[name](world), label="p"))
        player.finish()
        assert again == kind
        assert type(result) is type(value)
    text = recording.text().decode()
    for secret in seen:
        if len(secret) >= WORD and not secret.isdigit():
            assert not [form for form in written_forms(secret) if form in text]
            assert not [form for form in packed_forms(secret) if form in text and len(form) > SHORTEST]


def test_the_docs_tell_what_every_alias_stands_for() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sessions.md").read_text("utf-8")
    assert not [role for role in ROLES if f"`{role}`" not in page]
