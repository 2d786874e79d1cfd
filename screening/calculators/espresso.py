"""Forces from density functional theory with the pw.x and ph.x of Quantum ESPRESSO.

Each calculation is a child process in a folder of its own that is removed afterwards; ASE writes
the input and reads the output. The stress is that at a fixed number of plane waves, so energies
and stresses have a higher cutoff than forces, as in `screening.calculators.gpaw`.

References
----------
P. Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017). doi:10.1088/1361-648X/aa8f79
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from screening.calculators.checks import CheckedCalculator
from screening.calculators.espresso_field import field_response, is_metal, phonon_input
from screening.calculators.espresso_process import find_program, run_program, version_of
from screening.calculators.espresso_pseudopotentials import (
    FUNCTIONALS,
    Pseudopotential,
    choose_pseudopotentials,
)
from screening.calculators.first_principles import (
    DFT_DISPLACEMENT_ANGSTROM,
    check_choice,
    check_positive,
    kpoint_grid,
    not_converged,
    settings_from_options,
)
from screening.calculators.interface import DielectricResponse, IndexArray
from screening.digest import digest_of, digest_of_file
from screening.errors import PseudopotentialMissingError, SettingError
from screening.prediction import FloatArray

__all__ = ["EspressoEngine", "EspressoSettings", "load_espresso"]

_NOT_NUMBERS = ("pseudo_dir", "bin_dir", "time_limit_s", "pseudopotentials")
_MIXING = (0.7, 0.3, 0.1)  # fraction of the new density in each attempt; the physics is the same
_EMPTY_BANDS = 4
_NOT_ACHIEVED = "convergence NOT achieved"


@dataclass(frozen=True)
class EspressoSettings:
    """How pw.x solves for the electrons; spins are not polarised.

    Attributes
    ----------
    ecut_ev
        Largest kinetic energy of a plane wave in eV where only forces are wanted.
    relaxation_ecut_ev
        The same where energies, stresses or Born charges are wanted.
    density_ecut_ratio
        Cutoff of the density over that of the waves: 8 or more for ultrasoft and
        projector-augmented pseudopotentials, 4 for norm-conserving ones.
    kpoint_spacing_per_angstrom
        Largest distance of Gamma-centred wave vectors along a reciprocal vector (with 2 pi)
        in 1/Å, see `screening.calculators.first_principles.kpoint_grid`.
    xc
        Exchange-correlation functional of the pseudopotentials.
    smearing_ev
        Width of the Fermi-Dirac occupations in eV: metals converge with it, gaps above half
        an electronvolt do not feel it. Energies are free energies with its entropy, whose
        derivatives the forces are.
    scf_tolerance_ry
        Estimated error of the energy at convergence in Ry.
    max_scf_iterations
        Iterations of each of the three attempts.
    born
        Whether to compute Born charges and the dielectric constant with ph.x.
    pseudo_dir
        Folder of the UPF files.
    pseudopotentials
        Files in it by element; the others by the rule of
        `screening.calculators.espresso_pseudopotentials`.
    bin_dir
        Folder of pw.x and ph.x; empty looks along ``PATH``.
    time_limit_s
        Wall time of one run of pw.x or ph.x in seconds.

    Raises
    ------
    SettingError
        If a value is out of range.
    """

    ecut_ev: float = 600.0
    relaxation_ecut_ev: float = 900.0
    density_ecut_ratio: float = 8.0
    kpoint_spacing_per_angstrom: float = 0.25
    xc: str = "PBE"
    smearing_ev: float = 0.05
    scf_tolerance_ry: float = 1e-10
    max_scf_iterations: int = 100
    born: bool = False
    pseudo_dir: str = "/usr/share/espresso/pseudo"
    pseudopotentials: Mapping[str, str] = field(default_factory=dict)
    bin_dir: str = ""
    time_limit_s: float = 86400.0

    def __post_init__(self) -> None:
        check_choice("xc", self.xc, tuple(FUNCTIONALS))
        check_positive(
            self,
            "ecut_ev",
            "relaxation_ecut_ev",
            "density_ecut_ratio",
            "kpoint_spacing_per_angstrom",
            "smearing_ev",
            "scf_tolerance_ry",
            "max_scf_iterations",
            "time_limit_s",
        )
        files = self.pseudopotentials
        if not isinstance(files, Mapping) or not all(
            isinstance(text, str) for pair in files.items() for text in pair
        ):
            raise SettingError(
                f"is {files!r}, must be like {{'Si': 'Si.UPF'}}", subject="pseudopotentials"
            )

    def numbers(self) -> dict[str, Any]:
        """Return the settings that change the numbers; files count by their content."""
        return {name: value for name, value in asdict(self).items() if name not in _NOT_NUMBERS}


class EspressoEngine:
    """One calculation after the other.

    Parameters
    ----------
    settings
        Of the calculation.
    pseudopotentials
        By the symbol of the element.
    """

    def __init__(
        self, settings: EspressoSettings, pseudopotentials: Mapping[str, Pseudopotential]
    ) -> None:
        self._settings = settings
        self._pseudopotentials = pseudopotentials
        self._pw = find_program("pw.x", settings.bin_dir)
        self._ph = find_program("ph.x", settings.bin_dir) if settings.born else None

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> FloatArray:
        """Compute forces in eV/Å on one cell, shape (atom, 3)."""
        atoms = self._atoms(cell, positions, numbers)
        found: FloatArray = self._ground_state(atoms, self._settings.ecut_ev).get_forces()
        return found

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> float:
        """Compute the energy of one cell in eV."""
        atoms = self._atoms(cell, positions, numbers)
        result = self._ground_state(atoms, self._settings.relaxation_ecut_ev)
        return float(result.get_potential_energy())

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Compute energy in eV, forces in eV/Å and stress in eV/Å^3 of one cell."""
        atoms = self._atoms(cell, positions, numbers)
        result = self._ground_state(atoms, self._settings.relaxation_ecut_ev, tstress=True)
        stress: FloatArray = result.get_stress(voigt=False)
        return result.get_potential_energy(), result.get_forces(), stress

    def dielectric_response(
        self, cell: FloatArray, positions: FloatArray, numbers: IndexArray
    ) -> DielectricResponse | None:
        """Compute Born charges and dielectric constant, None where they are not asked for."""
        if self._ph is None:
            return None
        atoms = self._atoms(cell, positions, numbers)
        symbols = atoms.get_chemical_symbols()
        n_electrons = sum(self._pseudopotentials[symbol].n_valence for symbol in symbols)
        if n_electrons % 2:
            return DielectricResponse(None, None, "an odd number of electrons: a metal")
        with _folder() as folder:
            bands = int(n_electrons) // 2 + _EMPTY_BANDS
            limit_s, ecut_ev = self._settings.time_limit_s, self._settings.relaxation_ecut_ev
            text = self._converged(
                atoms, folder, ecut_ev, occupations="fixed", nbnd=bands, disk_io="low"
            )
            if is_metal(text):
                return DielectricResponse(None, None, "no band gap: a metal")
            output = run_program(self._ph, phonon_input(), folder, limit_s)
        return field_response(output, symbols)

    def _atoms(self, cell: FloatArray, positions: FloatArray, numbers: IndexArray) -> Any:
        """Return the cell, refusing elements without a pseudopotential before anything runs."""
        from ase import Atoms

        atoms: Any = Atoms(numbers=numbers, positions=positions, cell=cell, pbc=True)
        missing = sorted(set(atoms.get_chemical_symbols()) - set(self._pseudopotentials))
        if missing:
            raise PseudopotentialMissingError(
                f"no {self._settings.xc} pseudopotential for {', '.join(missing)} in"
                f" {self._settings.pseudo_dir}; there are {', '.join(self._pseudopotentials)}",
                subject=atoms.get_chemical_formula(),
                hint="Put its UPF file there, or name another folder with pseudo_dir",
            )
        return atoms

    def _ground_state(self, atoms: Any, ecut_ev: float, **control: Any) -> Any:
        """Return atoms with the results of a converged calculation."""
        from ase.io import read

        with _folder() as folder:
            text = self._converged(atoms, folder, ecut_ev, disk_io="none", **control)
        return read(io.StringIO(text), format="espresso-out")

    def _converged(self, atoms: Any, folder: Path, ecut_ev: float, **more: Any) -> str:
        """Return the output of the first attempt that converges."""
        detail = ""
        for beta in _MIXING:
            source = self._input(atoms, ecut_ev, mixing_beta=beta, **more)
            text = run_program(self._pw, source, folder, self._settings.time_limit_s)
            if _NOT_ACHIEVED not in text:
                return text
            detail = f"{self._settings.max_scf_iterations} iterations each"
        raise not_converged(atoms.get_chemical_formula(), len(_MIXING), detail)

    def _input(self, atoms: Any, ecut_ev: float, **more: Any) -> str:
        """Write the input file."""
        from ase.io.espresso import write_espresso_in
        from ase.units import Rydberg

        settings = self._settings
        files = {symbol: entry.path.name for symbol, entry in self._pseudopotentials.items()}
        data = {
            "calculation": "scf",
            "prefix": "crystal",
            "outdir": ".",
            "pseudo_dir": str(Path(settings.pseudo_dir).resolve()),
            "tprnfor": True,
            "ecutwfc": ecut_ev / Rydberg,
            "ecutrho": settings.density_ecut_ratio * ecut_ev / Rydberg,
            "occupations": "smearing",
            "smearing": "fermi-dirac",
            "degauss": settings.smearing_ev / Rydberg,
            "conv_thr": settings.scf_tolerance_ry,
            "electron_maxstep": settings.max_scf_iterations,
            **more,
        }
        if data["occupations"] == "fixed":
            del data["smearing"], data["degauss"]
        stream = io.StringIO()
        write_espresso_in(
            stream,
            atoms,
            input_data=data,
            pseudopotentials=files,
            kpts=kpoint_grid(atoms.cell.array, settings.kpoint_spacing_per_angstrom),
            crystal_coordinates=True,
        )
        return stream.getvalue()


