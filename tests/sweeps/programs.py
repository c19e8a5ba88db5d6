"""Programs and the simulated worlds in which they begin, for those who put something in the way of their effects."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from interpreters.driver import run_sync
from interpreters.sandbox import Simulated
from kickcore import Scope
from kickcore.api.users import fetch_user
from kickcore.effects import Leaf, Program
from kickcore.oauth.access import keep_alive, token_for
from kickcore.oauth.login import authenticate, logout
from kickcore.oauth.tokens import TokenKind

Answer: TypeAlias = Callable[[Leaf], object]

ROUNDS: Final = 2
"""Rounds of a program that never ends, after which it is ended."""


class Case(NamedTuple):
    """A program and its world. `lives`: seconds that its token lives yet; None if there is none."""

    program: Callable[[Simulated], Program[Any]]
    kind: TokenKind = TokenKind.USER
    lives: float | None = 7200.0


def _refused(kick: Simulated) -> Program[Any]:
    slot = kick.app.slot(TokenKind.USER)
    held = kick.tokens.get(slot)
    assert held is not None
    return token_for(slot, refused=held.token.access_token)


def _user(kick: Simulated) -> Program[Any]:
    return token_for(kick.app.slot(TokenKind.USER))


def _app(kick: Simulated) -> Program[Any]:
    return token_for(kick.app.slot(TokenKind.APP))


CASES: Final[dict[str, Case]] = {
    "no app token": Case(_app, TokenKind.APP, None),
    "an app token that is over": Case(_app, TokenKind.APP, -10.0),
    "an app token that is due": Case(_app, TokenKind.APP, 300.0),
    "a user token that is good": Case(_user),
    "a user token that is over": Case(_user, lives=-10.0),
    "a user token that is overdue": Case(_user, lives=30.0),
    "a user token that is due": Case(_user, lives=300.0),
    "a user token that is refused": Case(_refused),
    "a call": Case(lambda _: fetch_user()),
    "a call with a token that is over": Case(lambda _: fetch_user(), lives=-10.0),
    "a first login": Case(lambda _: authenticate([Scope.USER_READ]), lives=None),
    "another login": Case(lambda _: authenticate([Scope.USER_READ])),
    "a logout": Case(lambda _: logout()),
    "keeping alive": Case(lambda _: keep_alive(3600.0), lives=300.0),
}


def world_of(case: Case) -> Simulated:
    """The world in which a case begins."""
    kick = Simulated()
    slot = kick.app.slot(case.kind)
    if case.lives is None:
        return kick
    if case.kind is TokenKind.USER:
        token = kick.sandbox.sign_in([Scope.USER_READ])
    else:
        token = run_sync(token_for(slot), kick.answer)
        kick.tokens.remove(slot)
    aged = kick.time + case.lives - token.expires_at
    token = replace(token, expires_at=token.expires_at + aged, issued_at=token.issued_at + aged)
    _ = kick.tokens.replace(slot, token, "")
    if case.lives < 0:
        kick.sandbox.expire_access_tokens()
    return kick


def is_kept(kick: Simulated) -> bool:
    """Whether Kick would take the refresh token that is held; if there is none, whether Kick would take none at all."""
    held = kick.tokens.get(kick.app.slot(TokenKind.USER))
    refreshes = kick.sandbox.world.refresh
    if held is None or held.token.refresh_token is None:
        return all(there.spent_at is not None for there in refreshes.values())
    there = refreshes.get(held.token.refresh_token.reveal())
    return there is not None and there.spent_at is None
