"""The policy for questions about the polymorphs of one composition.

Decided from intervals of differences, never from two intervals. Where all polymorphs have
usable numbers, only the members of undecided pairs are escalated. Where one has none, nothing
is accepted, for what is said of the others leaves it out: if a better method may give it
numbers, the others get that method too, so that they share one; if none is left, nothing of
the composition is computed any further.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from screening.decisions.candidates import candidate_answer, candidate_findings, reference_of
from screening.decisions.courses import (
    Course,
    Differences,
    Finding,
    Pair,
    Polymorph,
    courses_of,
    turned,
)
from screening.decisions.endings import accepted, failed, invalid, unsettled
from screening.decisions.order import order_answer, order_findings
from screening.decisions.outcome import Answer, Decision, Outcome, Reason, Standing
from screening.decisions.questions import GroupQuestion, OrderQuestion, TransitionQuestion
from screening.decisions.wording import interval_text
from screening.errors import InconsistentDataError, SettingError
from screening.uncertainty.interval import Interval

__all__ = ["GroupDecision", "Polymorph", "decide_group"]

_WORST_FIRST = (
    Reason.OUT_OF_DOMAIN,
    Reason.NOT_CALIBRATED,
    Reason.ORDER_UNDECIDED,
    Reason.TRANSITIONS_UNDECIDED,
)


@dataclass(frozen=True)
class GroupDecision:
    """Decisions on one question about one composition.

    Attributes
    ----------
    decisions
        By material, of those that were asked about and are not waiting.
    units
        Materials that must be escalated together to settle something; every escalated one is
        in one of them.
    answer
        What can be said now, with what is not settled.
    """

    decisions: Mapping[str, Decision]
    units: tuple[frozenset[str], ...]
    answer: Answer


def decide_group(
    question: GroupQuestion, polymorphs: Sequence[Polymorph], differences: Differences
) -> GroupDecision:
    """Decide a question about the polymorphs of one composition.

    Parameters
    ----------
    question
        About the order or the transitions.
    polymorphs
        All of the composition that are known of, each with the standing of its own best
        method.
    differences
        For every pair of materials, in either direction, the intervals of the free energy of
        the first minus that of the second, static energies included, at every temperature of
        the grid in the window. A pair that is missing is undecided. Where both come from the
        reference method, the values are taken as they are.

    Returns
    -------
    GroupDecision
        The same for the same polymorphs in any order.

    Raises
    ------
    SettingError
        If the question is about one crystal or no temperature lies in its window.
    InconsistentDataError
        If a material is given twice, or a difference cannot be used.
    """
    if not isinstance(question, GroupQuestion):
        raise SettingError(f"'{question}' is about one crystal", hint="Decide it with decide")
    members = {one.material_id: one for one in sorted(polymorphs, key=lambda p: p.material_id)}
    if len(members) < len(polymorphs) or not members:
        raise InconsistentDataError("no polymorph, or one given twice", subject=str(question))
    missing = [name for name, one in members.items() if one.is_missing]
    if len(members) == 1 and not missing:
        return _alone(next(iter(members.values())))
    present = {name: one for name, one in members.items() if name not in missing}
    unusable = {name: _unusable(one) for name, one in present.items() if not one.is_usable}
    usable = [one for name, one in present.items() if name not in unusable]
    courses = courses_of(question, usable, differences)
    if isinstance(question, OrderQuestion):
        findings = order_findings(question, courses)
        answer = order_answer(question, [one.material_id for one in usable], courses, findings)
        found = _joined(question, usable, unusable, findings, answer)
    else:
        found = _transitions(question, present, unusable, courses)
    if unusable:
        found = _beside_unusable(found, present, unusable)
    if missing:
        found = _incomplete(question, found, usable, missing)
    asked = {name: one for name, one in found.decisions.items() if members[name].is_asked}
    return replace(found, decisions=asked)


def _alone(polymorph: Polymorph) -> GroupDecision:
    """End a question that a single polymorph answers, computed or not."""
    name = polymorph.material_id
    text = f"{name} is the only polymorph of its composition"
    answer = Answer(text, {"kind": "single", "material_ids": [name]})
    decision = accepted(Reason.SINGLE_POLYMORPH, answer, text, standing=polymorph.standing)
    return GroupDecision({name: decision}, (), answer)


def _incomplete(
    question: GroupQuestion,
    found: GroupDecision,
    usable: Sequence[Polymorph],
    missing: Sequence[str],
) -> GroupDecision:
    """Take back what was accepted without some polymorphs.

    An open pair stays open whatever the others are; which polymorph transitions start from
    may change, so that nothing is escalated for them.
    """
    names = ", ".join(missing)
    detail = f"of the same composition, without numbers yet: {names}"
    held = {Outcome.ACCEPT}
    if isinstance(question, TransitionQuestion):
        held |= {Outcome.ESCALATE}
    comparable = {one.material_id for one in usable}
    decisions = {
        name: replace(
            one,
            outcome=Outcome.REJECT,
            reason=Reason.POLYMORPHS_MISSING,
            next_tier=None,
            answer=None,
            detail=detail,
        )
        if name in comparable and one.outcome in held
        else one
        for name, one in found.decisions.items()
    }
    escalated = {name for name, one in decisions.items() if one.outcome is Outcome.ESCALATE}
    answer = Answer(
        f"{found.answer.text}; without numbers yet: {names}",
        {**found.answer.content, "missing": list(missing)},
    )
    return GroupDecision(decisions, _maximal(unit & escalated for unit in found.units), answer)


def _beside_unusable(
    found: GroupDecision, members: Mapping[str, Polymorph], unusable: Mapping[str, Decision]
) -> GroupDecision:
    """Take back what was accepted without the polymorphs that have no usable numbers."""
    names = ", ".join(f"{name} ({one.reason.value})" for name, one in sorted(unusable.items()))
    lost = ", ".join(name for name, one in sorted(unusable.items()) if one.next_tier is None)
    highest = 0 if lost else max(one.next_tier or 0 for one in unusable.values())
    said = f"of the same composition, without usable numbers: {names}"
    if lost:
        said += f"; no method is left for {lost}"
    decisions = {
        name: _taken_back(one, members[name].standing, said, highest)
        if one.outcome is Outcome.ACCEPT or (lost and one.outcome is Outcome.ESCALATE)
        else one
        for name, one in found.decisions.items()
    }
    escalated = frozenset(name for name, one in decisions.items() if one.next_tier is not None)
    answer = Answer(
        f"{found.answer.text}; without usable numbers: {', '.join(sorted(unusable))}",
        {**found.answer.content, "unusable": sorted(unusable)},
    )
    return GroupDecision(decisions, _components([escalated]), answer)


def _taken_back(decision: Decision, standing: Standing, said: str, highest: int) -> Decision:
    """Escalate towards the highest tier that an unusable polymorph gets, or else reject."""
    next_tier = standing.next_tier if standing.tier < highest else None
    return replace(
        decision,
        outcome=Outcome.REJECT if next_tier is None else Outcome.ESCALATE,
        reason=Reason.POLYMORPH_UNUSABLE,
        next_tier=next_tier,
        answer=None,
        detail=said,
    )


def _unusable(polymorph: Polymorph) -> Decision:
    if polymorph.evidence.failures:
        return failed(polymorph.evidence, polymorph.standing)
    return invalid(polymorph.standing)


def _transitions(
    question: TransitionQuestion,
    members: Mapping[str, Polymorph],
    unusable: Mapping[str, Decision],
    courses: Mapping[Pair, Course],
) -> GroupDecision:
    """Decide the transitions relative to the lowest polymorph that is not given up."""
    lost = {name for name, one in unusable.items() if one.outcome is Outcome.REJECT}
    reference = reference_of([one for name, one in members.items() if name not in lost])
    usable = [one for name, one in members.items() if name not in unusable]
    if reference is None:
        return _without_energies(usable, unusable)
    if reference not in unusable:
        findings = candidate_findings(question, reference, courses)
        answer = candidate_answer(question, reference, courses)
        return _joined(question, usable, unusable, findings, answer)
    others = [one.material_id for one in usable]
    answer = Answer(
        f"not settled: the polymorph of lowest static energy, {reference}, has no usable numbers",
        {"kind": "transitions", "reference_id": reference, "undecided": others},
    )
    findings = {
        (name, reference): Finding(Reason.REFERENCE_POLYMORPH_OPEN, None) for name in others
    }
    return _joined(question, usable, unusable, findings, answer)


def _without_energies(
    usable: Sequence[Polymorph], unusable: Mapping[str, Decision]
) -> GroupDecision:
    """Leave all open, for nobody knows which polymorph is the lowest."""
    said = "no method gave static energies of all polymorphs"
    decisions = dict(unusable) | {
        one.material_id: unsettled(Reason.TRANSITIONS_UNDECIDED, said, standing=one.standing)
        for one in usable
        if one.is_asked
    }
    escalated = {name for name, one in decisions.items() if one.outcome is Outcome.ESCALATE}
    undecided = [one.material_id for one in usable]
    answer = Answer(f"not settled: {said}", {"kind": "transitions", "undecided": undecided})
    return GroupDecision(decisions, _components([frozenset(escalated)]), answer)


def _joined(
    question: GroupQuestion,
    usable: Sequence[Polymorph],
    unusable: Mapping[str, Decision],
    findings: Mapping[Pair, Finding],
    answer: Answer,
) -> GroupDecision:
    """Decisions on the usable polymorphs beside those on the others."""
    rivals = {one.material_id: one for one in usable}
    decisions = dict(unusable) | {
        one.material_id: _member(question, one, rivals, findings, answer)
        for one in usable
        if one.is_asked
    }
    escalated = {name for name, one in decisions.items() if one.outcome is Outcome.ESCALATE}
    undecided = [frozenset(pair) & escalated for pair, one in findings.items() if one.reason]
    links = [*undecided, *(frozenset((name,)) for name in escalated)]
    units = _components(links) if isinstance(question, OrderQuestion) else _maximal(links)
    return GroupDecision({name: decisions[name] for name in sorted(decisions)}, units, answer)


def _member(
    question: GroupQuestion,
    polymorph: Polymorph,
    rivals: Mapping[str, Polymorph],
    findings: Mapping[Pair, Finding],
    answer: Answer,
) -> Decision:
    """Decide about one usable polymorph from the pairs that it belongs to."""
    name = polymorph.material_id
    own = [
        (pair[1] if pair[0] == name else pair[0], _seen_from(name, pair, found))
        for pair, found in sorted(findings.items())
        if name in pair
    ]
    known = [(rival, found.closest) for rival, found in own if found.closest is not None]
    grounds: _Grounds = {
        "standing": polymorph.standing,
        "intervals": tuple(interval for _, interval in known),
        "rivals": tuple(rival for rival, _ in known),
    }
    undecided = [(rival, found) for rival, found in own if found.reason]
    out_of_reach = [
        rival for rival, _ in undecided if not _may_settle(polymorph, rivals.get(rival))
    ]
    if out_of_reach and (polymorph.standing.is_reference or len(out_of_reach) == len(undecided)):
        return _not_asked(out_of_reach, grounds)
    if not undecided or polymorph.standing.is_reference:
        settled = isinstance(question, OrderQuestion)
        reason = Reason.ORDER_SETTLED if settled else Reason.TRANSITIONS_SETTLED
        detail = _settled_text(len(own), known, n_undecided=len(undecided))
        return accepted(reason, answer, detail, **grounds)
    worst = min(undecided, key=lambda one: _severity(one[1].reason))
    assert worst[1].reason is not None  # only such are listed
    return unsettled(worst[1].reason, _undecided_text(*worst, len(undecided)), **grounds)


class _Grounds(TypedDict):
    """What a decision rests on."""

    standing: Standing
    intervals: tuple[Interval, ...]
    rivals: tuple[str, ...]


def _may_settle(polymorph: Polymorph, rival: Polymorph | None) -> bool:
    """Whether an open pair can be compared by a better method; without any left, who cares."""
    standing = polymorph.standing
    if rival is None or (standing.next_tier is None and not standing.is_reference):
        return True
    return rival.may_reach(standing.next_tier)


def _not_asked(out_of_reach: Sequence[str], grounds: _Grounds) -> Decision:
    """End an open pair whose other polymorph would have to be computed better too."""
    names = ", ".join(out_of_reach)
    detail = f"open against polymorphs that were not asked about, so stay as they are: {names}"
    intervals, rivals = grounds["intervals"], grounds["rivals"]
    return Decision(
        Outcome.REJECT, Reason.POLYMORPH_NOT_ASKED, None, intervals, detail, rivals=rivals
    )


def _severity(reason: Reason | None) -> int:
    return _WORST_FIRST.index(reason) if reason in _WORST_FIRST else len(_WORST_FIRST)


def _seen_from(name: str, pair: Pair, found: Finding) -> Finding:
    """Return a finding with the interval of this polymorph minus the other."""
    if found.closest is None or pair[0] == name:
        return found
    return Finding(found.reason, turned(found.closest))


def _settled_text(
    n_others: int,
    known: Sequence[tuple[str, Interval]],
    *,
    n_undecided: int,
) -> str:
    text = f"settled against {n_others - n_undecided} of {n_others} other polymorphs"
    if known:
        rival, interval = min(known, key=lambda one: max(one[1].lower, -one[1].upper))
        text += f", the closest to {rival}: {interval_text(interval)}"
    return text


def _undecided_text(rival: str, found: Finding, n_undecided: int) -> str:
    if found.reason is Reason.REFERENCE_POLYMORPH_OPEN:
        return f"{rival}, the polymorph of lowest static energy, has no usable numbers yet"
    if found.closest is None:
        text = f"no difference to {rival} is known"
    elif found.reason is Reason.OUT_OF_DOMAIN:
        text = f"it or {rival} is unlike the crystals of the calibration"
    else:
        text = f"against {rival} the {interval_text(found.closest)}"
    more = f" ({n_undecided} polymorphs undecided)" if n_undecided > 1 else ""
    return f"{text}, which leaves the answer open{more}"


def _components(links: Iterable[frozenset[str]]) -> tuple[frozenset[str], ...]:
    """Join sets that share a member, directly or through others."""
    parts: list[frozenset[str]] = []
    for link in links:
        if not link:
            continue
        touching = [part for part in parts if part & link]
        parts = [part for part in parts if not part & link]
        parts.append(link.union(*touching))
    return tuple(sorted(parts, key=sorted))


def _maximal(links: Iterable[frozenset[str]]) -> tuple[frozenset[str], ...]:
    """Keep the sets that are not part of another one."""
    unique = set(links)
    return tuple(
        sorted((one for one in unique if one and not any(one < o for o in unique)), key=sorted)
    )