def load_espresso(options: Mapping[str, Any]) -> CheckedCalculator:
    """Make the calculator that ``espresso(key=value)`` names.

    It has no list of elements: the engine refuses one without a pseudopotential itself, before
    anything runs, and says which there are.

    Parameters
    ----------
    options
        Fields of `EspressoSettings`.

    Raises
    ------
    SettingError
        If a setting is unknown or out of range.
    ExecutableMissingError
        If pw.x or ph.x is not installed.
    PseudopotentialMissingError
        If there is no pseudopotential at all, or not one that is named.
    """
    settings = settings_from_options(EspressoSettings, options, "espresso")
    folder = Path(settings.pseudo_dir)
    chosen = choose_pseudopotentials(folder, settings.xc, settings.pseudopotentials)
    engine = EspressoEngine(settings, chosen)
    with _folder() as scratch:
        version = version_of(find_program("pw.x", settings.bin_dir), scratch)
    files = {symbol: digest_of_file(entry.path) for symbol, entry in chosen.items()}
    return CheckedCalculator(
        engine=engine,
        name=f"espresso:{settings.xc}",
        digest=digest_of(
            {
                "code": "espresso",
                "version": version,
                "settings": settings.numbers(),
                "pseudopotentials": files,
            }
        ),
        displacement_angstrom=DFT_DISPLACEMENT_ANGSTROM,
        is_first_principles=True,
        settings={
            **asdict(settings),
            "pseudopotentials": dict(settings.pseudopotentials),
            "code": f"pw.x {version}",
            "datasets": {
                symbol: {"file": entry.path.name, "sha256": files[symbol]}
                for symbol, entry in chosen.items()
            },
        },
    )


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="phonoscreen-") as name:
        yield Path(name)
