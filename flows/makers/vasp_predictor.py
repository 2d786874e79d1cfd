"""The predictor whose forces VASP computed: what it is called, and how outputs become physics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from flows.makers.vasp_results import (
    PhononOutputs,
    StaticOutputs,
    force_data_of,
    missing_results,
)
from flows.makers.vasp_settings import VaspSettings, magnetism_notes
from flows.makers.vasp_times import RunTimes, run_times
from screening.digest import digest_of
from screening.errors import CellExplodedError
from screening.invariants import invariant_space
from screening.prediction import Cost, Prediction, Relaxation
from screening.predictors.assembly import (
    force_warnings,
    physics_from_forces,
    physics_warnings,
    relaxation_warnings,
)
from screening.predictors.interface import Tier, identity_of
from screening.settings import ScreeningSettings
from screening.units import KBAR_TO_GPA

if TYPE_CHECKING:
    from screening.structure import Crystal

__all__ = ["VaspPhonons"]

DISPLACEMENT_ANGSTROM = 0.01
"""Displacement where the settings leave it open: DFT forces have little noise."""


class VaspPhonons:
    """Harmonic phonons from a finished atomate2 flow; a predictor of the crystal it ran for.

    Parameters
    ----------
    settings
        Supercell, displacement, mesh, thermodynamics and stability.
    vasp
        How VASP computes forces.
    potcars
        POTCAR symbol of every element.
    model
        Name of code and functional.

    Attributes
    ----------
    method, method_version, tier, model, model_digest, settings, settings_digest, model_settings
        As `screening.predictors.interface.Predictor` says; known before anything is computed.
        The digest of the model is that of functional and POTCARs.
    """

    method = "dft-phonons"
    method_version = 1
    tier = Tier.SYSTEMATIC_DFT

    def __init__(
        self,
        settings: ScreeningSettings,
        vasp: VaspSettings,
        potcars: Mapping[str, str],
        model: str = "vasp:PBE",
    ) -> None:
        phonons = replace(
            settings.phonons,
            displacement_angstrom=settings.phonons.displacement_angstrom or DISPLACEMENT_ANGSTROM,
            adaptive=False,
        )
        self.screening = replace(settings, phonons=phonons)
        self.vasp = vasp
        self.model = model
        family = {"family": vasp.potcar_functional, "potcars": dict(potcars)}
        self.model_digest = digest_of({"model": model, "functional": "PBE"} | family)
        self.settings: Mapping[str, object] = self.screening.as_dict() | {"vasp": vasp.as_dict()}
        self.settings_digest = digest_of(dict(self.settings))
        self.model_settings: Mapping[str, object] = vasp.as_dict() | {"potcars": dict(potcars)}
        self._done: tuple[StaticOutputs, PhononOutputs] | None = None

    def with_outputs(self, static: StaticOutputs, outputs: PhononOutputs) -> VaspPhonons:
        """Keep what the calculations gave, for `predict`."""
        self._done = (static, outputs)
        return self

    def predict(self, crystal: Crystal) -> Prediction:
        """Turn the outputs into a prediction.

        Raises
        ------
        CalculatorFailedError
            If there are no outputs.
        ScreeningError
            As `force_data_of` and `screening.predictors.assembly.physics_from_forces`.
        """
        if self._done is None:
            raise missing_results("the calculation", ["outputs"])
        static, outputs = self._done
        forces = force_data_of(outputs, static.forces_ev_per_angstrom)
        physics = physics_from_forces(forces, self.screening)
        relaxation = self.relaxation_of(crystal, static)
        n_calls = len(forces.displaced_atoms) + 1 + static.relaxation_steps
        times = run_times((*static.directories, *outputs.directories()))
        return Prediction(
            **identity_of(self, crystal),
            structure=forces.primitive.copy(),
            thermodynamics=physics.thermodynamics,
            stability=physics.stability,
            cost=_cost(times, n_calls, static.relaxation_steps),
            static_energy_ev_per_atom=static.energy_ev / len(static.structure),
            static_energy_source=self.model,
            force_data=forces,
            density_of_states=physics.density_of_states,
            band_structure=physics.bands,
            relaxation=relaxation,
            warnings=(
                *magnetism_notes(forces.primitive, self.vasp),
                *relaxation_warnings(relaxation),
                *force_warnings(forces),
                *physics_warnings(physics),
                *_time_warnings(times),
            ),
            model_settings=self.model_settings,
        )

    def relaxation_of(self, crystal: Crystal, static: StaticOutputs) -> Relaxation | None:
        """Return how the crystal was relaxed, None where it was taken as given.

        Raises
        ------
        CellExplodedError
            If the volume left the allowed range.
        """
        settings = self.screening.relaxation
        if settings is None:
            return None
        ratio = static.structure.volume / crystal.structure.volume
        if not 1.0 / settings.max_volume_ratio <= ratio <= settings.max_volume_ratio:
            raise CellExplodedError(
                f"the volume changed by a factor of {ratio:.3f}, the limit is "
                f"{settings.max_volume_ratio:g}",
                subject=crystal.formula,
                hint="Start from a structure closer to the minimum",
            )
        forces = np.linalg.norm(static.forces_ev_per_angstrom, axis=1)
        return Relaxation(
            converged=True,  # atomate2 ends with an error where VASP did not converge
            n_steps=static.relaxation_steps,
            max_force_ev_per_angstrom=float(forces.max()),
            max_stress_gpa=float(np.abs(static.stress_kbar).max()) * KBAR_TO_GPA,
            volume_ratio=ratio,
            space_group_number_before=crystal.space_group_number,
            space_group_number_after=invariant_space(
                static.structure, settings.symprec_angstrom
            ).number,
        )


def _cost(times: RunTimes, n_calls: int, relaxation_steps: int) -> Cost:
    """Cost of the VASP runs; reading them costs nothing beside.

    The core time of some runs alone is not that of the prediction: it is then not known.
    """
    return Cost(
        wall_seconds=times.wall_seconds,
        cpu_seconds=0.0 if times.n_unknown else times.core_seconds,
        force_seconds=times.wall_seconds,
        force_calls=n_calls,
        relaxation_steps=relaxation_steps,
    )


def _time_warnings(times: RunTimes) -> list[str]:
    if not times.n_unknown:
        return []
    n_unknown = times.n_unknown
    return [f"the core time is not known: the folders of {n_unknown} VASP runs cannot be read here"]
