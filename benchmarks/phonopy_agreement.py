"""Our thermodynamics beside phonopy's own from the same file of forces."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import phonopy
from identities import CUTOFF_THZ, Spectrum, Tally, check_harmonic, check_spectrum, curves
from phonopy.physical_units import get_physical_units, set_physical_units
from phonopy.structure.symmetry import symmetrize_borns_and_epsilon
from report import Figure

from screening import units
from screening.phonons import DEFAULT_MESH_LENGTH_ANGSTROM, harmonic_from_forces, mesh_frequencies
from screening.prediction import FloatArray
from stores.importers import ReadStructure, Rejection, iter_structures

__all__ = ["AGREEMENT", "QUANTITIES", "compare_with_phonopy", "constants_figures", "read_crystal"]

AGREEMENT = "<= 1e-06"
QUANTITIES = ("F", "S", "C_V")
TEMPERATURES_K = tuple(float(t) for t in range(10, 1501, 10))
ROOM = TEMPERATURES_K.index(300.0)
PASSES = 20
CODATA_2018 = {
    "KB_J": units.BOLTZMANN_EV_PER_K * units.EV_TO_JOULE,
    "PlanckConstant": units.PLANCK_MEV_PER_THZ * 1e-15,
    "Avogadro": units.AVOGADRO_PER_MOL,
    "SpeedOfLight": 299792458.0,
    "AMU": 1.66053906660e-27,
    "EV": units.EV_TO_JOULE,
    "Me": 9.1093837015e-31,
}


@contextmanager
def codata_2018() -> Iterator[None]:
    """Let phonopy use our release of the constants, and give it back its own."""
    before = get_physical_units()
    set_physical_units(**CODATA_2018)
    try:
        yield
    finally:
        set_physical_units(**{name: getattr(before, name) for name in CODATA_2018})


def read_crystal(file: Path) -> ReadStructure:
    """Read the one crystal of a file as an import does."""
    (item,) = iter_structures([file])
    if isinstance(item, Rejection):
        raise ValueError(str(item))  # noqa: TRY004 - a file that is wrong, not a type
    return item


def compare_with_phonopy(file: Path, name: str, tally: Tally) -> None:
    """Compare F, S and C_V of one set of forces, and check their identities."""
    forces = read_crystal(file).force_data  # first: refuses what phonopy's loader would execute
    if forces is None:
        raise ValueError("the file holds no forces")
    harmonic = harmonic_from_forces(forces)
    mesh = mesh_frequencies(harmonic)
    spectrum = Spectrum(mesh.frequencies_thz, mesh.weights, mesh.q_points)
    ours = spectrum.thermodynamics(TEMPERATURES_K)
    polar = forces.born_charges_e is not None
    stock = phonopy.load(str(file), is_nac=polar, log_level=0)
    factor = units.COULOMB_EV_ANGSTROM if polar else None  # the one that our dynamical matrix takes
    with codata_2018():
        converged = _with_our_parameters(file, factor, PASSES)
        once = _with_our_parameters(file, factor, 1)
    scale = np.abs(converged)
    scale[0] = np.maximum(scale[0], ours.zero_point_energy_mev_per_atom)
    error = np.abs(curves(ours) - converged) / scale
    _note(error, name, tally)
    _note_looser(curves(ours), once, _phonopy_curves(stock), scale, name, tally)
    tally.note(
        "1 phonopy: one pass against 20", float((np.abs(once - converged) / scale).max()), name
    )
    if factor is not None and stock.nac_params is not None:
        ratio = float(stock.nac_params.get("factor") or factor) / factor
        tally.note("1 why: Coulomb factor of the file, off by", abs(ratio - 1.0), name)
    check_harmonic(harmonic, spectrum, converged, TEMPERATURES_K, name, tally)
    check_spectrum(spectrum, name, tally)


def _note(error: FloatArray, name: str, tally: Tally) -> None:
    worst = error.max(axis=1)
    tally.note(f"1 {name}: F, S, C_V", worst.max(), QUANTITIES[int(worst.argmax())], AGREEMENT)
    for quantity, value in zip(QUANTITIES, worst, strict=True):
        tally.note(f"1 {quantity}, 10-1500 K", value, name, AGREEMENT)
    pairs = zip(QUANTITIES, worst, strict=True)
    print(f"1 {name:<20}" + "".join(f"  {q} {x:.1e}" for q, x in pairs), flush=True)


def _note_looser(
    ours: FloatArray,
    once: FloatArray,
    stock: FloatArray,
    scale: FloatArray,
    name: str,
    tally: Tally,
) -> None:
    for i, quantity in enumerate(QUANTITIES):
        by_pass, by_stock = (np.abs(ours[i] - other[i]) / scale[i] for other in (once, stock))
        tally.note(f"1 {quantity}, phonopy's default single pass", by_pass.max(), name)
        tally.note(f"1 {quantity}, phonopy as it comes", by_stock.max(), name)
        tally.note(f"1 {quantity}, phonopy as it comes, at 300 K", by_stock[ROOM], name)


def _with_our_parameters(file: Path, coulomb_factor: float | None, passes: int) -> FloatArray:
    """Curves by phonopy from the file's forces; no Coulomb factor means no Born charges.

    Born charges are made to obey symmetry and neutrality by phonopy, as it does for its BORN
    files but not for those in a yaml file. Its symmetrisation of force constants alternates
    between the order of differentiation and the sum rule, which one pass leaves unfinished.
    """
    polar = coulomb_factor is not None
    phonon = phonopy.load(str(file), is_nac=polar, produce_fc=False, log_level=0)
    if coulomb_factor is not None and phonon.nac_params is not None:
        charges, dielectric = symmetrize_borns_and_epsilon(
            phonon.nac_params["born"], phonon.nac_params["dielectric"], phonon.primitive
        )
        phonon.nac_params = {"born": charges, "dielectric": dielectric, "factor": coulomb_factor}
    phonon.produce_force_constants(calculate_full_force_constants=False)
    phonon.symmetrize_force_constants(level=passes, show_drift=False)
    return _phonopy_curves(phonon)


def _phonopy_curves(phonon: phonopy.Phonopy) -> FloatArray:
    """F, S and C_V per atom in meV and meV/K by phonopy, on a mesh of our length."""
    with warnings.catch_warnings():  # where a mesh breaks the point group, ours falls back likewise
        warnings.filterwarnings("ignore", message="(?s).*incompatible with the primitive-cell")
        phonon.run_mesh(DEFAULT_MESH_LENGTH_ANGSTROM, is_gamma_center=True)
    phonon.run_thermal_properties(
        temperatures=TEMPERATURES_K, cutoff_frequency=CUTOFF_THZ, exclude_gamma_acoustic=True
    )
    found = phonon.thermal_properties
    assert found is not None
    table = np.array([np.array(found.free_energy) * 1e3, found.entropy, found.heat_capacity])
    return np.asarray(table / get_physical_units().EvTokJmol / len(phonon.primitive))


def constants_figures() -> list[Figure]:
    """How far phonopy's constants, of older releases of CODATA, are from those of 2018."""
    own = get_physical_units()
    ratios = {
        "k_B": own.KB / units.BOLTZMANN_EV_PER_K,
        "h": own.PlanckConstant / CODATA_2018["PlanckConstant"],
        "THz of sqrt(eV/Å²/amu)": own.DefaultToTHz / units.SQRT_EV_PER_ANGSTROM2_AMU_TO_THZ,
        "kJ/mol of eV": own.EvTokJmol / units.MEV_TO_JOULE_PER_MOL,
    }
    return [
        Figure(f"1 why: phonopy's {name} is off by", ratio - 1.0, "relative")
        for name, ratio in ratios.items()
    ]
