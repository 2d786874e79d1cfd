"""Made-up crystals of real compositions, whose cheap frequencies are wrong in a known way."""

from dataclasses import replace
from itertools import product

import numpy as np
from pymatgen.core import Lattice, Structure

from screening.prediction import Verdict
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.uncertainty.fitting import fit_calibration
from screening.uncertainty.samples import Sample

GRID_K = tuple(float(kelvin) for kelvin in range(0, 1501, 10))
FORMULAS = tuple(
    pair
    for cations, anions in (
        (("Li", "Na", "K", "Rb", "Cs", "Ag", "Cu"), ("F", "Cl", "Br", "I")),
        (("Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Pb"), ("O", "S", "Se", "Te")),
        (("Al", "Ga", "In", "B"), ("N", "P", "As", "Sb")),
    )
    for pair in product(cations, anions)
)
_FCC = Lattice([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
PROTOTYPES = {
    "rocksalt": (_FCC, 0.5),
    "zincblende": (_FCC, 0.25),
    "cesium-chloride": (Lattice.cubic(0.63), 0.5),
}


def crystal(cation, anion, prototype="rocksalt", volume=40.0):
    """Binary of one cation and one anion in a primitive cell, volume in cubic angstrom."""
    lattice, corner = PROTOTYPES[prototype]
    return Structure(lattice.scale(volume), [cation, anion], [[0, 0, 0], [corner] * 3])


def curves(frequencies_thz, temperatures_k=GRID_K, **settings):
    """Thermodynamics of modes away from the zone centre, three to an atom."""
    modes = np.asarray(frequencies_thz, dtype=float).reshape(-1, 3)
    chosen = ThermodynamicsSettings(temperatures_k=tuple(temperatures_k), **settings)
    away = np.zeros(len(modes), dtype=bool)
    return thermodynamics(modes, np.ones(len(modes)), 1, chosen, is_gamma=away)


def modes(highest_thz, seed=0, count=60):
    """Frequencies of a Debye-like crystal, at least half a THz."""
    shares = np.random.default_rng(seed).uniform(0.0, 1.0, (count, 3)) ** (1 / 3)
    return np.maximum(highest_thz * shares, 0.5)


def sample(material_id, structure, frequencies_thz, temperatures_k=GRID_K, **changes):
    """Sample with these modes."""
    made = Sample(
        material_id=material_id,
        composition=structure.composition.reduced_formula,
        structure=structure,
        thermodynamics=curves(frequencies_thz, temperatures_k),
        spread=None,
        lowest_frequency_thz=float(np.min(frequencies_thz)),
        verdict=Verdict.STABLE,
    )
    return replace(made, **changes)


def pairs(
    n_compositions,
    seed=0,
    *,
    bias=-0.25,
    common=0.06,
    own=0.03,
    prototypes=("rocksalt",),
    temperatures_k=GRID_K,
):
    """Cheap and better predictions; ln of the cheap over the true frequencies is the bias
    plus what a composition has in common plus what each crystal has of its own."""
    rng = np.random.default_rng(seed)
    found = []
    for index in rng.permutation(len(FORMULAS))[:n_compositions]:
        shift = bias + common * rng.normal()
        for prototype in prototypes:
            structure = crystal(*FORMULAS[index], prototype, volume=rng.uniform(30.0, 60.0))
            true = modes(rng.uniform(6.0, 16.0), seed=rng.integers(1 << 30))
            energy = -4.0 + 0.05 * rng.normal()
            name = f"{''.join(FORMULAS[index])}-{prototype}"
            cheap = sample(
                name,
                structure,
                true * np.exp(shift + own * rng.normal()),
                temperatures_k,
                static_energy_ev_per_atom=energy + 0.002 * rng.normal(),
                static_energy_source="potential",
            )
            better = sample(
                name,
                structure,
                true,
                temperatures_k,
                static_energy_ev_per_atom=energy,
                static_energy_source="dft",
            )
            found.append((cheap, better))
    return found


def calibrate(chosen, *quantities, **options):
    """Calibration of a potential against DFT."""
    return fit_calibration(
        chosen,
        cheap_family="potential",
        reference_family="dft",
        quantities=quantities or None,
        **options,
    )
