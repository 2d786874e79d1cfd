"""Dynamical stability under several named criteria, with three possible verdicts.

Every peer calls something else stable, so a verdict is only worth what its criterion says.
All criteria listed here are evaluated side by side; one of them decides.

The default asks for both the mesh and the band path and regards a mode as imaginary below
-0.1 THz (3.3 1/cm, 0.4 meV). Forces in single precision carry noise of about 1e-5 eV/Å; at
displacements of 0.01 to 0.03 Å this moves the square of a frequency by up to 0.01 THz²,
so a mode within 0.1 THz of zero cannot be told from zero. Within 0.05 THz of the threshold
the verdict is ``undetermined``; so it is where only acoustic modes beside the zone centre
are imaginary, since those come from interpolation between the wave vectors that the
supercell really holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from screening.acoustic import acoustic_mask, gamma_mask
from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError
from screening.prediction import BandStructure, FloatArray, Stability, Verdict
from screening.spectra import lowest_frequency

if TYPE_CHECKING:
    from screening.phonons import MeshFrequencies

__all__ = ["CRITERIA", "DEFAULT_CRITERION", "Criterion", "assess_stability"]

Region = Literal["mesh", "path"]


@dataclass(frozen=True)
class Criterion:
    """One definition of dynamically stable.

    Attributes
    ----------
    reference
        Who uses it.
    regions
        Where it looks; the verdict is undetermined where one of them was not computed.
    threshold_thz
        A mode below this frequency is imaginary, in THz.
    acoustic_threshold_thz
        The same for the three acoustic modes at the zone centre; None leaves them out.
    abstention_thz
        Half width in THz of the band around the threshold where no verdict is given.
    pocket_radius
        Where all imaginary modes lie beside the zone centre, closer than this norm of the
        fractional wave vector, no verdict is given; 0 switches this off. An optical mode at
        the zone centre itself counts always.
    """

    reference: str
    regions: tuple[Region, ...]
    threshold_thz: float
    acoustic_threshold_thz: float | None = None
    abstention_thz: float = 0.0
    pocket_radius: float = 0.0


CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        "phonoscreen": Criterion(
            reference="default of this platform",
            regions=("mesh", "path"),
            threshold_thz=-0.1,
            abstention_thz=0.05,
            pocket_radius=0.1,
        ),
        "atomate2": Criterion(
            reference="atomate2 PhononBSDOSDoc and emmet has_imaginary_modes (1e-5 THz, path)",
            regions=("path",),
            threshold_thz=-1e-5,
            acoustic_threshold_thz=-1e-5,
        ),
        "emmet_legacy": Criterion(
            reference="emmet NEG_FREQ and SMALL_Q_NEG_FREQ",
            regions=("path",),
            threshold_thz=-0.03,
            acoustic_threshold_thz=-0.03,
            pocket_radius=0.05,
        ),
        "matbench_discovery": Criterion(
            reference="Póta et al., arXiv:2408.00755 (k_SRME), and matbench-discovery",
            regions=("mesh",),
            threshold_thz=0.0,
            acoustic_threshold_thz=-0.01,
        ),
        "ml_peg": Criterion(
            reference="ml-peg, bulk crystal phonons",
            regions=("path",),
            threshold_thz=-0.05,
            acoustic_threshold_thz=-0.05,
        ),
        "alexandria": Criterion(
            reference="Loew et al., arXiv:2412.16551: -50 K for acoustic modes at Gamma",
            regions=("mesh",),
            threshold_thz=0.0,
            acoustic_threshold_thz=-1.0418,
        ),
        "lee_2024": Criterion(
            reference="Lee et al. 2024, universal potential for harmonic phonons",
            regions=("mesh", "path"),
            threshold_thz=-0.5,
        ),
    }
)
"""The named criteria."""

DEFAULT_CRITERION = "phonoscreen"


@dataclass(frozen=True)
class _Sample:
    """Frequencies of one region with what is known of each mode."""

    region: Region
    q_points: FloatArray
    frequencies_thz: FloatArray
    is_gamma: NDArray[np.bool_]
    acoustic: NDArray[np.bool_]

    def outside(self, radius: float) -> NDArray[np.bool_]:
        """Modes that are no small-q artefact, shape (q, branch).

        Optical modes at the zone centre itself belong to a wave vector of every supercell.
        """
        distance = np.linalg.norm(self.q_points - np.rint(self.q_points), axis=1)
        optical = self.is_gamma[:, None] & ~self.acoustic
        return np.asarray((distance >= radius)[:, None] | optical)


def assess_stability(
    mesh: MeshFrequencies, bands: BandStructure | None, criterion: str = DEFAULT_CRITERION
) -> Stability:
    """Judge a crystal by all named criteria.

    Parameters
    ----------
    mesh
        Frequencies on a mesh that holds the zone centre.
    bands
        Frequencies along the band path, None where not computed.
    criterion
        Name in `CRITERIA` that decides.

    Raises
    ------
    SettingError
        If no criterion has this name.
    NonFiniteInputError
        If a frequency is not finite.
    InconsistentDataError
        If q points and frequencies do not match, or only the three acoustic modes at the
        zone centre are there.
    """
    if criterion not in CRITERIA:
        raise SettingError(
            f"unknown stability criterion {criterion!r}",
            subject="criterion",
            hint=f"Choose one of {', '.join(CRITERIA)}",
        )
    samples = [_sample("mesh", mesh.q_points, mesh.frequencies_thz)]
    if bands is not None:
        samples.append(_sample("path", bands.q_points, bands.frequencies_thz))
    verdicts = {name: _verdict(rule, samples) for name, rule in CRITERIA.items()}
    lowest = lowest_frequency(mesh, bands)
    return Stability(
        verdict=verdicts[criterion],
        criterion=criterion,
        lowest_frequency_thz=lowest.frequency_thz,
        lowest_frequency_q_point=lowest.q_point,
        lowest_frequency_region=lowest.region,
        verdicts=verdicts,
    )


def _sample(region: Region, q_points: FloatArray, frequencies_thz: FloatArray) -> _Sample:
    n_q = len(q_points)
    if n_q == 0 or q_points.shape != (n_q, 3) or frequencies_thz.shape[:1] != (n_q,):
        raise InconsistentDataError(
            f"q points {q_points.shape} and frequencies {frequencies_thz.shape} do not match",
            subject=region,
        )
    if not np.all(np.isfinite(frequencies_thz)):
        raise NonFiniteInputError("a frequency is not finite", subject=region)
    is_gamma = gamma_mask(q_points)
    acoustic = acoustic_mask(frequencies_thz, is_gamma)
    if np.all(acoustic):
        raise InconsistentDataError("no mode beside the acoustic ones", subject=region)
    return _Sample(region, q_points, frequencies_thz, is_gamma, acoustic)


def _verdict(rule: Criterion, samples: list[_Sample]) -> Verdict:
    """Judge by one criterion; proof of instability in one region needs no other region."""
    used = [sample for sample in samples if sample.region in rule.regions]
    single = [_verdict_in(rule, sample) for sample in used]
    if Verdict.UNSTABLE in single:
        return Verdict.UNSTABLE
    if len(used) < len(rule.regions) or Verdict.UNDETERMINED in single:
        return Verdict.UNDETERMINED
    return Verdict.STABLE


def _verdict_in(rule: Criterion, sample: _Sample) -> Verdict:
    surely, perhaps = (
        _imaginary(rule, sample, shift) for shift in (-rule.abstention_thz, rule.abstention_thz)
    )
    if np.any(surely & sample.outside(rule.pocket_radius)):
        return Verdict.UNSTABLE
    return Verdict.UNDETERMINED if np.any(perhaps) else Verdict.STABLE


def _imaginary(rule: Criterion, sample: _Sample, shift_thz: float) -> NDArray[np.bool_]:
    """Which modes fall below the threshold moved by ``shift_thz``, shape (q, branch)."""
    below = sample.frequencies_thz < rule.threshold_thz + shift_thz
    if rule.acoustic_threshold_thz is None:
        return np.asarray(below & ~sample.acoustic)
    acoustic_below = sample.frequencies_thz < rule.acoustic_threshold_thz + shift_thz
    return np.where(sample.acoustic, acoustic_below, below)
