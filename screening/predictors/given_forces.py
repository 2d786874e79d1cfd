"""Harmonic phonons from forces that someone else computed, usually by DFT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from screening.digest import digest_of, digest_of_bytes
from screening.errors import InconsistentDataError, NonFiniteInputError
from screening.prediction import ForceData, Prediction
from screening.predictors.assembly import force_warnings, physics_from_forces, physics_warnings
from screening.predictors.interface import GIVEN_FORCES, Tier, identity_of
from screening.predictors.metering import Meter
from screening.settings import ScreeningSettings

if TYPE_CHECKING:
    from screening.structure import Crystal

__all__ = ["GivenForces", "array_digest", "force_data_digest"]

_DIGEST_DECIMALS = 10


class GivenForces:
    """A prediction for the one crystal whose forces are given.

    Parameters
    ----------
    forces
        Forces of displaced supercells, with Born charges where known.
    settings
        Mesh, thermodynamics and stability; what says how forces are made has no meaning here.
    source
        Where the forces come from, for example ``PBE`` or the name of a file's calculator.
    static_energy_ev_per_atom
        Energy without vibrations by the same source in eV/atom, None where unknown.

    Raises
    ------
    NonFiniteInputError
        If a force or the energy is not finite.
    """

    method = GIVEN_FORCES
    method_version = 1
    tier = Tier.SYSTEMATIC_DFT

    def __init__(
        self,
        forces: ForceData,
        settings: ScreeningSettings | None = None,
        *,
        source: str = "given",
        static_energy_ev_per_atom: float | None = None,
    ) -> None:
        if static_energy_ev_per_atom is not None and not np.isfinite(static_energy_ev_per_atom):
            raise NonFiniteInputError("the static energy is not finite", subject=source)
        self._forces = forces
        self._settings = settings or ScreeningSettings()
        self._energy = static_energy_ev_per_atom
        self.model = source
        self.model_digest = force_data_digest(forces, static_energy_ev_per_atom)
        self.settings: Mapping[str, object] = _relevant(self._settings)
        self.settings_digest = digest_of(dict(self.settings))

    def predict(self, crystal: Crystal) -> Prediction:
        """Predict the crystal that the forces belong to.

        Raises
        ------
        InconsistentDataError
            If this is another crystal, or the forces do not determine the force constants.
        """
        from screening.structure import canonical_crystal

        meter = Meter()
        own = canonical_crystal(self._forces.primitive, subject=crystal.formula)
        if own.digest != crystal.digest:
            raise InconsistentDataError(
                f"the forces belong to {own.formula} ({own.space_group_symbol}), another crystal",
                subject=crystal.material_id,
            )
        physics = physics_from_forces(self._forces, self._settings)
        return Prediction(
            **identity_of(self, crystal),
            structure=self._forces.primitive.copy(),
            thermodynamics=physics.thermodynamics,
            stability=physics.stability,
            cost=meter.cost(),
            static_energy_ev_per_atom=self._energy,
            static_energy_source=None if self._energy is None else self.model,
            force_data=self._forces,
            density_of_states=physics.density_of_states,
            band_structure=physics.bands,
            warnings=(*force_warnings(self._forces), *physics_warnings(physics)),
        )


def force_data_digest(forces: ForceData, static_energy_ev_per_atom: float | None = None) -> str:
    """SHA-256 over all numbers of a set of forces, rounded to ten decimals.

    Raises
    ------
    NonFiniteInputError
        If a number is not finite.
    """
    arrays = {
        "lattice": forces.primitive.lattice.matrix,
        "positions": forces.primitive.frac_coords,
        "numbers": [site.specie.Z for site in forces.primitive],
        "supercell_matrix": forces.supercell_matrix,
        "supercell_positions": forces.supercell_scaled_positions,
        "supercell_numbers": forces.supercell_numbers,
        "displaced_atoms": forces.displaced_atoms,
        "displacements": forces.displacements_angstrom,
        "forces": forces.forces_ev_per_angstrom,
        "residual_forces": forces.residual_forces_ev_per_angstrom,
        "born_charges": forces.born_charges_e,
        "dielectric_constant": forces.dielectric_constant,
        "static_energy": static_energy_ev_per_atom,
    }
    return digest_of({name: array_digest(name, values) for name, values in arrays.items()})


def array_digest(name: str, values: object) -> str | None:
    """SHA-256 of an array, rounded to ten decimals; None of none.

    Parameters
    ----------
    name
        Names it in errors.
    values
        Numbers, or None.

    Raises
    ------
    NonFiniteInputError
        If a number is not finite.
    """
    if values is None:
        return None
    numbers = np.array(values, dtype="<f8")  # one byte order, so that machines agree
    if not np.all(np.isfinite(numbers)):
        raise NonFiniteInputError("a number is not finite", subject=name)
    rounded = np.round(numbers, _DIGEST_DECIMALS) + 0.0  # no negative zeros
    return digest_of_bytes(str(numbers.shape).encode() + rounded.tobytes())


def _relevant(settings: ScreeningSettings) -> dict[str, object]:
    """Return the settings that change numbers once forces are given."""
    everything = settings.as_dict()
    phonons = everything["phonons"]
    return {
        "mesh_length_angstrom": phonons["mesh_length_angstrom"],
        "symprec_angstrom": phonons["symprec_angstrom"],
        "thermodynamics": everything["thermodynamics"],
        "stability_criterion": everything["stability_criterion"],
    }
