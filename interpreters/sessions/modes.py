"""What a session file is used for in a run: replayed, recorded, gone on with, compared, or left alone.

Every answer is either the file's or a live one, and no mode mixes the two: where one goes on after the other, there is
one point in the session from which on everything is live.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from interpreters.sessions.aliases import ALIAS_TEXT, ROLES, Clash, fake
from interpreters.sessions.coding import ask
from interpreters.sessions.comparing import shape_changes
from interpreters.sessions.divergence import summary
from interpreters.sessions.lines import Line, Session, load, read, shown_path
from interpreters.sessions.naming import Names, named
from interpreters.sessions.playing import PATIENCE, Order, Player
from interpreters.sessions.recording import Interpreter, Recording
from interpreters.turns import Turn
from kickcore.effects import Entropy, Leaf, LoadApp, Now, Program
from kickcore.errors import AnswersChanged, ConfigError, SessionError
from kickcore.notices import Notice
from kickcore.oauth.tokens import App, Slot
from kickcore.secret import Secret

T = TypeVar("T")


class Mode(StrEnum):
    """What is done with a session file."""

    REPLAY = "replay"
    """Every answer comes from the file. Without the file, nothing goes."""
    RECORD = "record"
    """Record if there is no file yet; else replay."""
    RERECORD = "rerecord"
    """Record anew. The file is replaced as a whole if all went well, and else stays as it is."""
    EXTEND = "extend"
    """Replay the programs that the file has, then go on live, from the first one that it has not, and record that."""
    VERIFY = "verify"
    """Live; at the end, the shapes of the answers are compared with the file, which stays as it is."""
    OFF = "off"
    """Live, as if there were no file."""


VARIABLE: Final = "KICK_RECORD"
"""The environment variable that names a mode."""
ALLOWED_IN_CI: Final = frozenset({Mode.REPLAY, Mode.VERIFY})
"""What may be done where `CI` is set: all else is a replay there."""


def checked_mode(name: str) -> Mode:
    """A mode by its name. Raises `ConfigError` for what is none, and names those that are."""
    try:
        return Mode(name.strip().lower())
    except ValueError:
        raise ConfigError(f"there is no mode {name[:40]!r} for sessions; there are {', '.join(Mode)}") from None


def is_ci(environment: Mapping[str, str] | None = None) -> bool:
    """Whether this is a CI system: it sets `CI`, and not to "", "0" or "false"."""
    found = (os.environ if environment is None else environment).get("CI", "")
    return found.strip().lower() not in {"", "0", "false"}


def allowed_mode(mode: Mode | str, environment: Mapping[str, str] | None = None) -> Mode:
    """The mode that is used if `mode` is wanted: in CI it is a replay, whatever is wanted, unless that is `verify`.

    So no file is made or changed where nobody would look at it, and a test that has no session fails there. `verify`
    needs credentials, writes nothing, and is what a CI run on a schedule is for.

    Raises `ConfigError` for what is no mode.
    """
    wanted = mode if isinstance(mode, Mode) else checked_mode(mode)
    return wanted if wanted in ALLOWED_IN_CI or not is_ci(environment) else Mode.REPLAY


def mode_from_environment(default: Mode | str = Mode.REPLAY, environment: Mapping[str, str] | None = None) -> Mode:
    """The mode that `KICK_RECORD` names, or `default`; where `CI` is set, see `allowed_mode`.

    Raises `ConfigError` if it names none.
    """
    wanted = (os.environ if environment is None else environment).get(VARIABLE, "")
    return allowed_mode(wanted if wanted.strip() else default, environment)


# What is written only if all goes well


class Attempt(Recording):
    """A recording whose file is put in place if all went well. If not, it is put aside, as `<name>.rejected`."""

    def __init__(
        self,
        path: Path,
        *,
        secret_texts: Iterable[str | Secret] = (),
        allow: Iterable[str] = (),
        seed: str | None = None,
    ) -> None:
        super().__init__(path, secret_texts=secret_texts, allow=allow, seed=seed)
        self.is_rejected = False
        self.rejected_path: Final = path.with_name(f"{path.name}.rejected")

    def _put_in_place(self, text: bytes) -> None:
        if not self.is_rejected:
            super()._put_in_place(text)
            with suppress(OSError):
                self.rejected_path.unlink(missing_ok=True)
            return
        # Others may reject the same at the same time.
        temporary = self.rejected_path.with_name(f".{self.rejected_path.name[:100]}.{secrets.token_hex(4)}")
        try:
            _ = temporary.write_bytes(text)
            _ = temporary.replace(self.rejected_path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise SessionError(f"{shown_path(self.rejected_path)} cannot be written: {error.strerror}") from None
        finally:
            self._drop_part()


class Continuation(Attempt):
    """A recording that goes on where a session ends: its lines stay, octet for octet, and its aliases are not used for
    anything else. `texts` are what some of them stand for.
    """

    def __init__(
        self,
        path: Path,
        session: Session,
        rows: list[str],
        app: App | None,
        texts: Mapping[str, str],
        begun: Iterable[str],
        *,
        secret_texts: Iterable[str | Secret] = (),
        allow: Iterable[str] = (),
    ) -> None:
        super().__init__(path, allow=allow, seed=session.header.seed)
        self._learn_aliases(session.header.sizes, rows, texts)
        for text in secret_texts:
            self.disguise.see("sec", text.reveal() if isinstance(text, Secret) else text)
        for name in begun:
            _ = self._names.number(name)
        self._app = app
        self._lines = rows
        self._count = len(session.lines)
        self._kinds = set(session.header.kinds)
        self._ended = dict(session.footer.ended) if session.footer else {}
        # A session without lines has not begun.
        self._started = session.header.micros if session.lines else None
        if self._part is not None:
            with suppress(OSError):
                _ = self._part.write("\n".join([self.header(is_whole=False).decode(), *rows, ""]) if rows else "")

    def _learn_aliases(self, sizes: Mapping[str, int], rows: list[str], texts: Mapping[str, str]) -> None:
        used = [alias.partition(":") for alias in sizes]
        used += [(role, ":", number) for row in rows for role, number in ALIAS_TEXT.findall(row) if role]
        last: dict[str, int] = {}
        for role, _, number in used:
            last[role] = max(last.get(role, 0), int(number))
        for role, count in last.items():
            for alias in (f"{role}:{number}" for number in range(1, count + 1)):
                for text in (texts.get(alias), fake(alias, sizes.get(alias, 0))):
                    if text is not None and alias not in self.disguise.sizes:
                        self.disguise.see(role, text)
        self.disguise.sizes.update(sizes)


class Guarded:
    """A live interpreter that is asked only for what `check` lets pass."""

    def __init__(self, interpreter: Interpreter, check: Callable[[Leaf], None]) -> None:
        self._interpreter = interpreter
        self._check = check
        self.app: object = getattr(interpreter, "app", None)

    async def __call__(self, effect: Leaf, /) -> object:
        """Answer an effect, unless `check` raises."""
        self._check(effect)
        return await self._interpreter(effect)

    def turn(self, slot: Slot) -> Turn:
        """The line in which tasks wait."""
        return self._interpreter.turn(slot)

    def hold(self, slot: Slot) -> AbstractAsyncContextManager[object]:
        """Wait for the slot among processes."""
        return self._interpreter.hold(slot)


# One use of a session file


def by_environment(mode: Mode) -> str:
    """How to say which mode is wanted: for messages."""
    return f"set {VARIABLE}={mode}"


class Take:
    """One use of a session file, by a mode: what drives programs, and what is done with the file at the end.

        take = Take("login.kcs.jsonl", Mode.RECORD)
        user = await take.run(fetch_user(123), interpreter)
        take.close()

    Without a mode, `KICK_RECORD` tells it; in CI it is a replay or `verify` (see `allowed_mode`), whatever is wanted.

    * `order`, `speed`, `patience`, `on_notice`: of the replay, as for `Player`.
    * `bind` gives real texts for aliases, such as `{"at:1": token}`: a program that goes on live after a replay has
      them, and what the replay made up is never sent.
    * `secret_texts`, `allow`, `seed`: of the recording, as for `Recording`.
    * `how` tells people how to ask for a mode; `closes_with_client` is whether closing a client that uses it closes it.

    Raises `SessionError` if there is no file where one is needed, or it is no session; `ConfigError` for what is no
    mode, and for aliases in `bind` that cannot be told apart.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Mode | str | None = None,
        *,
        order: Order | str = Order.RECORDED,
        speed: float | None = None,
        patience: float = PATIENCE,
        on_notice: Callable[[Notice], None] | None = None,
        bind: Mapping[str, str | Secret] | None = None,
        secret_texts: Iterable[str | Secret] = (),
        allow: Iterable[str] = (),
        seed: str | None = None,
        how: Callable[[Mode], str] = by_environment,
        closes_with_client: bool = True,
    ) -> None:
        self.path: Final = Path(path)
        self.mode: Final = mode_from_environment() if mode is None else allowed_mode(mode)
        self.closes_with_client: Final = closes_with_client
        self._name: Final = shown_path(path)
        self._how: Final = how
        self._bound: Final = {
            alias: text.reveal() if isinstance(text, Secret) else text for alias, text in (bind or {}).items()
        }
        self._secret_texts: Final = tuple(secret_texts)
        self._allow: Final = tuple(allow)
        self._new_player: Final = partial(
            Player,
            order=order,
            bind=self._bound,
            on_notice=on_notice,
            patience=patience,
            speed=speed,
            fix=f"if this is intended, {how(Mode.RERECORD)}",
        )
        self._player: Player | None = None
        self._recording: Recording | None = None
        self._recorded: Session | None = None
        self._rows: list[str] = []
        self._names = Names()
        self._known: frozenset[str] = frozenset()
        self._begun: dict[str, str] = {}
        self._made_up: dict[str, str] = {}
        self._refusal = ""
        self._told: str | None = None
        self._begin(seed)

    def _begin(self, seed: str | None) -> None:
        is_there = self.path.exists()
        match self.mode:
            case Mode.VERIFY:
                self._recorded = self._loaded()
                self._recording = Recording(secret_texts=self._secret_texts, allow=self._allow, seed=seed)
            case Mode.OFF:
                self._recording = Recording(secret_texts=self._secret_texts, allow=self._allow, seed=seed)
            case Mode.RERECORD | Mode.RECORD | Mode.EXTEND if self.mode is Mode.RERECORD or not is_there:
                self._recording = Attempt(self.path, secret_texts=self._secret_texts, allow=self._allow, seed=seed)
            case _:
                self._player = self._replaying(self._loaded())

    def _loaded(self) -> Session:
        if not self.path.exists():
            where = "; in CI nothing is recorded, so do it elsewhere" if is_ci() else ""
            raise SessionError(
                f"{self._name} is not there, and nothing was asked of Kick; "
                f"to record it, {self._how(Mode.RECORD)}{where}"
            )
        return load(self.path)

    def _replaying(self, session: Session) -> Player:
        if self.mode is Mode.EXTEND:
            # The lines as they are, and the session that they are: somebody else may be about to replace the file.
            octets = self.path.read_bytes()
            session = read(octets, self._name)
            self._rows = octets.decode().split("\n")[1:-2]
            self._known = frozenset(session.programs)
        try:
            return self._new_player(session)
        except Clash:
            raise ConfigError("bind gives the same text for two aliases; a replay cannot tell them apart") from None

    # What is used

    @property
    def is_live(self) -> bool:
        """Whether programs are answered by a live interpreter now."""
        return self._recording is not None

    @property
    def may_need_kick(self) -> bool:
        """Whether programs are answered by a live interpreter, or may come to be."""
        return self.is_live or self.mode is Mode.EXTEND

    @property
    def player(self) -> Player | None:
        """What replays, as long as nothing is live."""
        return None if self.is_live else self._player

    @property
    def session(self) -> Session:
        """What was recorded so far, or what is replayed."""
        if self._recording is not None:
            return self._recording.session
        return self._replayed.session

    @property
    def _replayed(self) -> Player:
        if self._player is None:
            raise ConfigError("this take replays nothing")
        return self._player

    def lines(self) -> tuple[Line, ...]:
        """The lines that programs were answered with so far, in order."""
        if self._recording is not None:
            return self._recording.session.lines
        player = self._replayed
        return tuple(player.session.lines[number] for number in player.delivered)

    def history(self, last: int = 10) -> dict[str, list[str]]:
        """The last things that each program was given: for a report."""
        if self._recording is None:
            return self._replayed.history(last)
        session = self._recording.session
        told: dict[str, list[str]] = {}
        for line, number in zip(session.lines, session.numbers, strict=True):
            outcome = "cancelled" if line.cancel else "raised" if line.failure else "answered"
            told.setdefault(line.p, []).append(f"{number} {summary(line.k, bytes(line.q))} {outcome}")
        return {name: rows[-last:] for name, rows in told.items()}

    async def run(
        self,
        program: Program[T],
        interpreter: Interpreter | None = None,
        *,
        label: str | None = None,
        account: str | None = None,
    ) -> T:
        """Run a program: by the session, or by the interpreter, which is not asked in a replay.

        Raises what the program raises, `ReplayDivergence`, and `SessionError` where the mode does not let it go on.
        """
        if account is None:
            app: object = getattr(interpreter, "app", None)
            account = app.account if isinstance(app, App) else ""
        player = self._player_of(program, label, account)
        if player is not None:
            return await player.run(program, label=label, account=account)
        if interpreter is None:
            raise self._nobody()
        recording = self._recording
        if recording is None:
            recording = self._go_live(await interpreter(LoadApp()))
        if self._made_up:
            interpreter = Guarded(interpreter, self._check)
        try:
            value = await recording.run(program, interpreter, label=label, account=account)
        except Exception:
            self._raise_refusal()
            raise
        self._raise_refusal()
        return value

    def run_sync(
        self,
        program: Program[T],
        answer: Callable[[Leaf], object] | None = None,
        *,
        label: str | None = None,
        account: str = "",
    ) -> T:
        """The same without an event loop, as `interpreters.driver.run_sync` does it."""
        player = self._player_of(program, label, account)
        if player is not None:
            return player.run_sync(program, label=label, account=account)
        if answer is None:
            raise self._nobody()
        recording = self._recording or self._go_live(answer(LoadApp()))

        def guarded(effect: Leaf) -> object:
            self._check(effect)
            return answer(effect)

        try:
            value = recording.run_sync(program, guarded, label=label, account=account)
        except Exception:
            self._raise_refusal()
            raise
        self._raise_refusal()
        return value

    def _nobody(self) -> ConfigError:
        return ConfigError(f"with mode {self.mode}, a live interpreter is needed")

    # From the file to the world

    def _player_of(self, program: Program[Any], label: str | None, account: str) -> Player | None:
        """The player, if it has the program; None if the program is a live one."""
        if self._told is not None:
            raise ConfigError("this session was closed; begin another one")
        player = self._player
        if self._recording is not None or player is None:
            return None
        if self.mode is not Mode.EXTEND:
            return player
        name = label
        if name is None:
            name = named(program, player.bindings.hidden) + (f" as {account}" if account else "")
        numbered = self._names.number(name)
        if numbered not in self._known:
            return None
        self._begun[numbered] = name
        return player

    def _go_live(self, live: object) -> Recording:
        """End the replay, all of which must have been asked for, and go on recording behind it."""
        if self._recording is not None:
            return self._recording
        player = self._replayed
        self._check_end(player)
        sizes = player.session.header.sizes
        texts = dict(self._bound)
        app = None if player.session.header.app is None else replace(player.app, account="")
        if app is not None and isinstance(live, App):
            told = player.session.header.app
            found = ALIAS_TEXT.fullmatch(told.client_secret) if told else None
            is_same = replace(live, account="", client_secret=app.client_secret) == app
            if found is not None and is_same and live.client_secret.reveal() not in texts.values():
                # The one secret of the recording that whoever goes on is sure to have.
                texts[found[0][1:-1]] = live.client_secret.reveal()
                app = replace(live, account="")
        made_up = {fake(alias, size): alias for alias, size in sizes.items()}
        self._made_up = {
            text: alias
            for text, alias in sorted(made_up.items(), key=lambda item: -len(item[0]))
            if player.bindings.text_of(alias) == text
        }
        self._recording = Continuation(
            self.path,
            player.session,
            self._rows,
            app,
            texts,
            self._begun.values(),
            secret_texts=self._secret_texts,
            allow=self._allow,
        )
        return self._recording

    def _check_end(self, player: Player) -> None:
        session = player.session
        player.pump()
        asked_for = {line.p for line in session.lines if not line.cancel}
        missing = [name for name in session.programs if name in asked_for and not self._is_begun(name)]
        if missing:
            raise SessionError(
                f"{self._name} has programs that were not asked for when the live part was to begin: "
                f"{', '.join(missing[:6])}; it is as it was; run what it has first, or {self._how(Mode.RERECORD)}"
            )
        if session.footer is not None and session.footer.open:
            raise SessionError(
                f"{self._name} cannot be gone on with: {', '.join(session.footer.open[:6])} had not ended when it was "
                f"closed; it is as it was; {self._how(Mode.RERECORD)}"
            )
        player.finish()

    def _is_begun(self, name: str) -> bool:
        parent, _, child = name.rpartition("/")
        # What a program does beside itself begins with it.
        return name in self._begun or (child.isdigit() and parent in self._known and self._is_begun(parent))

    def _check(self, effect: Leaf) -> None:
        """Raise `SessionError` if an effect would take a made-up text into the world."""
        if not self._made_up or isinstance(effect, Now | Entropy):
            return
        if not self._refusal:
            alias = self._made_up_in(effect)
            if alias is None:
                return
            role = ROLES.get(alias.partition(":")[0], "secret")
            self._refusal = (
                f"{self._name}: what goes on live would use a text that the replay made up for «{alias}» ({role}); it "
                f"was not sent, and the file is as it was; give the real one: bind={{{alias!r}: ...}}"
            )
        raise SessionError(self._refusal)

    def _made_up_in(self, effect: Leaf) -> str | None:
        # Apart, because whoever sees the traceback of a refusal shall not see the secrets beside it.
        text = ask(effect).decode("utf-8", "replace")
        return next((alias for made_up, alias in self._made_up.items() if made_up in text), None)

    def _raise_refusal(self) -> None:
        if self._refusal:
            raise SessionError(self._refusal) from None

    # The end

    def close(self, *, failed: bool = False) -> str:
        """End it. Gives a sentence on what was kept of a recording that failed, else "".

        Without `failed`, a replay raises `ReplayDivergence` if it has lines that nobody has asked for; a recording is
        put in place, or `LeakSuspected` is raised; `verify` raises `AnswersChanged`. With it, nothing is raised, no
        file changes, and what was recorded stands beside the file, as `<name>.rejected`.
        """
        if self._told is None:
            self._told = ""
            self._told = self._end(failed=failed)
        return self._told

    def discard(self) -> None:
        """End it, and keep nothing of what was recorded."""
        if self._told is None:
            self._told = ""
            if self._recording is not None:
                self._recording.discard()
            elif self._player is not None:
                self._player.close()

    def _end(self, *, failed: bool) -> str:
        recording = self._recording
        if recording is None:
            player = self._replayed
            player.close() if failed else player.finish()
            return ""
        if isinstance(recording, Attempt):
            return self._end_of_attempt(recording, failed=failed)
        try:
            if self._recorded is not None and not failed:
                self._compare(self._recorded, recording.session)
        finally:
            recording.discard()
        return ""

    def _end_of_attempt(self, recording: Attempt, *, failed: bool) -> str:
        recording.is_rejected = failed or bool(self._refusal)
        try:
            _ = recording.close()
        except SessionError as error:
            if not failed:
                raise
            return f"nothing was kept of what was recorded: {error}"
        if not failed:
            self._raise_refusal()
            return ""
        return self.kept

    @property
    def kept(self) -> str:
        """What is kept of a recording that failed."""
        if not isinstance(self._recording, Attempt):
            return ""
        old = f"{self._name} is as it was" if self.path.exists() else f"there is no {self._name}"
        return f"what was recorded is in {shown_path(self._recording.rejected_path)}, and {old}"

    def _compare(self, recorded: Session, now: Session) -> None:
        changes = shape_changes(recorded, now)
        if changes:
            told = "; ".join(changes[:5]) + (f"; and {len(changes) - 5} more" if len(changes) > 5 else "")
            raise AnswersChanged(
                f"Kick's answers have another shape than in {self._name}: {told}; the file is as it was; to have "
                f"today's answers, {self._how(Mode.RERECORD)}",
                changes=changes,
            )
