"""Reading questions as people type them.

    question    = property | "stability" | order | transitions | comparison
    property    = ("free-energy" | "entropy" | "heat-capacity") [at] [within]
    order       = "order" [window] [within]
    transitions = "transitions" [window] ["below" number ["meV/atom"]]
    comparison  = quantity ("<" | "<=" | ">" | ">=") number
    at          = "at" number {"," number} "K"
    window      = "from" number "to" number "K" | "at" number "K"
    within      = "within" number [unit]

A quantity is a field of the vibrational summary, such as free_energy_300k_mev_per_atom.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from screening.decisions.contradictions import check_questions
from screening.decisions.questions import (
    DEFAULT_TEMPERATURE_K,
    DEFAULT_WINDOW_K,
    PROPERTIES,
    FilterQuestion,
    OrderQuestion,
    PropertyQuestion,
    Question,
    StabilityQuestion,
    TransitionQuestion,
    number_text,
)
from screening.errors import SettingError
from screening.quantities import Property, Quantity

__all__ = ["parse_question", "parse_questions"]

_NUMBER = r"[+-]?(?:[0-9]{1,300}\.?[0-9]{0,300}|\.[0-9]{1,300})(?:e[+-]?[0-9]{1,4})?|[+-]?inf|nan"
_AT = rf"(?: at (?P<at>(?:{_NUMBER})(?: ?, ?(?:{_NUMBER}))*) ?K)?"
_WINDOW = rf"(?: from (?P<lowest>{_NUMBER}) to (?P<highest>{_NUMBER}) ?K)?"
_WITHIN = rf"(?: within (?P<tolerance>{_NUMBER})(?: (?P<unit>\S+))?)?"
_BELOW = rf"(?: below (?P<tolerance>{_NUMBER})(?: (?P<unit>\S+))?)?"
_PROPERTY = re.compile(rf"(?P<word>free_energy|entropy|heat_capacity){_AT}{_WITHIN}", re.IGNORECASE)
_ORDER = re.compile(rf"order{_WINDOW}{_AT}{_WITHIN}", re.IGNORECASE)
_TRANSITIONS = re.compile(rf"transitions?{_WINDOW}{_AT}{_BELOW}", re.IGNORECASE)
_COMPARISON = re.compile(
    rf"(?P<name>[a-z0-9_]+) ?(?P<operator><=|>=|<|>) ?(?P<bound>{_NUMBER})", re.IGNORECASE
)
_MAX_LENGTH = 1000
_EXAMPLES = (
    "Write free-energy, entropy, heat-capacity, stability, order, transitions, "
    "or a comparison such as 'free_energy_300k_mev_per_atom < 20'"
)


@dataclass(frozen=True)
class _Draft:
    """A question as far as its text goes, and how to make the rest of it.

    ``tolerance_unit`` is None where the question has no tolerance to be given apart; ``make``
    takes what the text leaves open.
    """

    text: str
    tolerance_unit: str | None
    tolerance: float | None
    has_temperatures: bool
    temperatures_k: tuple[float, ...] | None
    make: Callable[[float | None, tuple[float, ...] | None], Question]


def parse_question(
    text: str,
    *,
    tolerance: float | None = None,
    temperatures_k: Sequence[float] | None = None,
) -> Question:
    """Read one question.

    Parameters
    ----------
    text
        A short word, a comparison, or the canonical text of a question.
    tolerance
        Tolerance of a property in its unit (meV/atom or meV/K/atom), where the text has none.
    temperatures_k
        Temperatures of a property in K, or the ends of the window of an order or of
        transitions, where the text has none.

    Raises
    ------
    SettingError
        If the text is no question, says something else than the options, lacks its
        tolerance, or is given one that it does not take.

    Examples
    --------
    >>> parse_question("free-energy", tolerance=10).text
    'free_energy at 300 K within 10 meV/atom'
    """
    grid = None if temperatures_k is None else tuple(temperatures_k)
    draft = _draft(text)
    if tolerance is not None and draft.tolerance_unit is None:
        raise _takes_no_tolerance([draft])
    if grid is not None and not draft.has_temperatures:
        raise _takes_no_temperatures([draft])
    return _finished(draft, tolerance, grid)


def parse_questions(
    texts: Sequence[str],
    *,
    tolerance: float | None = None,
    temperatures_k: Sequence[float] | None = None,
) -> tuple[Question, ...]:
    """Read several questions about the same materials; every option goes where it is taken.

    Returns
    -------
    tuple of Question
        In the order given, without repeats.

    Raises
    ------
    SettingError
        As for one question; if no question takes an option, if a tolerance would be taken in
        two units, or if the questions contradict each other.
    """
    grid = None if temperatures_k is None else tuple(temperatures_k)
    drafts = [_draft(text) for text in texts]
    tolerant = [one for one in drafts if one.tolerance_unit is not None and one.tolerance is None]
    if tolerance is not None:
        _check_one_unit(drafts, tolerant)
    timely = [one for one in drafts if one.has_temperatures and one.temperatures_k is None]
    if grid is not None and not timely:
        raise _takes_no_temperatures(drafts)
    return check_questions(
        [
            _finished(one, tolerance if one in tolerant else None, grid if one in timely else None)
            for one in drafts
        ]
    )


def _check_one_unit(drafts: Sequence[_Draft], tolerant: Sequence[_Draft]) -> None:
    """See that one number can be the tolerance of all these."""
    if not tolerant:
        raise _takes_no_tolerance(drafts)
    if len({one.tolerance_unit for one in tolerant}) > 1:
        named = " and ".join(f"{one.text!r} in {one.tolerance_unit}" for one in tolerant)
        raise SettingError(
            f"one tolerance cannot be for {named}",
            subject="tolerance",
            hint="Write each into its question, such as 'free-energy within 10 meV/atom'",
        )


def _takes_no_tolerance(drafts: Sequence[_Draft]) -> SettingError:
    return SettingError(
        f"{' and '.join(repr(one.text) for one in drafts)} takes no tolerance",
        subject="tolerance",
        hint="Leave it out; an order is written 'order within 1 meV/atom', "
        "transitions 'transitions below 10 meV/atom'",
    )


def _takes_no_temperatures(drafts: Sequence[_Draft]) -> SettingError:
    return SettingError(
        f"{' and '.join(repr(one.text) for one in drafts)} takes no further temperature",
        subject="temperatures_k",
        hint="Leave it out, or ask for a quantity at its temperature, "
        "such as free_energy_500k_mev_per_atom < 20",
    )


def _finished(
    draft: _Draft, tolerance: float | None, temperatures_k: tuple[float, ...] | None
) -> Question:
    """Join what the text says and what the options say."""
    for given, said, subject in (
        (tolerance, draft.tolerance, "tolerance"),
        (temperatures_k, draft.temperatures_k, "temperatures_k"),
    ):
        if given is not None and said is not None and given != said:
            raise SettingError(
                f"{draft.text!r} says {said}, the option {given}",
                subject=subject,
                hint="Say it once",
            )
    return draft.make(
        draft.tolerance if tolerance is None else tolerance,
        draft.temperatures_k if temperatures_k is None else temperatures_k,
    )


def _draft(text: str) -> _Draft:
    plain = " ".join(text.split())
    if len(plain) > _MAX_LENGTH:
        raise SettingError(f"a question of {len(plain)} characters", subject="question")
    worded = re.sub(r"(?i)^(free|heat)[- ](energy|capacity)\b", r"\1_\2", plain)
    if worded.lower() == "stability":
        return _Draft(plain, None, None, False, None, lambda *_: StabilityQuestion())
    for pattern, read in (
        (_PROPERTY, _property),
        (_ORDER, _order),
        (_TRANSITIONS, _transitions),
        (_COMPARISON, _comparison),
    ):
        if found := pattern.fullmatch(worded):
            return read(plain, found)
    raise SettingError(f"{plain!r} is no question", subject="question", hint=_EXAMPLES)


def _property(text: str, found: re.Match[str]) -> _Draft:
    kind = next(one for one in PROPERTIES if one.value == found["word"].lower())

    def make(tolerance: float | None, grid: tuple[float, ...] | None) -> Question:
        if tolerance is None:
            raise SettingError(
                f"{text!r} has no tolerance",
                subject="tolerance",
                hint=f"Give one in {kind.unit}, such as '{kind.value} within 10 {kind.unit}'",
            )
        return PropertyQuestion(kind, tolerance, (DEFAULT_TEMPERATURE_K,) if grid is None else grid)

    return _Draft(text, kind.unit, _tolerance(found, kind.unit), True, _grid(found), make)


def _order(text: str, found: re.Match[str]) -> _Draft:
    resolution = _tolerance(found, Property.FREE_ENERGY.unit) or 0.0

    def make(_: float | None, grid: tuple[float, ...] | None) -> Question:
        return OrderQuestion(*_window(grid), resolution_mev_per_atom=resolution)

    return _Draft(text, None, None, True, _grid(found), make)


def _transitions(text: str, found: re.Match[str]) -> _Draft:
    said = _tolerance(found, Property.FREE_ENERGY.unit)

    def make(_: float | None, grid: tuple[float, ...] | None) -> Question:
        question = TransitionQuestion(*_window(grid))
        if said is None:
            return question
        return TransitionQuestion(*_window(grid), candidate_mev_per_atom=said)

    return _Draft(text, None, None, True, _grid(found), make)


def _comparison(text: str, found: re.Match[str]) -> _Draft:
    question = FilterQuestion(
        Quantity.parse(found["name"].lower()), found["operator"], float(found["bound"])
    )
    return _Draft(text, None, None, False, None, lambda *_: question)


def _grid(found: re.Match[str]) -> tuple[float, ...] | None:
    """Temperatures that the text names."""
    parts = found.groupdict()
    if parts["at"] is not None:
        return tuple(sorted({float(part) for part in parts["at"].split(",")}))
    if parts.get("lowest") is None:
        return None
    return float(parts["lowest"]), float(parts["highest"])


def _window(grid: tuple[float, ...] | None) -> tuple[float, float]:
    """Return the ends of a window; of one temperature, this temperature twice."""
    if grid is None:
        return DEFAULT_WINDOW_K
    if len(grid) not in {1, 2}:
        raise SettingError(
            f"{len(grid)} temperatures are no window: {', '.join(map(number_text, grid))}",
            subject="temperatures_k",
            hint="Give its two ends in K",
        )
    return grid[0], grid[-1]


def _tolerance(found: re.Match[str], unit: str) -> float | None:
    """Return the number after ``within`` or ``below``, in the unit expected."""
    if found["tolerance"] is None:
        return None
    if found["unit"] is not None and found["unit"].lower() != unit.lower():
        raise SettingError(
            f"{found['unit']!r} is not the unit here", subject="question", hint=f"Write {unit}"
        )
    return float(found["tolerance"])
