"""The end of waiting for a user."""

from collections.abc import Mapping

from kickcore.errors import LoginTimeout


def counted(refused: Mapping[str, int]) -> str:
    """What was turned away, as in `2 wrong or missing state, 1 other path`."""
    return ", ".join(f"{count} {why}" for why, count in sorted(refused.items()))


def login_timeout(where: str, seconds: float, refused: Mapping[str, int]) -> LoginTimeout:
    """The error for a user who did not come back `where`, such as "on port 3000", within `seconds`."""
    told = f"turned away meanwhile: {counted(refused)}" if refused else "no other request came either"
    told += "; if Kick's page showed an error, compare the client id and the redirect URL with your app's settings"
    return LoginTimeout(
        f"nobody came back from the browser {where} within {seconds:g} seconds; {told}. Start the login again",
        seconds=seconds,
        refused=refused,
    )
