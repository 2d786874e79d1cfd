"""Dynamical stability under several named criteria, with three possible verdicts.

Every peer calls something else stable, so a verdict is only worth what its criterion says.
All criteria listed here are evaluated side by side; one of them decides.

The default asks for both the mesh and the band path and regards a mode as imaginary below
-0.1 THz (3.3 1/cm, 0.4 meV). Forces in single precision carry noise of about 1e-5 eV/Å; at
displacements of 0.01 to 0.03 Å this moves the square of a frequency by up to 0.01 THz²,
so a mode within 0.1 THz of zero cannot be told from zero. Within 0.05 THz of the threshold
the verdict is ``undetermined``; so it is where only acoustic modes beside the zone centre
are imaginary, since those come from interpolation between the wave vectors that the
supercell really holds. Where more than a tenth of the modes are within 0.1 THz of zero, the
forces do not hold the atoms (a potential that sees no neighbours gives zero throughout), and
the verdict is ``undetermined`` too.

Where the density of states alone is known, by a learned model, the criterion that counts modes
decides: more than a tenth of them below -0.3 THz, half a bin of the published grid. Such a crystal
is unstable by every criterion that calls these modes imaginary; a single imaginary mode is beyond
such a model, so by the others nothing is ever stable.

Of a cell that was not repeated the zone centre alone is known. An imaginary mode there proves
the crystal unstable; without one the verdict is ``undetermined``, since nothing is known of all
other wave vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from screening.acoustic import acoustic_mask, gamma_mask
from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError
from screening.prediction import BandStructure, FloatArray, Stability, Verdict, frozen_array
from screening.spectra import lowest_frequency

if TYPE_CHECKING:
    from screening.phonons import MeshFrequencies

__all__ = [
    "CRITERIA",
    "DEFAULT_CRITERION",
    "SHARE_CRITERION",
    "SPECTRUM",
    "ZONE_CENTRE",
    "Criterion",
    "assess_share",
    "assess_stability",
    "assess_zone_centre",
]

ZONE_CENTRE = "gamma"
"""Region of a lowest frequency where nothing but the zone centre is known."""

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
    largest_share
        Share of the modes of the mesh that may be imaginary.
    largest_flat_share
        Share of the modes of the mesh that may lie nearer to zero than the threshold: above it
        nothing says that forces hold the atoms, and no verdict is given; 0 switches this off.
    """

    reference: str
    regions: tuple[Region, ...]
    threshold_thz: float
    acoustic_threshold_thz: float | None = None
    abstention_thz: float = 0.0
    pocket_radius: float = 0.0
    largest_share: float = 0.0
    largest_flat_share: float = 0.0


CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        "phonoscreen": Criterion(
            reference="default of this platform",
            regions=("mesh", "path"),
            threshold_thz=-0.1,
            abstention_thz=0.05,
            pocket_radius=0.1,
            largest_flat_share=0.1,
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
        "gurunathan_2023": Criterion(
            reference="Gurunathan et al., Phys. Rev. Materials 7, 023803: a tenth of the modes",
            regions=("mesh",),
            threshold_thz=-0.3,
            largest_share=0.1,
        ),
    }
)
"""The named criteria."""

DEFAULT_CRITERION = "phonoscreen"

SHARE_CRITERION = "gurunathan_2023"
"""The criterion that counts imaginary modes."""

SPECTRUM = "spectrum"
"""Region of a lowest frequency where no wave vector is known."""

_N_ACOUSTIC = 3


@dataclass(frozen=True)
class _Sample:
    """Frequencies of one region with what is known of each mode."""

    region: Region
    q_points: FloatArray
    frequencies_thz: FloatArray
    is_gamma: NDArray[np.bool_]
    acoustic: NDArray[np.bool_]
    weights: FloatArray

    def share(self, which: NDArray[np.bool_]) -> float:
        """Share of the modes that are chosen, shape (q, branch)."""
        return float(which.mean(axis=1) @ self.weights / self.weights.sum())

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
    _check_criterion(criterion)
    samples = [_sample("mesh", mesh.q_points, mesh.frequencies_thz, mesh.weights)]
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


