"""Which polymorphs come near the one of lowest static energy, as far as it is settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from screening.decisions.courses import Course, Finding, Pair, Polymorph
from screening.decisions.outcome import Answer, Reason
from screening.decisions.questions import TransitionQuestion, number_text
from screening.decisions.wording import window_text

__all__ = ["candidate_answer", "candidate_findings", "reference_of"]


def reference_of(polymorphs: Sequence[Polymorph]) -> str | None:
    """Return the polymorph of lowest static energy, by name where equal.

    None where one that can be compared has no energy of the method of the others.
    """
    if any(one.is_usable and one.static_energy_ev_per_atom is None for one in polymorphs):
        return None
    known = [
        (one.static_energy_ev_per_atom, one.material_id)
        for one in polymorphs
        if one.static_energy_ev_per_atom is not None
    ]
    return min(known)[1] if known else ""


def candidate_findings(
    question: TransitionQuestion, reference: str, courses: Mapping[Pair, Course]
) -> dict[Pair, Finding]:
    """Say of every pair with the reference whether its second is surely a candidate or not."""
    found = {}
    for course in _from_reference(reference, courses):
        near = question.candidate_mev_per_atom
        surely = any(one.upper < near for one in course.intervals)
        surely_not = all(one.lower >= near for one in course.intervals)
        reason = course.trouble
        if reason is None and not surely and not surely_not:
            reason = course.open_reason(Reason.TRANSITIONS_UNDECIDED)
        lowest = min(
            course.intervals, key=lambda one: one.upper if surely else one.lower, default=None
        )
        found[course.pair] = Finding(reason, lowest)
    return found


def candidate_answer(
    question: TransitionQuestion, reference: str, courses: Mapping[Pair, Course]
) -> Answer:
    """Return the candidates with where they surely are some, and what is not settled."""
    candidates, texts = [], []
    others, undecided = [], []
    findings = candidate_findings(question, reference, courses)
    for course in _from_reference(reference, courses):
        name, window = course.pair[0], _surely_near(question, course)
        if findings[course.pair].reason:
            undecided.append(name)
        elif window:
            lowest_k, highest_k = window
            ends = {"lowest_temperature_k": lowest_k, "highest_temperature_k": highest_k}
            candidates.append({"material_id": name, **ends})
            texts.append(f"{name} {window_text(lowest_k, highest_k)}")
        else:
            others.append(name)
    near = number_text(question.candidate_mev_per_atom)
    text = f"below {near} meV/atom above {reference}: {', '.join(texts) or 'none'}"
    if undecided:
        text += f"; not settled: {', '.join(undecided)}"
    content = {
        "kind": "transitions",
        "reference_id": reference,
        "candidates": candidates,
        "others": others,
        "undecided": undecided,
    }
    return Answer(text, content)


def _surely_near(question: TransitionQuestion, course: Course) -> tuple[float, float] | None:
    """Return the lowest and highest temperature where the first is surely a candidate."""
    grid = [
        one.quantity.temperature_k or 0.0
        for one in course.intervals
        if one.upper < question.candidate_mev_per_atom
    ]
    return (grid[0], grid[-1]) if grid else None


def _from_reference(reference: str, courses: Mapping[Pair, Course]) -> list[Course]:
    """Differences of all others to the reference, by name."""
    pairs = [pair for pair in sorted(courses) if reference in pair]
    found = []
    for pair in pairs:
        other = pair[1] if pair[0] == reference else pair[0]
        found.append(courses[pair].seen_from(other))
    return sorted(found, key=lambda course: course.pair)
