"""Hypothesis strategies for programs and stores, time that is moved by hand, faults, and the checks for stores.

    @given(worlds())
    def test_my_program_survives_whatever_happens(world):
        with suppress(KickError):
            run_sync(my_program(), world)

This needs the extra `testing`. Nothing here waits, reads a clock or draws by itself but what Hypothesis draws; and what
runs on an event loop, the checks for stores, is that of `interpreters.tokens.conformance`.
"""

from importlib.util import find_spec

if find_spec("hypothesis") is None:
    raise ImportError("kickcore.testing needs Hypothesis; install it with: pip install 'kickcore[testing]'")

from interpreters.tokens.conformance import (
    CHECKS,
    BrokenPromise,
    Check,
    Drop,
    Keeper,
    Load,
    MakeSubject,
    Operation,
    Save,
    Script,
    Subject,
    conforms,
    follow,
    promise,
    scripts,
)
from interpreters.tokens.faulty import (
    FailHold,
    FailLoad,
    FailSave,
    FaultyStore,
    LoseSave,
    MisnameVersion,
    Overtake,
    SaveFault,
)
from kickcore.testing.answers import (
    TokenAnswer,
    failures,
    json_response,
    limits,
    responses,
    statuses,
    token_answers,
    unreachables,
    waits,
)
from kickcore.testing.clocks import Advance, Clock, Jump, Move, Suspend, move_sequences, moves, timed
from kickcore.testing.damage import cut, cuts, damaged
from kickcore.testing.faults import (
    CutAnswer,
    Fault,
    FaultyWorld,
    GiveAnswer,
    LoseAnswer,
    LoseRequest,
    Schedule,
    SendFault,
    SlowAnswer,
    before,
    save_faults,
    schedules,
    send_faults,
    strike,
)
from kickcore.testing.kick import ApiAnswer, api_answers, as_simulated
from kickcore.testing.stores import contents, stored
from kickcore.testing.tokens import Phase, is_in, moved, tokens
from kickcore.testing.values import (
    NOW,
    apps,
    attempts,
    bearer_secrets,
    bearer_texts,
    few_secrets,
    instants,
    json_values,
    needs,
    scope_texts,
    scope_tuples,
    slots,
)
from kickcore.testing.worlds import DrawnWorld, Mood, answers_to, callbacks, paces, worlds

__all__ = [
    "CHECKS",
    "NOW",
    "Advance",
    "ApiAnswer",
    "BrokenPromise",
    "Check",
    "Clock",
    "CutAnswer",
    "DrawnWorld",
    "Drop",
    "FailHold",
    "FailLoad",
    "FailSave",
    "Fault",
    "FaultyStore",
    "FaultyWorld",
    "GiveAnswer",
    "Jump",
    "Keeper",
    "Load",
    "LoseAnswer",
    "LoseRequest",
    "LoseSave",
    "MakeSubject",
    "MisnameVersion",
    "Mood",
    "Move",
    "Operation",
    "Overtake",
    "Phase",
    "Save",
    "SaveFault",
    "Schedule",
    "Script",
    "SendFault",
    "SlowAnswer",
    "Subject",
    "Suspend",
    "TokenAnswer",
    "answers_to",
    "api_answers",
    "apps",
    "as_simulated",
    "attempts",
    "bearer_secrets",
    "bearer_texts",
    "before",
    "callbacks",
    "conforms",
    "contents",
    "cut",
    "cuts",
    "damaged",
    "failures",
    "few_secrets",
    "follow",
    "instants",
    "is_in",
    "json_response",
    "json_values",
    "limits",
    "move_sequences",
    "moved",
    "moves",
    "needs",
    "paces",
    "promise",
    "responses",
    "save_faults",
    "schedules",
    "scope_texts",
    "scope_tuples",
    "scripts",
    "send_faults",
    "slots",
    "statuses",
    "stored",
    "strike",
    "timed",
    "token_answers",
    "tokens",
    "unreachables",
    "waits",
    "worlds",
]
