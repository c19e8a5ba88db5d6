"""What `kickcore.testing` does not have: answers that Kick documents, or was seen to give, from the payload files."""

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from kickcore import testing
from kickcore.effects import Leaf, Send
from kickcore.http import Response
from kickcore.oauth.tokens import App

PAYLOADS = Path(__file__).parent / "payloads"

recorded: st.SearchStrategy[Response] = testing.responses(
    st.sampled_from(
        [path.read_bytes() for folder in ("responses", "errors") for path in sorted((PAYLOADS / folder).glob("*.json"))]
    )
)
"""A body of Kick's, with any status."""


def answers_to(effect: Leaf, app: App) -> st.SearchStrategy[Any]:
    """Whatever the world may answer to an effect; to a request also what was recorded for another."""
    answers = testing.answers_to(effect, app)
    return answers | recorded if isinstance(effect, Send) else answers
