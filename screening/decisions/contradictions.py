"""Questions that cannot be asked together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from screening.decisions.questions import (
    FilterQuestion,
    OrderQuestion,
    PropertyQuestion,
    Question,
    TransitionQuestion,
    number_text,
)
from screening.errors import SettingError

__all__ = ["check_questions"]


def check_questions(questions: Sequence[Question]) -> tuple[Question, ...]:
    """Return the questions without repeats.

    Raises
    ------
    SettingError
        If there is none, or two contradict each other: filters that nothing can pass, one
        property at one temperature with two tolerances, or one order (or set of
        transitions) in one window with two distances. Names both and says what to do.

    Examples
    --------
    >>> from screening.decisions.questions import StabilityQuestion
    >>> [one.text for one in check_questions([StabilityQuestion(), StabilityQuestion()])]
    ['stability']
    """
    unique = tuple(dict.fromkeys(questions))
    if not unique:
        raise SettingError(
            "nothing is asked", subject="question", hint="Ask for instance for stability"
        )
    for first, second in combinations(unique, 2):
        problem = _contradiction(first, second)
        if problem:
            raise SettingError(
                f"'{first.text}' and '{second.text}' contradict each other: {problem}",
                subject="question",
                hint="Keep one of them, or screen twice",
            )
    return unique


def _contradiction(first: Question, second: Question) -> str:
    """Say why two questions cannot be asked together; empty where they can."""
    if isinstance(first, FilterQuestion) and isinstance(second, FilterQuestion):
        return _exclusive(first, second)
    if isinstance(first, PropertyQuestion) and isinstance(second, PropertyQuestion):
        return _two_tolerances(first, second)
    if isinstance(first, OrderQuestion) and isinstance(second, OrderQuestion):
        resolutions = first.resolution_mev_per_atom, second.resolution_mev_per_atom
        return _two_distances(first, second, resolutions)
    if isinstance(first, TransitionQuestion) and isinstance(second, TransitionQuestion):
        distances = first.candidate_mev_per_atom, second.candidate_mev_per_atom
        return _two_distances(first, second, distances)
    return ""


def _exclusive(first: FilterQuestion, second: FilterQuestion) -> str:
    """Two filters on one quantity that no value passes."""
    upper, lower = (first, second) if first.operator.startswith("<") else (second, first)
    if first.quantity != second.quantity or not lower.operator.startswith(">"):
        return ""
    if not upper.operator.startswith("<") or lower.bound < upper.bound:
        return ""
    if lower.bound == upper.bound and {lower.operator, upper.operator} == {"<=", ">="}:
        return ""
    return "no value passes both"


def _two_tolerances(first: PropertyQuestion, second: PropertyQuestion) -> str:
    shared = sorted(set(first.temperatures_k) & set(second.temperatures_k))
    if first.kind is not second.kind or first.tolerance == second.tolerance or not shared:
        return ""
    return f"two tolerances at {', '.join(map(number_text, shared))} K"


def _two_distances(
    first: OrderQuestion | TransitionQuestion,
    second: OrderQuestion | TransitionQuestion,
    distances_mev_per_atom: tuple[float, float],
) -> str:
    lowest = max(first.lowest_temperature_k, second.lowest_temperature_k)
    highest = min(first.highest_temperature_k, second.highest_temperature_k)
    one, other = map(number_text, distances_mev_per_atom)
    if one == other or lowest > highest:
        return ""
    return f"{one} and {other} meV/atom from {number_text(lowest)} to {number_text(highest)} K"
