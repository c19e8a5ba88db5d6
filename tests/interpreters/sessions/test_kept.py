"""Sessions that were recorded once are replayed for ever: what they hold must still be what the code does.

There is one of each format that was ever released, recorded on CPython 3.11 on asyncio and on trio.
"""

from pathlib import Path

import pytest

from interpreters.sessions import Order, Player, load, replayed
from interpreters.sessions.lines import FORMAT
from interpreters.sessions.playing import begin_all

KEPT = sorted((Path(__file__).parents[2] / "sessions").glob("format-*.jsonl"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
@pytest.mark.parametrize("order", Order)
def test_a_kept_session_replays_with_todays_code(path: Path, order: Order) -> None:
    session = load(path)
    results = replayed(session, order=order)
    assert len(results) >= 10
    assert session.footer is not None
    failed = {name for name, result in results.items() if isinstance(result, Exception)}
    assert failed == set(session.footer.ended)


def test_there_is_one_of_each_format() -> None:
    assert {load(path).header.kcs for path in KEPT} == set(range(1, FORMAT + 1))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_a_thousand_replays_are_one(path: Path) -> None:
    session, logs = load(path), set[tuple[int, ...]]()
    # The rest of the thousand is made by the benchmarks.
    for _ in range(25):
        player = Player(session)
        _ = begin_all(player)
        player.pump()
        player.finish()
        logs.add(tuple(player.delivered))
    assert logs == {tuple(range(len(session.lines)))}
