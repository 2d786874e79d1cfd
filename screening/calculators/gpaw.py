"""Forces from density functional theory with GPAW: plane waves and projector-augmented waves.

It runs in this process, so a worker that is killed at its time limit takes it along; a call that
takes too long is stopped by an alarm (`screening.calculators.first_principles.time_limit`).
Every structure is computed from scratch: a restart from another density would make the numbers
depend, within the tolerance, on what was computed before.

The stress is that at a fixed number of plane waves and converges later than forces do: for MgO
it is 55 GPa off at 400 eV, 6 GPa at 600 eV and 0.2 GPa at 800 eV. Relaxations, which need
primitive cells only, therefore have a higher cutoff of their own; it is also that of all
energies, so that those of two polymorphs can be compared.

References
----------
J. J. Mortensen et al., J. Chem. Phys. 160, 092503 (2024). doi:10.1063/5.0182685
J. P. Perdew, K. Burke and M. Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996), the functional PBE.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from screening.calculators.checks import CheckedCalculator
from screening.calculators.first_principles import (
    DFT_DISPLACEMENT_ANGSTROM,
    check_choice,
    check_positive,
    kpoint_grid,
    not_converged,
    settings_from_options,
    time_limit,
)
from screening.calculators.interface import IndexArray
from screening.digest import digest_of, digest_of_file
from screening.errors import ExecutableMissingError, PseudopotentialMissingError
from screening.prediction import FloatArray

__all__ = ["GpawEngine", "GpawSettings", "load_gpaw"]

_NOT_NUMBERS = frozenset({"time_limit_s"})
_FUNCTIONALS = ("LDA", "PBE", "RPBE", "revPBE")  # those with datasets of their own
_SYMMETRY_TOLERANCE_ANGSTROM = 1e-5
# Fraction of the new density, number of old ones kept, damping of long waves; the physics is
# the same. The first is GPAW's own for plane waves.
_MIXERS: tuple[dict[str, Any], ...] = (
    {},
    {"backend": "pulay", "beta": 0.02, "nmaxold": 8, "weight": 100.0},
    {"backend": "pulay", "beta": 0.01, "nmaxold": 3, "weight": 200.0},
)


@dataclass(frozen=True)
class GpawSettings:
    """How GPAW solves for the electrons; spins are not polarised.

    Attributes
    ----------
    ecut_ev
        Largest kinetic energy of a plane wave in eV where only forces are wanted.
    relaxation_ecut_ev
        The same where energies and stresses are wanted.
    kpoint_spacing_per_angstrom
        Largest distance of Gamma-centred wave vectors along a reciprocal vector (with 2 pi)
        in 1/Å, see `screening.calculators.first_principles.kpoint_grid`.
    xc
        Exchange-correlation functional.
    smearing_ev
        Width of the Fermi-Dirac occupations in eV: metals converge with it, gaps above half
        an electronvolt do not feel it. Energies are free energies with its entropy, whose
        derivatives the forces are.
    density_tolerance
        Largest change of the density at convergence in electrons per valence electron.
    max_scf_iterations
        Iterations of each of the three attempts.
    time_limit_s
        Wall time of one call in seconds, all attempts together.

    Raises
    ------
    SettingError
        If a value is out of range.
    """

    ecut_ev: float = 500.0
    relaxation_ecut_ev: float = 800.0
    kpoint_spacing_per_angstrom: float = 0.25
    xc: str = "PBE"
    smearing_ev: float = 0.05
    density_tolerance: float = 1e-6
    max_scf_iterations: int = 150
    time_limit_s: float = 86400.0

    def __post_init__(self) -> None:
        check_choice("xc", self.xc, _FUNCTIONALS)
        check_positive(
            self,
            "ecut_ev",
            "relaxation_ecut_ev",
            "kpoint_spacing_per_angstrom",
            "smearing_ev",
            "density_tolerance",
            "max_scf_iterations",
            "time_limit_s",
        )

    def numbers(self) -> dict[str, Any]:
        """Return the settings that change the numbers."""
        return {name: value for name, value in asdict(self).items() if name not in _NOT_NUMBERS}


class GpawEngine:
    """One ground state after the other.

    Parameters
    ----------
    settings
        Of the calculation.
    """

    def __init__(self, settings: GpawSettings) -> None:
        self._settings = settings

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> FloatArray:
        """Compute forces in eV/Å on one cell, shape (atom, 3)."""
        with self._limited(numbers):
            atoms = self._ground_state(cell, positions, numbers, self._settings.ecut_ev)
            found: FloatArray = atoms.get_forces()
        return found

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> float:
        """Compute the energy of one cell in eV."""
        with self._limited(numbers):
            atoms = self._ground_state(cell, positions, numbers, self._settings.relaxation_ecut_ev)
            return float(atoms.get_potential_energy(force_consistent=True))

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Compute energy in eV, forces in eV/Å and stress in eV/Å^3 of one cell."""
        with self._limited(numbers):
            atoms = self._ground_state(cell, positions, numbers, self._settings.relaxation_ecut_ev)
            stress: FloatArray = atoms.get_stress(voigt=False)
            forces = atoms.get_forces()
        # The grid breaks translation by some 1e-4 eV/Å: a common force that no relaxation
        # along a polar axis could ever remove.
        energy = float(atoms.get_potential_energy(force_consistent=True))
        return energy, forces - forces.mean(axis=0), stress

    def _limited(self, numbers: IndexArray) -> AbstractContextManager[None]:
        return time_limit(self._settings.time_limit_s, f"GPAW, {len(numbers)} atoms")

    def _ground_state(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray, ecut_ev: float
    ) -> Any:
        """Return atoms whose density is converged, trying ever more cautious mixing."""
        from ase import Atoms
        from gpaw import GPAW, ConvergenceError

        atoms: Any = Atoms(numbers=numbers, positions=positions, cell=cell, pbc=True)
        detail = ""
        for mixer in _MIXERS:
            atoms.calc = GPAW(**self._parameters(cell, ecut_ev, mixer))
            try:
                atoms.get_potential_energy()
            except ConvergenceError as error:
                detail = (str(error) or type(error).__name__).strip().splitlines()[0]
            else:
                return atoms
        raise not_converged(atoms.get_chemical_formula(), len(_MIXERS), detail)

    def _parameters(
        self, cell: FloatArray, ecut_ev: float, mixer: Mapping[str, Any]
    ) -> dict[str, Any]:
        settings = self._settings
        size = kpoint_grid(cell, settings.kpoint_spacing_per_angstrom)
        parameters: dict[str, Any] = {
            "mode": {"name": "pw", "ecut": ecut_ev},
            "xc": settings.xc,
            "kpts": {"size": size, "gamma": True},
            "occupations": {"name": "fermi-dirac", "width": settings.smearing_ev},
            "convergence": {"density": settings.density_tolerance},
            "symmetry": {"tolerance": _SYMMETRY_TOLERANCE_ANGSTROM},
            "maxiter": settings.max_scf_iterations,
            "spinpol": False,
            "txt": None,
        }
        return {**parameters, "mixer": dict(mixer)} if mixer else parameters


