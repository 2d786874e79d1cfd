"""Lowest frequencies that the potential gives for crystals known to be unstable."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from unstable import UNSTABLE, UnstableCrystal

from screening.prediction import Verdict
from screening.predictors.potential_phonons import PotentialPhonons
from screening.structure import canonical_crystal
from screening.uncertainty.samples import Sample, sample_of

__all__ = ["UnstableCase", "compute_unstable"]


@dataclass(frozen=True)
class UnstableCase:
    """One crystal that is unstable by the literature.

    Attributes
    ----------
    name
        Formula and prototype.
    cheap, committee
        By the potential and by the committee.
    verdict
        By the fixed criterion of the platform's default.
    """

    name: str
    cheap: Sample
    committee: Sample

    @property
    def composition(self) -> str:
        """The exchangeable unit."""
        return self.cheap.composition

    @property
    def verdict(self) -> Verdict:
        """What the fixed criterion of the platform says."""
        return self.cheap.verdict


def compute_unstable(
    predictor: PotentialPhonons,
    committee: PotentialPhonons,
    crystals: Sequence[UnstableCrystal] = UNSTABLE,
) -> tuple[list[UnstableCase], list[str]]:
    """Relax every crystal in its own symmetry and take its lowest frequency.

    Returns
    -------
    tuple
        The crystals, and those that failed with the reason.
    """
    found: list[UnstableCase] = []
    failures: list[str] = []
    for number, entry in enumerate(crystals, start=1):
        label, start = f"{number:3d}/{len(crystals)}", time.perf_counter()
        try:
            case = _case(entry, predictor, committee)
        except Exception as error:  # noqa: BLE001 - of any library: none may hide a crystal
            failures.append(f"{entry.name}: {type(error).__name__}: {error}")
            print(f"{label} FAILED {failures[-1]}", flush=True)
            continue
        found.append(case)
        print(f"{label} {_line(case)} {time.perf_counter() - start:5.1f} s", flush=True)
    return found, failures


def _case(
    entry: UnstableCrystal, predictor: PotentialPhonons, committee: PotentialPhonons
) -> UnstableCase:
    crystal = canonical_crystal(entry.structure, subject=entry.name)
    cheap, mean = (
        sample_of(method.predict(crystal), crystal.material_id) for method in (predictor, committee)
    )
    return UnstableCase(entry.name, cheap, mean)


def _line(case: UnstableCase) -> str:
    spread = case.committee.spread
    std = spread.lowest_frequency_std_thz if spread else 0.0
    return (
        f"{case.name:<26} lowest frequency: potential {case.cheap.lowest_frequency_thz:6.2f}  "
        f"committee {case.committee.lowest_frequency_thz:6.2f} ± {std:.2f} THz  {case.verdict}"
    )
