"""How often accepted answers are wrong, beside the risk that was allowed.

A conformal interval misses with the probability alpha among all crystals; the guarantee is
marginal. Acceptance selects: only crystals with narrow intervals are accepted, so the fraction
of wrong answers among the accepted ones is no more than alpha only if the widths are right
crystal by crystal, which no finite calibration can promise. Both are counted; required is what
is promised. An answer counts among all where it is wrong or its interval misses the reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from report import Figure
from routing_policy import Tally
from routing_splits import mean_over_groups

__all__ = ["ALPHAS", "REPORTED_ALPHAS", "highest_fraction", "risk_figures"]

ALPHAS = (0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Risks of the curves."""

REPORTED_ALPHAS = (0.05, 0.1, 0.2, 0.3)
"""Risks in the report."""


def highest_fraction(alpha: float, n_groups: int) -> float:
    """Fraction of wrong groups that a risk of alpha exceeds once in forty times.

    Examples
    --------
    >>> highest_fraction(0.1, 20)
    0.25
    """
    from scipy.stats import binom

    return float(binom.ppf(0.975, n_groups, alpha)) / n_groups if n_groups else math.nan


def risk_figures(name: str, tallies: Mapping[float, Sequence[Tally]]) -> list[Figure]:
    """Count accepted and wrong answers at the reported risks.

    Parameters
    ----------
    name
        Of the question.
    tallies
        Of all splits, by risk.
    """
    found: list[Figure] = []
    for alpha in REPORTED_ALPHAS:
        own = list(tallies.get(alpha, ()))
        claimed = [one for one in own if one.claimed]
        kinds = len({one.composition for one in claimed})
        found += [
            Figure(f"{name}, alpha {alpha:g}: answered by the potential", _claimed(own), ""),
            Figure(
                f"  wrong among the accepted ({kinds} compositions)",
                _fraction(claimed, "claimed"),
                "",
            ),
            _bounded("  wrong or outside among all", _fraction(own, "answers"), alpha, own),
        ]
    return found


def _claimed(tallies: Sequence[Tally]) -> float:
    answers = sum(one.answers for one in tallies)
    return sum(one.claimed for one in tallies) / answers if answers else math.nan


def _fraction(tallies: Sequence[Tally], of: str) -> float:
    """Bad answers over those of a kind, every composition weighing the same."""
    bad = [max(one.wrong, one.outside) if of == "answers" else one.wrong for one in tallies]
    values = [b / getattr(one, of) for b, one in zip(bad, tallies, strict=True)]
    return mean_over_groups(values, [one.composition for one in tallies])


def _bounded(name: str, value: float, alpha: float, tallies: Sequence[Tally]) -> Figure:
    """Figure required to keep to alpha and the band; not where nothing was answered."""
    groups = {one.composition for one in tallies}
    if not groups:
        return Figure(name, None, "")
    return Figure(name, value, "", f"<= {highest_fraction(alpha, len(groups)):.3g}")
