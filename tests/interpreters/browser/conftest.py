"""What the tests of the browser login share: a free port, and what a login asks for."""

import socket
from collections.abc import Callable

import pytest

from kickcore.effects import Consent
from kickcore.secret import Secret

ConsentFor = Callable[..., Consent]


@pytest.fixture
def port() -> int:
    """A port that nobody holds, on 127.0.0.1 and on ::1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def consent_for() -> ConsentFor:
    """The `Consent` for a port, with `STATE` as its state."""

    def consent(port: int, timeout: float = 5.0, host: str = "127.0.0.1") -> Consent:
        return Consent(
            url=Secret("https://id.kick.com/oauth/authorize?state=STATE"),
            redirect_uri=f"http://{host}:{port}/callback",
            state=Secret("STATE"),
            issuer="https://id.kick.com",
            timeout=timeout,
        )

    return consent