def load_gpaw(options: Mapping[str, Any]) -> CheckedCalculator:
    """Make the calculator that ``gpaw(key=value)`` names.

    Parameters
    ----------
    options
        Fields of `GpawSettings`.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.
    ExecutableMissingError
        If the package is not installed.
    PseudopotentialMissingError
        If its datasets are not.
    """
    settings = settings_from_options(GpawSettings, options, "gpaw")
    datasets = _datasets(settings.xc)
    digests = {symbol: digest_of_file(path) for symbol, path in datasets.items()}
    version = importlib.metadata.version("gpaw")
    from ase.data import atomic_numbers

    return CheckedCalculator(
        engine=GpawEngine(settings),
        name=f"gpaw:{settings.xc}",
        digest=digest_of(
            {
                "code": "gpaw",
                "version": version,
                "settings": settings.numbers(),
                "datasets": digests,
            }
        ),
        elements=frozenset(atomic_numbers[symbol] for symbol in datasets),
        displacement_angstrom=DFT_DISPLACEMENT_ANGSTROM,
        is_first_principles=True,
        settings={
            **asdict(settings),
            "code": f"gpaw {version}",
            "dataset_package": _dataset_package(),
            "datasets": {
                symbol: {"file": path.name, "sha256": digests[symbol]}
                for symbol, path in datasets.items()
            },
        },
    )


def _dataset_package() -> str:
    """Return name and version of the package of datasets, empty where they came otherwise."""
    try:
        return f"gpaw-data {importlib.metadata.version('gpaw-data')}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def _datasets(xc: str) -> dict[str, Path]:
    """Return the file that GPAW would take for each element."""
    folders = [Path(folder) for folder in _setup_folders()]
    name = re.compile(rf"(?P<symbol>[A-Z][a-z]?)\.{re.escape(xc)}(\.gz)?")
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob(f"*.{xc}*")):
            match = name.fullmatch(path.name)
            if match:
                found.setdefault(match["symbol"], path)
    if not found:
        raise PseudopotentialMissingError(
            f"no PAW dataset for {xc} in {', '.join(map(str, folders)) or 'any folder'}",
            subject="gpaw",
            hint="Install them: pip install gpaw-data",
        )
    return found


def _setup_folders() -> list[str | Path]:
    try:
        from gpaw import setup_paths
    except ImportError as error:
        raise ExecutableMissingError(
            f"the package gpaw cannot be imported: {error}",
            subject="gpaw",
            hint="Install it: apt-get install libxc-dev libopenblas-dev, then pip install gpaw",
        ) from error
    return list(setup_paths)