def assess_zone_centre(
    frequencies_thz: FloatArray, criterion: str = DEFAULT_CRITERION
) -> Stability:
    """Judge a crystal of which the modes of the zone centre alone are known.

    Parameters
    ----------
    frequencies_thz
        All modes there in THz, imaginary ones negative, ascending, shape (3 site,). The lowest
        frequency of a cell of one atom, which has the three acoustic modes alone, is given as
        zero.
    criterion
        Name in `CRITERIA` that decides.

    Returns
    -------
    Stability
        Unstable by the criteria whose threshold an optical mode crosses, and else undetermined.

    Raises
    ------
    SettingError, NonFiniteInputError
        As `assess_stability`.
    """
    _check_criterion(criterion)
    centre = np.zeros((1, 3))
    optical = np.asarray(frequencies_thz)[None]
    verdicts, lowest = dict.fromkeys(CRITERIA, Verdict.UNDETERMINED), 0.0
    if optical.shape[1] > _N_ACOUSTIC:
        sample = _sample("mesh", centre, optical)
        lowest = float(optical[~sample.acoustic].min())
        for name, rule in CRITERIA.items():
            if rule.largest_share > 0.0:  # one wave vector knows no shares
                continue
            if _verdict_in(replace(rule, acoustic_threshold_thz=None), sample) is Verdict.UNSTABLE:
                verdicts[name] = Verdict.UNSTABLE
    return Stability(
        verdict=verdicts[criterion],
        criterion=criterion,
        lowest_frequency_thz=lowest,
        lowest_frequency_q_point=frozen_array(centre[0]),
        lowest_frequency_region=ZONE_CENTRE,
        verdicts=verdicts,
    )


def assess_share(
    negative_fraction: float,
    half_width: float,
    lowest_frequency_thz: float,
    criterion: str = DEFAULT_CRITERION,
) -> Stability:
    """Judge a crystal of which a learned density of states alone is known.

    Parameters
    ----------
    negative_fraction
        Share of the modes below zero.
    half_width
        Of its calibrated interval; infinite where nothing is calibrated.
    lowest_frequency_thz
        In THz, imaginary negative.
    criterion
        Name in `CRITERIA` that decides.

    Returns
    -------
    Stability
        By `SHARE_CRITERION` unstable above its share, stable where the whole interval is within
        it, and undetermined between. Unstable by that, a crystal is unstable by all criteria
        whose threshold is no lower; by these and all others it is undetermined else.

    Raises
    ------
    SettingError
        As `assess_stability`.
    NonFiniteInputError
        If the share or the frequency is not finite.
    """
    _check_criterion(criterion)
    if not np.all(np.isfinite([negative_fraction, lowest_frequency_thz])):
        raise NonFiniteInputError("a share of modes is not finite", subject=SPECTRUM)
    counting = CRITERIA[SHARE_CRITERION]
    verdicts = dict.fromkeys(CRITERIA, Verdict.UNDETERMINED)
    if negative_fraction > counting.largest_share:
        for name, rule in CRITERIA.items():
            if rule.threshold_thz >= counting.threshold_thz:
                verdicts[name] = Verdict.UNSTABLE
    elif negative_fraction + half_width <= counting.largest_share:
        verdicts[SHARE_CRITERION] = Verdict.STABLE
    return Stability(
        verdict=verdicts[criterion],
        criterion=criterion,
        lowest_frequency_thz=lowest_frequency_thz,
        lowest_frequency_q_point=frozen_array(np.zeros(3)),
        lowest_frequency_region=SPECTRUM,
        verdicts=verdicts,
    )


def _check_criterion(criterion: str) -> None:
    if criterion not in CRITERIA:
        raise SettingError(
            f"unknown stability criterion {criterion!r}",
            subject="criterion",
            hint=f"Choose one of {', '.join(CRITERIA)}",
        )


def _sample(
    region: Region,
    q_points: FloatArray,
    frequencies_thz: FloatArray,
    weights: FloatArray | None = None,
) -> _Sample:
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
    shares = np.ones(n_q) if weights is None else np.asarray(weights, dtype=np.float64)
    return _Sample(region, q_points, frequencies_thz, is_gamma, acoustic, shares)


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
    if rule.largest_share > 0.0:
        is_more = sample.share(surely) > rule.largest_share
        return Verdict.UNSTABLE if is_more else Verdict.STABLE
    if np.any(surely & sample.outside(rule.pocket_radius)):
        return Verdict.UNSTABLE
    is_open = np.any(perhaps) or _is_flat(rule, sample)
    return Verdict.UNDETERMINED if is_open else Verdict.STABLE


def _is_flat(rule: Criterion, sample: _Sample) -> bool:
    """Whether too many modes of the mesh cannot be told from zero."""
    if sample.region != "mesh" or not rule.largest_flat_share:
        return False
    near_zero = np.abs(sample.frequencies_thz) <= -rule.threshold_thz
    return sample.share(near_zero & ~sample.acoustic) > rule.largest_flat_share


def _imaginary(rule: Criterion, sample: _Sample, shift_thz: float) -> NDArray[np.bool_]:
    """Which modes fall below the threshold moved by ``shift_thz``, shape (q, branch)."""
    below = sample.frequencies_thz < rule.threshold_thz + shift_thz
    if rule.acoustic_threshold_thz is None:
        return np.asarray(below & ~sample.acoustic)
    acoustic_below = sample.frequencies_thz < rule.acoustic_threshold_thz + shift_thz
    return np.where(sample.acoustic, acoustic_below, below)
