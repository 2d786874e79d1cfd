"""The peers of the phonon benchmark: how each of them computes one crystal.

Every function gets the same primitive cell, supercell, displacement, mesh length and
temperatures, and returns the free energy at 300 K in meV/atom. Models are loaded before, as
far as the peer allows it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening import units

__all__ = ["PEERS", "Task", "load_peer"]

TEMPERATURE_STEP_K, MAX_TEMPERATURE_K = 10.0, 1500.0
REPORTED_TEMPERATURE_K = 300.0
KJ_PER_MOL_TO_MEV = 1000.0 / units.MEV_TO_JOULE_PER_MOL
CUTOFF_THZ = 0.1


@dataclass(frozen=True)
class Task:
    """One crystal with everything that all codes share."""

    name: str
    structure: Structure
    supercell_matrix: NDArray[np.int64]
    displacement_angstrom: float
    mesh_length_angstrom: float


Peer = Callable[[Task], float]


@contextlib.contextmanager
def quiet_folder() -> Iterator[None]:
    """Work in a folder of its own, without the peers' warnings and prints."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            with Path(os.devnull).open("w") as sink, contextlib.redirect_stdout(sink):
                yield
        finally:
            os.chdir(before)


def stock_calculator() -> Any:
    """Return the ASE calculator that the chgnet package itself provides."""
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device="cpu")


def load_phonopy() -> Peer:
    """Plain phonopy with the stock ASE calculator; force constants symmetrised."""
    from ase import Atoms
    from phonopy import Phonopy
    from pymatgen.io.phonopy import get_phonopy_structure

    calculator = stock_calculator()

    def run(task: Task) -> float:
        phonon: Any = Phonopy(
            get_phonopy_structure(task.structure), task.supercell_matrix.T, primitive_matrix="P"
        )
        phonon.generate_displacements(distance=task.displacement_angstrom)
        forces = []
        for cell in phonon.supercells_with_displacements:
            atoms: Any = Atoms(cell.symbols, cell.positions, cell=cell.cell, pbc=True)
            atoms.calc = calculator
            forces.append(atoms.get_forces())
        phonon.forces = forces
        phonon.produce_force_constants()
        phonon.symmetrize_force_constants()
        phonon.run_mesh(task.mesh_length_angstrom)
        phonon.run_thermal_properties(
            t_step=TEMPERATURE_STEP_K, t_max=MAX_TEMPERATURE_K, cutoff_frequency=CUTOFF_THZ
        )
        found = phonon.thermal_properties
        return _per_atom(found.temperatures, found.free_energy, len(task.structure))

    return run


def load_matcalc() -> Peer:
    """PhononCalc of matcalc without relaxation and without files."""
    from matcalc import PhononCalc

    calculator = stock_calculator()

    def run(task: Task) -> float:
        job = PhononCalc(
            calculator,
            atom_disp=task.displacement_angstrom,
            supercell_matrix=task.supercell_matrix.T,
            relax_structure=False,
            write_phonon=False,
            t_step=TEMPERATURE_STEP_K,
            t_max=MAX_TEMPERATURE_K,
        )
        found = job.calc(task.structure)["thermal_properties"]
        return _per_atom(found["temperatures"], found["free_energy"], len(task.structure))

    return run


def load_atomate2() -> Peer:
    """atomate2's force-field PhononMaker under jobflow, with in-memory stores."""
    from atomate2.forcefields.flows.phonons import PhononMaker
    from atomate2.forcefields.jobs import ForceFieldStaticMaker
    from jobflow import JobStore, run_locally
    from maggma.stores import MemoryStore

    static = ForceFieldStaticMaker(
        force_field_name="CHGNet", calculator_kwargs={"use_device": "cpu"}
    )

    def run(task: Task) -> float:
        maker = PhononMaker(
            bulk_relax_maker=None,
            static_energy_maker=None,
            phonon_displacement_maker=static,
            displacement=task.displacement_angstrom,
        )
        flow = maker.make(task.structure, supercell_matrix=task.supercell_matrix.T.tolist())
        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        responses = run_locally(
            flow, store=store, create_folders=True, ensure_success=True, log=False
        )
        document = responses[flow.jobs[-1].uuid][1].output
        # per formula unit and in J/mol
        per_unit = dict(zip(document.temperatures, document.free_energies, strict=True))
        n_atoms = task.structure.composition.reduced_composition.num_atoms
        return float(per_unit[REPORTED_TEMPERATURE_K]) / 1000.0 * KJ_PER_MOL_TO_MEV / n_atoms

    return run


def _per_atom(temperatures: Any, free_energies_kj_per_mol: Any, n_atoms: int) -> float:
    at = int(np.argmin(np.abs(np.asarray(temperatures) - REPORTED_TEMPERATURE_K)))
    return float(free_energies_kj_per_mol[at]) * KJ_PER_MOL_TO_MEV / n_atoms


PEERS: dict[str, Callable[[], Peer]] = {
    "phonopy": load_phonopy,
    "matcalc": load_matcalc,
    "atomate2": load_atomate2,
}


def load_peer(name: str) -> Peer:
    """Return a peer that runs in a folder of its own."""
    with quiet_folder():
        peer = PEERS[name]()

    def run(task: Task) -> float:
        with quiet_folder():
            return peer(task)

    return run
