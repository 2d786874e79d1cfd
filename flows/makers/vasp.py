"""DFT phonons by VASP, through atomate2's phonon flow with our settings and our supercells.

One job prepares, one chooses supercell and Born charges once the cell is relaxed and its band gap
known, one reads the outputs into a prediction. Between them run atomate2's own jobs. Failures on
the way end as failure documents, whichever job they happen in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jobflow import Flow, Job, Maker, OnMissing, Response, job

from flows.events import Outcome
from flows.makers.vasp_environment import atomate2_potcars, potcars_of, require_vasp
from flows.makers.vasp_predictor import VaspPhonons
from flows.makers.vasp_results import PhononOutputs, StaticOutputs
from flows.makers.vasp_settings import Calculation, VaspSettings, incar_of
from flows.makers.vasp_steps import guarded, report_of, start
from flows.materials import key_of, write_prediction
from flows.reserving import running_flow
from flows.resources import Resource, tagged
from screening.calculators.first_principles import kpoint_grid
from screening.settings import ScreeningSettings
from screening.supercell import choose_supercell
from stores.connect import Database

if TYPE_CHECKING:
    from atomate2.common.flows.phonons import BasePhononMaker
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from screening.structure import Crystal

__all__ = [
    "VaspPhononMaker",
    "displacements_job",
    "prepare_job",
    "read_job",
]

_LIGHT_JOBS = frozenset({"generate_phonon_displacements", "generate_frequencies_eigenvectors"})
# what is drawn and tabulated is our own, so atomate2's is kept small
_DOCUMENT_OPTIONS = {"npoints_band": 11, "kpoint_density_dos": 500, "tmin": 0, "tmax": 10}


@dataclass
class VaspPhononMaker(Maker):
    """DFT phonons of one material by VASP.

    Parameters
    ----------
    name
        Name of the flow.
    settings
        Plain settings of the science, :meth:`screening.settings.ScreeningSettings.as_dict`;
        empty for the defaults. An adaptive supercell is not used.
    vasp
        Fields of :class:`flows.makers.vasp_settings.VaspSettings`; empty for the defaults.
    command
        How VASP is started, such as ``mpirun vasp_std``; empty takes ``VASP_CMD`` of atomate2.
    wall_seconds
        When VASP is stopped in good order; None never.
    check_environment
        Whether the first job, which then runs on a worker for DFT, refuses to go on where VASP
        or a POTCAR is missing.
    """

    name: str = "VASP phonons"
    settings: dict[str, Any] = field(default_factory=dict)
    vasp: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    wall_seconds: int | None = None
    check_environment: bool = True

    def make(self, database_uri: str, material_id: str) -> Flow:
        """Return the flow; the crystal is read when it runs.

        Raises
        ------
        SettingError
            If a setting is unknown or out of range.
        """
        ScreeningSettings.from_dict(self.settings)
        VaspSettings.from_dict(self.vasp)
        first = prepare_job(self, database_uri, material_id)
        first.name = f"{self.name}: prepare"
        tagged(first, Resource.DFT if self.check_environment else Resource.DATABASE)
        return Flow([first], output=first.output, name=self.name)

    def predictor(self) -> VaspPhonons:
        """Return what identifies and later makes the prediction.

        Raises
        ------
        ExecutableMissingError
            If atomate2 is not installed.
        """
        return VaspPhonons(
            ScreeningSettings.from_dict(self.settings),
            VaspSettings.from_dict(self.vasp),
            self.potcars(),
        )

    def potcars(self) -> dict[str, str]:
        """Return the POTCAR symbol of every element: atomate2's, with the user's changes."""
        return atomate2_potcars() | dict(VaspSettings.from_dict(self.vasp).potcars)

    def check(self, structure: Structure) -> None:
        """Refuse before anything is submitted; as `require_vasp`."""
        family = VaspSettings.from_dict(self.vasp).potcar_functional
        require_vasp(potcars_of(structure, self.potcars()), family, self.command)

    def relax_maker(self, structure: Structure) -> Any:
        """Return the maker of the relaxation of cell and ions."""
        from atomate2.vasp.flows.core import DoubleRelaxMaker
        from atomate2.vasp.jobs.core import TightRelaxMaker

        options = self._options(structure, Calculation.RELAXATION)
        return DoubleRelaxMaker.from_relax_maker(TightRelaxMaker(**options))

    def static_maker(self, structure: Structure) -> Any:
        """Return the maker of the static calculation of the primitive cell."""
        from atomate2.vasp.jobs.core import StaticMaker

        return StaticMaker(**self._options(structure, Calculation.STATIC))

    def phonon_maker(
        self, structure: Structure, supercell: NDArray[np.int64], *, born: bool
    ) -> BasePhononMaker:
        """Return atomate2's maker for a relaxed primitive cell.

        Parameters
        ----------
        structure
            The cell.
        supercell
            Integers, rows are supercell vectors in primitive vectors, shape (3, 3).
        born
            Whether Born charges are computed.
        """
        from atomate2.vasp.flows.phonons import PhononMaker
        from atomate2.vasp.jobs.core import DielectricMaker
        from atomate2.vasp.jobs.phonons import PhononDisplacementMaker

        dielectric = DielectricMaker(**self._options(structure, Calculation.DIELECTRIC))
        displacement = self._options(structure, Calculation.DISPLACEMENT, supercell)
        return PhononMaker(
            **self.shared_options(),
            born_maker=dielectric if born else None,
            phonon_displacement_maker=PhononDisplacementMaker(**displacement),
        )

    def shared_options(self) -> dict[str, Any]:
        """Return what is the same for every code: displacement, symmetry, cell as it is."""
        phonons = self.predictor().screening.phonons
        return {
            "displacement": phonons.displacement_angstrom,
            "symprec": phonons.symprec_angstrom,
            "use_symmetrized_structure": None,  # the cell is primitive, and ours
            "bulk_relax_maker": None,
            "static_energy_maker": None,
            "create_thermal_displacements": False,
            "store_force_constants": False,
            "kpath_scheme": "seekpath",
            "generate_frequencies_eigenvectors_kwargs": dict(_DOCUMENT_OPTIONS),
        }

    def relaxation_steps(self, output: Any) -> Any:
        """Return where a relaxation's output has its ionic steps."""
        return output.calcs_reversed[0].output.ionic_steps

    def band_gap(self, output: Any) -> Any:
        """Return where a static calculation's output has the band gap in eV."""
        return output.output.bandgap

    def wants_born(self, static: StaticOutputs) -> bool:
        """Whether Born charges are to be computed: wanted, and an insulating compound."""
        vasp = VaspSettings.from_dict(self.vasp)
        compound = len(static.structure.composition) > 1
        return vasp.born_charges and compound and (static.band_gap_ev or 0.0) > vasp.least_gap_ev

    def _options(
        self,
        structure: Structure,
        kind: Calculation,
        supercell: NDArray[np.int64] | None = None,
    ) -> dict[str, Any]:
        """Input set and command of one kind of calculation, with nothing left to defaults."""
        from atomate2.vasp.sets.base import VaspInputGenerator
        from pymatgen.io.vasp import Kpoints

        vasp = VaspSettings.from_dict(self.vasp)
        cell = (
            structure.lattice.matrix if supercell is None else supercell @ structure.lattice.matrix
        )
        mesh = kpoint_grid(cell, vasp.kpoint_spacing_per_angstrom)
        generator = VaspInputGenerator(
            config_dict={
                "INCAR": {},
                "KPOINTS": {},
                "POTCAR": potcars_of(structure, self.potcars()),
                "POTCAR_FUNCTIONAL": vasp.potcar_functional,
            },
            user_incar_settings=incar_of(vasp, kind),
            user_kpoints_settings=Kpoints.gamma_automatic(mesh),  # type: ignore[arg-type] # allowed
            auto_ismear=False,
            auto_ispin=False,
            auto_lreal=False,
            auto_metal_kpoints=False,
            auto_kspacing=False,
            inherit_incar=False,
        )
        command = {"vasp_cmd": self.command, "vasp_gamma_cmd": self.command} if self.command else {}
        limit = {"wall_time": self.wall_seconds} if self.wall_seconds is not None else {}
        return {
            "input_set_generator": generator,
            "run_vasp_kwargs": command | limit,
            # a user's file of atomate2 must not change what the digest says
            "write_input_set_kwargs": {"apply_incar_updates": False},
        }


