"""How far the default settings of a density functional code are from convergence.

One crystal, silicon at a fixed lattice constant: cutoff, spacing of wave vectors, displacement and
supercell are made finer one after the other, and the vibrational free energy at 300 K and the
forces on the displaced supercell are compared with those of the default. What is required is that
every next finer setting of the code changes the free energy by less than 1 meV/atom. The size of
the supercell is a setting of the screening, not of the code: it is reported, and so is a coarser
cutoff, which shows what is lost below the default.

    python benchmarks/dft_convergence.py --calculator espresso
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from pymatgen.core import Lattice, Structure
from report import Figure, parser, publish

from screening.calculators import load_calculator
from screening.harmonic import harmonic_from_forces, mesh_frequencies
from screening.phonons import PhononSettings, compute_forces
from screening.prediction import FloatArray
from screening.structure import canonical_crystal
from screening.supercell import SupercellSettings
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics

LATTICE_ANGSTROM = 5.47  # of silicon with PBE
TEMPERATURE_K = 300.0
CUTOFFS_EV = {"gpaw": (400.0, 500.0, 600.0), "espresso": (500.0, 600.0, 750.0)}  # the default: 2nd
SPACINGS_PER_ANGSTROM = (0.25, 0.2)
DISPLACEMENTS_ANGSTROM = (0.02, 0.01)


@dataclass(frozen=True)
class Setup:
    """One choice of everything that can be made finer."""

    code: str
    ecut_ev: float
    spacing_per_angstrom: float
    displacement_angstrom: float
    n_atoms: int

    @property
    def specification(self) -> str:
        """What the calculator is loaded by."""
        return (
            f"{self.code}(ecut_ev={self.ecut_ev},"
            f" kpoint_spacing_per_angstrom={self.spacing_per_angstrom})"
        )


@dataclass(frozen=True)
class Result:
    """What a setup gives for silicon."""

    free_energy_mev_per_atom: float
    optical_thz: float
    force_constants: FloatArray  # forces over the displacement in eV/Å^2
    seconds: float


def compute(setup: Setup) -> Result:
    """Displace, sum the modes, and time it."""
    structure = Structure.from_spacegroup(
        "Fd-3m", Lattice.cubic(LATTICE_ANGSTROM), ["Si"], [[0] * 3]
    )
    settings = PhononSettings(
        supercell=SupercellSettings(1.0, setup.n_atoms, setup.n_atoms),
        displacement_angstrom=setup.displacement_angstrom,
    )
    calculator = load_calculator(setup.specification)
    start = time.perf_counter()
    forces = compute_forces(canonical_crystal(structure).structure, calculator, settings)
    seconds = time.perf_counter() - start
    harmonic = harmonic_from_forces(forces)
    mesh = mesh_frequencies(harmonic)
    thermal = thermodynamics(
        mesh.frequencies_thz,
        mesh.weights,
        harmonic.n_atoms,
        ThermodynamicsSettings(temperatures_k=(TEMPERATURE_K,)),
        is_gamma=mesh.is_gamma,
    )
    change = forces.forces_ev_per_angstrom - forces.residual_forces_ev_per_angstrom
    gamma = mesh.frequencies_thz[mesh.is_gamma]
    return Result(
        float(thermal.free_energy_mev_per_atom[0]),
        float(gamma.max()) if len(gamma) else float("nan"),
        change / setup.displacement_angstrom,
        seconds,
    )


def setups(code: str, n_atoms: int, larger: int | None) -> dict[str, tuple[Setup, str | None]]:
    """Name every setup beside what is required of its difference from the default."""
    coarse, default, fine = CUTOFFS_EV[code]
    spacing, denser = SPACINGS_PER_ANGSTROM
    length, shorter = DISPLACEMENTS_ANGSTROM
    found: dict[str, tuple[Setup, str | None]] = {
        "default": (Setup(code, default, spacing, length, n_atoms), None),
        f"cutoff {coarse:g} eV": (Setup(code, coarse, spacing, length, n_atoms), None),
        f"cutoff {fine:g} eV": (Setup(code, fine, spacing, length, n_atoms), "<= 1"),
        f"spacing {denser:g} 1/Å": (Setup(code, default, denser, length, n_atoms), "<= 1"),
        f"displacement {shorter:g} Å": (Setup(code, default, spacing, shorter, n_atoms), "<= 1"),
    }
    if larger is not None:
        found[f"supercell of {larger} atoms"] = (
            Setup(code, default, spacing, length, larger),
            None,
        )
    return found


def figures_of(code: str, n_atoms: int, larger: int | None) -> list[Figure]:
    """Compute all setups and compare them with the first."""
    figures: list[Figure] = []
    reference: Result | None = None
    for name, (setup, required) in setups(code, n_atoms, larger).items():
        result = compute(setup)
        print(f"{name}: {result.seconds:.0f} s", flush=True)
        if reference is None:
            reference = result
            figures.append(Figure("F(300 K)", result.free_energy_mev_per_atom, "meV/atom"))
            figures.append(Figure("optical modes at Gamma", result.optical_thz, "THz"))
            continue
        change = abs(result.free_energy_mev_per_atom - reference.free_energy_mev_per_atom)
        figures.append(Figure(f"change of F(300 K), {name}", change, "meV/atom", required))
        if np.shape(result.force_constants) == np.shape(reference.force_constants):
            largest = float(np.abs(result.force_constants - reference.force_constants).max())
            scale = float(np.abs(reference.force_constants).max())
            figures.append(Figure(f"change of forces, {name}", 100 * largest / scale, "%"))
    return figures


def main() -> int:
    """Run one code and publish the figures."""
    options = parser(__doc__ or "")
    options.add_argument("--calculator", choices=sorted(CUTOFFS_EV), default="espresso")
    options.add_argument("--atoms", type=int, default=16, help="atoms of the supercell")
    options.add_argument("--larger", type=int, default=None, help="a larger supercell to compare")
    chosen = options.parse_args()
    figures = figures_of(chosen.calculator, chosen.atoms, chosen.larger)
    return publish(f"dft_convergence, {chosen.calculator}", figures, chosen.json)


if __name__ == "__main__":
    raise SystemExit(main())
