"""What is told of long work where there is no terminal."""

import io

from rich.console import Console

from flows import progress
from flows.progress import StageProgress


def test_a_pipe_hears_of_every_stage_and_of_slow_ones_now_and_then(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    text = io.StringIO()
    with StageProgress(Console(file=text, width=120)) as told:
        told("reading", 0, 3)
        told("reading", 1, 3)
        for fold, clock in enumerate((1.0, 4.0, 20.0, 21.0, 40.0)):
            now[0] = clock
            told("cross-validation", fold, 10)
    assert text.getvalue().splitlines() == [
        "reading: 3",
        "cross-validation: 10",
        "cross-validation: 2 of 10",
        "cross-validation: 4 of 10",
    ]
