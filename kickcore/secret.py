"""Text that must not be seen: tokens, client secrets, authorization codes, PKCE verifiers, state."""

from hmac import compare_digest
from typing import Final, NoReturn, Self, final


@final
class Secret:
    """A secret text. It never shows itself: not in `repr`, `str`, `format`, JSON, pickles or tracebacks.

    `reveal()` is the only way to the text, so a search for that word finds every place that sees one.
    Two secrets are equal when their texts are (compared in constant time); a secret is never equal to a `str`.
    """

    __slots__ = ("_text",)
    _text: str

    def __new__(cls, text: str) -> Self:
        made = object.__new__(cls)
        object.__setattr__(made, "_text", text)
        return made

    def reveal(self) -> str:
        """The text itself. Send it or store it; do not log it or put it in an exception."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return compare_digest(self._text.encode("utf-8", "surrogatepass"), other._text.encode("utf-8", "surrogatepass"))

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return "Secret('…')" if self._text else "Secret('')"

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled; reveal() it where it must be stored")


NO_SECRET: Final = Secret("")