@job
def prepare_job(maker: VaspPhononMaker, database_uri: str, material_id: str) -> Any:
    """Start a material: relaxation where wanted, static calculation, then the displacements.

    Parameters
    ----------
    maker
        The settings.
    database_uri, material_id
        Where the crystal is, and which one.

    Returns
    -------
    Response or dict
        The flow that follows, or a report where the prediction exists or cannot be made.
    """

    def work(database: Database, crystal: Crystal, predictor: VaspPhonons) -> Any:
        started = start(database, crystal, key_of(crystal.digest, predictor))
        if started is not None:
            return report_of(material_id, started.outcome, started.detail)
        if maker.check_environment:
            maker.check(crystal.structure)
        # VASP's files, and so the forces that come back, are in this order of the elements
        structure = crystal.structure.get_sorted_structure()
        return Response(replace=_geometry_flow(maker, database_uri, material_id, structure))

    return guarded(maker, database_uri, material_id, work)


def _geometry_flow(
    maker: VaspPhononMaker, database_uri: str, material_id: str, structure: Structure
) -> Flow:
    parts: list[Job | Flow] = []
    source: Any = structure
    steps: Any = None
    if maker.predictor().screening.relaxation is not None:
        relaxed = maker.relax_maker(structure).make(structure)
        source, steps = relaxed.output.structure, maker.relaxation_steps(relaxed.output)
        parts.append(relaxed)
    static = maker.static_maker(structure).make(source)
    result = static.output.output
    outputs = {
        "structure": source,
        "energy_ev": result.energy,
        "forces_ev_per_angstrom": result.forces,
        "stress_kbar": result.stress,
        "band_gap_ev": maker.band_gap(static.output),
        "relaxation_steps": steps,
        "directories": [part.output.dir_name for part in (*parts, static)],
    }
    following = displacements_job(maker, database_uri, material_id, outputs)
    following.name = f"{maker.name}: displacements"
    parts = [tagged(part, Resource.DFT) for part in (*parts, static)]
    flow = Flow([*parts, tagged(following, Resource.DATABASE)], output=following.output)
    return _going_on_after_failures(flow)


