"""The closed loop without a database: ask the policy, send to DFT what it says, ask again.

DFT returns the stored reference, so what is sent is answered right, and an answer can only be
wrong where the potential's was accepted. The naive policies answer with the potential alone,
always with DFT, or with DFT where the spread of a committee is above a threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from routing_crystals import Case
from routing_splits import Split, groups_of
from routing_unstable import UnstableCase

from screening.decisions.evidence import Evidence, exact_interval
from screening.decisions.groups import Polymorph, decide_group
from screening.decisions.outcome import Outcome, Standing
from screening.decisions.policy import decide
from screening.decisions.questions import OrderQuestion, PropertyQuestion, StabilityQuestion
from screening.prediction import Verdict
from screening.predictors.interface import Tier
from screening.quantities import Property, Quantity
from screening.uncertainty.estimates import estimate_difference, raw_value
from screening.uncertainty.interval import Interval
from screening.uncertainty.risk import StabilityJudgement
from screening.uncertainty.samples import Sample

__all__ = [
    "Tally",
    "ask_order",
    "ask_property",
    "ask_stability",
    "difference_of",
    "guess_order",
    "guess_property",
    "guess_stability",
    "spread_of",
]


@dataclass(frozen=True)
class Tally:
    """What became of one question about one crystal or one composition.

    Attributes
    ----------
    composition
        Exchangeable unit.
    crystals, sent
        How many there are, and how many of them DFT was asked for.
    answers, undecided
        How many there should be, and how many are missing.
    claimed, wrong
        How many the potential gave, and how many of these the reference contradicts.
    outside
        How many intervals of these do not hold the reference.
    is_unstable
        Whether it is about a crystal known to be unstable.
    """

    composition: str
    crystals: int
    sent: int
    answers: int
    undecided: int
    claimed: int
    wrong: int
    outside: int = 0
    is_unstable: bool = False


def _standings(alpha: float) -> tuple[Standing, Standing]:
    """Potential and reference."""
    return (
        Standing(Tier.POTENTIAL, Tier.SYSTEMATIC_DFT, alpha=alpha),
        Standing(Tier.SYSTEMATIC_DFT, None, is_reference=True, alpha=alpha),
    )


def ask_property(
    split: Split, case: Case, question: PropertyQuestion, interval: Interval, alpha: float
) -> Tally:
    """Ask for a property of one crystal, first the potential, then DFT.

    Parameters
    ----------
    split, case
        Calibration, and a crystal it has not seen.
    question
        At one temperature.
    interval
        Of the property, by the calibration at the risk alpha.
    alpha
        Accepted risk.
    """
    cheap, reference = _standings(alpha)
    quantity = question.quantities[0]
    truth = raw_value(case.better, quantity)
    novelty = split.calibration.novelty(case.cheap)
    valid = case.cheap.thermodynamics.valid
    decision = decide(
        question, Evidence(case.cheap.material_id, (interval,), None, valid, novelty), cheap
    )
    sent = decision.outcome is Outcome.ESCALATE
    if sent:
        exact = exact_interval(quantity, truth, alpha)
        valid = case.better.thermodynamics.valid
        evidence = Evidence(case.cheap.material_id, (exact,), None, valid)
        decision = decide(question, evidence, reference)
    accepted = decision.outcome is Outcome.ACCEPT
    wrong = False
    if decision.answer is not None:
        given = float(decision.answer.content["values"][0]["value"])
        wrong = abs(given - truth) > question.tolerance
    claimed = accepted and not sent
    return Tally(
        composition=case.composition,
        crystals=1,
        sent=int(sent),
        answers=1,
        undecided=int(not accepted),
        claimed=int(claimed),
        wrong=int(wrong),
        outside=int(claimed and not interval.lower <= truth <= interval.upper),
    )


def guess_property(
    cases: Iterable[tuple[Case, float]],
    quantity: Quantity,
    tolerance: float,
    is_sent: Callable[[Case], bool],
) -> list[Tally]:
    """Answer with given values where a crystal is not sent to DFT."""
    found = []
    for case, value in cases:
        sent = is_sent(case)
        wrong = not sent and abs(value - raw_value(case.better, quantity)) > tolerance
        found.append(
            Tally(case.composition, 1, int(sent), 1, 0, claimed=int(not sent), wrong=int(wrong))
        )
    return found


Differences = Mapping[tuple[str, str], Sequence[Interval]]


def ask_order(
    split: Split,
    group: Sequence[Case],
    question: OrderQuestion,
    differences: Differences,
    alpha: float,
) -> Tally:
    """Ask for the order of the polymorphs of one composition, first the potential, then DFT.

    Parameters
    ----------
    split, group
        Calibration, and the polymorphs of a composition it has not seen.
    question
        At one temperature.
    differences
        Of all pairs, by the calibration at the risk alpha.
    alpha
        Accepted risk.
    """
    by_id = {case.cheap.material_id: case for case in group}
    quantity = next(iter(differences.values()))[0].quantity
    sent: set[str] = set()
    first: Mapping[str, Any] = {}
    while True:
        known = {
            pair: _known(differences[pair], [by_id[name] for name in pair], alpha)
            if sent.issuperset(pair)
            else differences[pair]
            for pair in differences
        }
        polymorphs = [_polymorph(split, case, alpha, case_sent=name in sent)
                      for name, case in by_id.items()]  # fmt: skip
        decision = decide_group(question, polymorphs, known)
        first = first or decision.answer.content
        escalated = {
            name for name, one in decision.decisions.items() if one.outcome is Outcome.ESCALATE
        }
        if not escalated - sent:
            break
        sent |= escalated
    claims = _claims(first, by_id)
    truths = {pair: difference_of([by_id[x].better for x in pair], quantity) for pair in claims}
    final = _claims(decision.answer.content, by_id)
    return Tally(
        composition=group[0].composition,
        crystals=len(group),
        sent=len(sent),
        answers=len(differences),
        undecided=len(differences) - len(final),
        claimed=len(claims),
        wrong=sum(_is_wrong(c, truths[p], question) for p, c in claims.items()),
        outside=sum(not _inside(differences, pair, truths[pair]) for pair in claims),
    )


def _known(given: Sequence[Interval], pair: Sequence[Case], alpha: float) -> Sequence[Interval]:
    """Differences of two polymorphs that DFT has computed."""
    return [
        exact_interval(
            one.quantity, difference_of([case.better for case in pair], one.quantity), alpha
        )
        for one in given
    ]


def _polymorph(split: Split, case: Case, alpha: float, *, case_sent: bool) -> Polymorph:
    cheap, reference = _standings(alpha)
    if case_sent:
        evidence = Evidence(
            case.cheap.material_id, thermodynamics_valid=case.better.thermodynamics.valid
        )
        return Polymorph(evidence, reference)
    evidence = Evidence(
        case.cheap.material_id,
        thermodynamics_valid=case.cheap.thermodynamics.valid,
        novelty=split.calibration.novelty(case.cheap),
    )
    return Polymorph(evidence, cheap)


def _claims(content: Mapping[str, Any], names: Iterable[str]) -> dict[tuple[str, str], str]:
    """Read from an answer every pair that it settles, at the first temperature."""
    if content["kind"] != "order" or not content["runs"]:
        return {}
    run = content["runs"][0]
    open_pairs = {frozenset(pair) for pair in (*content["undecided"], *run["undecided"])}
    tied = {frozenset(pair) for pair in run["tied"]}
    found = {}
    for first, second in combinations(run["material_ids"], 2):
        if frozenset((first, second)) not in open_pairs and {first, second} <= set(names):
            found[first, second] = "tied" if frozenset((first, second)) in tied else "below"
    return found


def _is_wrong(claim: str, truth: float, question: OrderQuestion) -> bool:
    """Whether the reference contradicts a claim about the first minus the second."""
    return abs(truth) > question.resolution_mev_per_atom if claim == "tied" else truth >= 0.0


def _inside(differences: Differences, pair: tuple[str, str], truth: float) -> bool:
    if pair in differences:
        return differences[pair][0].lower <= truth <= differences[pair][0].upper
    turned = differences[pair[::-1]][0]
    return turned.lower <= -truth <= turned.upper


def difference_of(pair: Sequence[Sample], quantity: Quantity) -> float:
    """Difference of two polymorphs as one method gives it, in meV/atom."""
    return estimate_difference(pair[0], pair[1], quantity, 0.0, 1.0).value


def guess_order(
    cases: Sequence[Case],
    quantity: Quantity,
    value: Callable[[Case, Case], float],
    is_sent: Callable[[Case, Case], bool],
) -> list[Tally]:
    """Answer with the sign of given differences where a pair is not sent to DFT."""
    found = []
    for composition, group in groups_of(cases).items():
        pairs = list(combinations(group, 2))
        sent = [is_sent(*pair) for pair in pairs]
        crystals = {x.name for pair, away in zip(pairs, sent, strict=True) if away for x in pair}
        wrong = [
            not away
            and value(*pair) * difference_of([pair[0].better, pair[1].better], quantity) <= 0.0
            for pair, away in zip(pairs, sent, strict=True)
        ]
        if pairs:
            found.append(
                Tally(
                    composition,
                    len(group),
                    len(crystals),
                    len(pairs),
                    0,
                    claimed=len(pairs) - sum(sent),
                    wrong=sum(wrong),
                )
            )
    return found


def ask_stability(
    judgement: StabilityJudgement, case: Case | UnstableCase, alpha: float, novelty: float = 0.0
) -> Tally:
    """Ask for the stability of one crystal, first the potential, then DFT or the literature.

    Parameters
    ----------
    judgement
        Of the potential at the risk alpha.
    case
        A crystal that was not calibrated.
    alpha
        Accepted risk.
    novelty
        Above 1 the domain check refuses the crystal.
    """
    cheap, _ = _standings(alpha)
    evidence = Evidence(case.cheap.material_id, stability=judgement, novelty=novelty)
    decision = decide(StabilityQuestion(), evidence, cheap)
    sent = decision.outcome is Outcome.ESCALATE
    truth = _true_verdict(case)
    said = None if decision.answer is None else decision.answer.content["verdict"]
    return Tally(
        composition=case.composition,
        crystals=1,
        sent=int(sent),
        answers=1,
        undecided=int(sent and truth is Verdict.UNDETERMINED),
        claimed=int(not sent),
        wrong=int(said is not None and said != truth.value),
        is_unstable=truth is Verdict.UNSTABLE,
    )


def guess_stability(
    cases: Iterable[Case | UnstableCase],
    is_sent: Callable[[Case | UnstableCase], bool],
    lowest_thz: Callable[[Case | UnstableCase], float],
    threshold_thz: float,
) -> list[Tally]:
    """Call unstable what lies below a fixed frequency, where it is not sent."""
    found = []
    for case in cases:
        sent, truth = is_sent(case), _true_verdict(case)
        below = lowest_thz(case) < threshold_thz
        wrong = not sent and below != (truth is Verdict.UNSTABLE)
        found.append(
            Tally(
                case.composition,
                1,
                int(sent),
                1,
                int(sent and truth is Verdict.UNDETERMINED),
                claimed=int(not sent),
                wrong=int(wrong),
                is_unstable=truth is Verdict.UNSTABLE,
            )
        )
    return found


def _true_verdict(case: Case | UnstableCase) -> Verdict:
    return Verdict.UNSTABLE if isinstance(case, UnstableCase) else case.better.verdict


def spread_of(case: Case | UnstableCase, kind: Property, temperature_k: float = 300.0) -> float:
    """Return the committee's standard deviation of the free energy or the lowest frequency."""
    spread = case.committee.spread
    assert spread is not None  # a committee has one
    if kind is Property.LOWEST_FREQUENCY:
        return spread.lowest_frequency_std_thz
    grid = case.committee.thermodynamics.temperatures_k
    return float(np.interp(temperature_k, grid, spread.free_energy_std_mev_per_atom))
