"""A trained model of force constants: from crystals to spectra with their spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure

from screening.anharmonic import ForceConstants
from screening.descriptors.image_bonds import BondedCrystal, atomic_numbers
from screening.errors import (
    ModelCorruptError,
    ModelRefusedError,
    OutOfDomainError,
    SettingError,
)
from screening.hessians import atomic_masses_amu, without_translations
from screening.novelty import REACH_ANGSTROM, Novelty
from screening.prediction import FloatArray, frozen_array
from screening.random_forest.block_models import BlockModel, HessianModel, PairForests, TensorRidge
from screening.random_forest.blocks import Kind, kinds_of
from screening.random_forest.calibration import DISAGREEMENT_RISK, Calibration
from screening.random_forest.curves import Curves
from screening.random_forest.settings import ANEW, RandomForestSettings, Variant
from screening.random_forest.spectrum import (
    Spectrum,
    SpectrumCorrection,
    correction_from,
    spectrum_of,
)
from screening.random_forest.tensors import tensor_layout
from screening.trained_model import METHOD_PREFIXES, TrainedModel
from screening.trained_refusals import check_learned_elements, check_vibrates, size_refusal

__all__ = ["METHOD", "RandomForestForceConstants"]

METHOD = METHOD_PREFIXES["rf-ifc"]


@dataclass(frozen=True, eq=False)
class RandomForestForceConstants:
    """Force constants of pairs of atoms, learned at the zone centre.

    Attributes
    ----------
    elements
        Atomic numbers that it learned.
    settings
        How.
    hessian_model
        Models of the blocks.
    correction
        Of frequencies.
    calibration
        Of intervals, with the limit of novelty.
    novelty
        What it learned from.
    source
        What computed the Hessians it learned.
    """

    elements: tuple[int, ...]
    settings: RandomForestSettings
    hessian_model: HessianModel
    correction: SpectrumCorrection
    calibration: Calibration
    novelty: Novelty
    source: str

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Pairs of elements that it learned."""
        return tuple(self.hessian_model.choice)

    @property
    def has_dispersion(self) -> bool:
        """Whether all pairs of elements are by the ridge, which knows each image."""
        return set(self.hessian_model.choice.values()) == {"tensor_ridge"}

    def bonded(self, structure: Structure) -> BondedCrystal:
        """Share the bonds of a crystal among all that describe it here."""
        ridge = self.hessian_model.models.get("tensor_ridge")
        own = ridge.layout.reach_angstrom if isinstance(ridge, TensorRidge) else 0.0
        return BondedCrystal(structure, max(REACH_ANGSTROM, own))

    def check(self, crystal: Structure | BondedCrystal, subject: str = "") -> float:
        """Return the novelty of a crystal, at most 1, or refuse it.

        Parameters
        ----------
        crystal
            Any, at best as `bonded` gives it if its spectrum is wanted too.
        subject
            Its name in refusals; its formula where it has none.

        Raises
        ------
        ElementNotInModelError
            Naming elements that were never seen.
        OutOfDomainError
            If there is one atom only, a pair of elements was never seen, or the crystal is
            further from those learned than the limit: of another kind, or not relaxed.
        """
        whole = crystal if isinstance(crystal, BondedCrystal) else self.bonded(crystal)
        check_learned_elements(whole.numbers.tolist(), self.elements)
        subject = subject or whole.structure.composition.reduced_formula
        check_vibrates(len(whole), subject)
        self.hessian_model.check_kinds(whole)
        return self._checked_novelty(whole, subject)

    def _checked_novelty(self, structure: BondedCrystal, subject: str) -> float:
        limits, measures = self.calibration.domain.at_rest, self.novelty.measures(structure)
        novelty = limits.novelty(measures)
        if novelty <= 1.0:
            return novelty
        refusal = limits.refusal(measures, subject)
        assert refusal is not None
        raise refusal

    def check_size(self, structure: Structure, subject: str = "") -> None:
        """Refuse a cell of a size for which sums over the modes of the zone centre are not known.

        Raises
        ------
        OutOfDomainError
            If it has fewer or more sites than all cells of the training set.
        """
        refusal = size_refusal(
            len(structure),
            self.calibration.domain.sites_per_cell,
            subject or structure.composition.reduced_formula,
            instead="--mesh with a model of ridges alone",
        )
        if refusal is not None:
            raise refusal

    def check_agreement(self, curves: Curves, structure: Structure, subject: str = "") -> None:
        """Refuse a crystal on which the members differ as they hardly ever did before.

        Raises
        ------
        OutOfDomainError
            If they do.
        """
        found = self.calibration.disagreement(curves)
        limit = self.calibration.domain.disagreement_limit
        if not found <= limit:
            raise OutOfDomainError(
                f"members disagree more than {1.0 - DISAGREEMENT_RISK:.0%} of those that were"
                f" calibrated: {found:.3g} times what is usual, the limit is {limit:.3g}",
                subject=subject or structure.composition.reduced_formula,
                hint="Use a potential, or train on crystals like it",
            )

    def hessian_members(self, structure: Structure) -> FloatArray:
        """Predict without repair, shape (1 + member, 3 site + axis, 3 site + axis), in eV/Å²."""
        return self.hessian_model.hessians(structure)

    def hessians(self, structures: Sequence[Structure]) -> list[FloatArray]:
        """Predict Hessians at the zone centre in eV/Å², symmetric but not repaired.

        Raises
        ------
        ElementNotInModelError, OutOfDomainError
            As `check`.
        """
        for one in structures:
            self.check(one)
        return [self.hessian_members(one)[0] for one in structures]

    def spectrum(self, crystal: Structure | BondedCrystal) -> Spectrum:
        """Predict the modes at the zone centre with members."""
        whole = crystal if isinstance(crystal, BondedCrystal) else self.bonded(crystal)
        masses = atomic_masses_amu(whole)
        members = self.hessian_model.hessians(whole)
        return spectrum_of(members, masses, self.settings.repair_order, self.correction)

    def force_constants(
        self, structure: Structure, supercell_matrix: NDArray[np.int64]
    ) -> ForceConstants:
        """Predict force constants between the images of atoms in a supercell.

        What is learned are sums over images, at the zone centre. How a sum is shared among
        images follows from tensors of each bond having one coefficient in all crystals; nothing
        tests it directly, so that frequencies elsewhere are an extrapolation. Of the correction
        of the spectrum only the mean is in them, as one factor.

        Parameters
        ----------
        structure
            Primitive cell.
        supercell_matrix
            Integers, rows are supercell vectors in primitive vectors, shape (3, 3).

        Raises
        ------
        SettingError
            If a pair of elements is by a forest, which knows sums over images only.
        OutOfDomainError
            If the supercell has pairs of elements that no training cell held.
        """
        if not self.has_dispersion:
            raise SettingError(
                "a forest knows sums over images only, no dispersion",
                subject="modes",
                hint="Train the variant tensor_ridge, or use the modes of the zone centre",
            )
        supercell, sites = _supercell(structure, supercell_matrix)
        factor = np.exp(2.0 * self.correction.mean_change)
        hessian = factor * without_translations(self.hessian_members(supercell)[0])
        n_atoms = len(supercell)
        blocks = hessian.reshape(n_atoms, 3, n_atoms, 3).swapaxes(1, 2)
        first = [int(np.flatnonzero(sites == site)[0]) for site in range(len(structure))]
        return ForceConstants(
            primitive=structure,
            supercell_matrix=np.asarray(supercell_matrix, dtype=np.int64),
            supercell_scaled_positions=frozen_array(supercell.frac_coords),
            supercell_numbers=atomic_numbers(supercell),
            second_order_ev_per_angstrom2=frozen_array(blocks[first]),
        )

    def state(self) -> dict[str, Any]:
        """Return all that is not an array, as plain JSON."""
        return {
            "settings": self.settings.as_dict(),
            "choice": [[*kind, variant] for kind, variant in self.hessian_model.choice.items()],
            "correction": asdict(self.correction)
            | {"coefficients": list(self.correction.coefficients)},
            "calibration": self.calibration.as_dict(),
            "source": self.source,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all arrays by name."""
        found = self.novelty.arrays()
        for model in self.hessian_model.models.values():
            found |= cast("PairForests | TensorRidge", model).arrays()
        return found

    @classmethod
    def from_trained(cls, trained: TrainedModel) -> RandomForestForceConstants:
        """Rebuild a model from plain numbers.

        Raises
        ------
        ModelRefusedError
            If it belongs to another method.
        ModelCorruptError
            If a number is missing or cannot be.
        """
        if trained.method != METHOD:
            raise ModelRefusedError(
                f"is a model of {trained.method}",
                subject=trained.name,
                hint="Give it to the predictor of its method",
            )
        _check_arrays(trained)
        try:
            state = dict(trained.state)
            settings = RandomForestSettings.from_dict(state["settings"])
            choice = {(int(a), int(b)): str(variant) for a, b, variant in state["choice"]}
            correction = correction_from(state["correction"])
            calibration = Calibration.from_dict(state["calibration"])
            source = str(state["source"])
        except (KeyError, TypeError, ValueError, SettingError) as error:
            raise ModelCorruptError(
                f"cannot be read: {error}", subject=trained.name, hint=ANEW
            ) from error
        if not choice or not set(choice) <= set(kinds_of(trained.elements)):
            raise ModelCorruptError(
                "pairs of other elements than it learned", subject=trained.name, hint=ANEW
            )
        chosen = cast("dict[Kind, Variant]", choice)
        return cls(
            trained.elements,
            settings,
            HessianModel(_models(trained, settings, chosen), chosen, 1 + settings.n_members),
            correction,
            calibration,
            Novelty.from_arrays(trained.arrays, trained.elements),
            source,
        )


def _check_arrays(trained: TrainedModel) -> None:
    """Refuse numbers that are none.

    Raises
    ------
    ModelCorruptError
        Naming the array.
    """
    for name, array in trained.arrays.items():
        if array.dtype.kind not in "iuf" or not np.all(np.isfinite(array)):
            raise ModelCorruptError(
                "an array holds what is no finite number", subject=name, hint=ANEW
            )


def _models(
    trained: TrainedModel, settings: RandomForestSettings, choice: Mapping[Kind, Variant]
) -> dict[Variant, BlockModel]:
    """Rebuild the models that answer for a pair of elements."""
    found: dict[Variant, BlockModel] = {}
    for variant in dict.fromkeys(choice.values()):
        own = [kind for kind in choice if choice[kind] == variant]
        if variant == "tensor_ridge":
            layout = tensor_layout(trained.elements, settings)
            found[variant] = TensorRidge.from_arrays(
                trained.arrays, layout, own, 1 + settings.n_members
            )
        elif variant in ("rf_component", "rf_multi", "rf_frame"):
            found[variant] = PairForests.from_arrays(
                trained.arrays, variant, settings, trained.elements, own
            )
        else:
            raise ModelCorruptError(f"unknown variant {variant!r}", subject=trained.name, hint=ANEW)
    return found


def _supercell(
    structure: Structure, matrix: NDArray[np.int64]
) -> tuple[Structure, NDArray[np.int64]]:
    """Repeat a cell; also tell the site that each atom repeats."""
    labelled = structure.copy(site_properties={"site": list(range(len(structure)))})
    labelled.make_supercell(np.asarray(matrix), to_unit_cell=True)
    sites = np.array(labelled.site_properties["site"], dtype=np.int64)
    return labelled.copy(site_properties={}), sites