@job
def displacements_job(
    maker: VaspPhononMaker, database_uri: str, material_id: str, static: Mapping[str, Any]
) -> Any:
    """Choose supercell and Born charges for the relaxed cell, and go on with atomate2's flow.

    Parameters
    ----------
    maker, database_uri, material_id
        As `prepare_job`.
    static
        Fields of `StaticOutputs`, None where a calculation failed.
    """

    def work(_database: Database, crystal: Crystal, predictor: VaspPhonons) -> Any:
        checked = StaticOutputs.from_output(static)
        predictor.relaxation_of(crystal, checked)  # refuses before anything expensive
        phonons = predictor.screening.phonons
        structure = checked.structure
        supercell = choose_supercell(structure, phonons.supercell, phonons.symprec_angstrom)
        born = maker.wants_born(checked)
        inner = maker.phonon_maker(structure, supercell, born=born).make(
            structure,
            # columns are supercell vectors there, rows are here
            supercell_matrix=supercell.T.tolist(),
            total_dft_energy_per_formula_unit=checked.energy_ev_per_formula_unit,
        )
        jobs = {part.name: part for part in inner.jobs}
        reading = read_job(
            maker,
            database_uri,
            material_id,
            dict(static),
            {
                "document": inner.output,
                "displaced": jobs["generate_phonon_displacements"].output,
                "forces_ev_per_angstrom": jobs["run_phonon_displacements"].output,
                "born_expected": born,
            },
        )
        reading.name = f"{maker.name}: read"
        tagged(inner, Resource.DFT)
        for name in _LIGHT_JOBS:
            tagged(jobs[name], Resource.DATABASE)
        flow = Flow([inner, tagged(reading, Resource.DATABASE)], output=reading.output)
        return Response(replace=_going_on_after_failures(flow))

    return guarded(maker, database_uri, material_id, work)


@job
def read_job(
    maker: VaspPhononMaker,
    database_uri: str,
    material_id: str,
    static: Mapping[str, Any],
    outputs: Mapping[str, Any],
) -> dict[str, str]:
    """Turn the outputs of atomate2's flow into a prediction and write it.

    Parameters
    ----------
    maker, database_uri, material_id
        As `prepare_job`.
    static, outputs
        Fields of `StaticOutputs` and of `PhononOutputs`, None where a calculation failed.
    """

    def work(database: Database, crystal: Crystal, predictor: VaspPhonons) -> dict[str, str]:
        ready = predictor.with_outputs(StaticOutputs.from_output(static), PhononOutputs(**outputs))
        prediction = ready.predict(crystal)
        write_prediction(database, prediction, material_id)
        database.claims.withdraw(running_flow(), key_of(crystal.digest, predictor))
        return report_of(material_id, Outcome.COMPUTED, prediction.stability.verdict.value)

    report: dict[str, str] = guarded(maker, database_uri, material_id, work)
    return report


def _going_on_after_failures(flow: Flow) -> Flow:
    """Let every job start when those before it have ended, well or not.

    Only so does the last one learn of a failure and write it down; what atomate2 computes from a
    missing result fails at once. jobflow gives the setting on to the jobs that replace a job.
    """
    flow.update_config({"on_missing_references": OnMissing.NONE}, dynamic=False)
    return flow
