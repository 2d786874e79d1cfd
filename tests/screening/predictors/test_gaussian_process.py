"""Phonons from a few displaced cells with effective-medium theory, which is smooth and quick."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.calculators import ForceCalculator, load_calculator
from screening.calculators.delegation import Delegating
from screening.conductivity_records import ConductivitySettings
from screening.errors import SettingError
from screening.few_cells import CONDUCTIVITY_TARGET, FewCellSettings
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.phonons import PhononSettings
from screening.prediction import Prediction
from screening.predictors.contract import ContractTolerances, check_prediction, check_predictor
from screening.predictors.gaussian_process import GaussianProcessPhonons
from screening.predictors.given_cells import GivenCells
from screening.predictors.interface import Predictor, Tier
from screening.predictors.potential_phonons import PotentialPhonons
from screening.settings import ScreeningSettings
from screening.structure import Crystal, canonical_crystal
from screening.supercell import SupercellSettings
from screening.thermodynamics import ThermodynamicsSettings

EMT = "ase.calculators.emt.EMT"
QUICK = FewCellSettings(displacement_angstrom=0.01, n_samples=8, n_candidates=4)
HARMONIC = replace(QUICK, max_cells=1, fit=GaussianProcessSettings(max_order=2))
PHONONS = PhononSettings(
    supercell=SupercellSettings(min_length_angstrom=7.0, min_atoms=20, max_atoms=64),
    displacement_angstrom=0.01,
    mesh_length_angstrom=20.0,
)


def settings(few_cells: FewCellSettings = QUICK) -> ScreeningSettings:
    return ScreeningSettings(relaxation=None, phonons=PHONONS, few_cells=few_cells)


def at_room_temperature(prediction: Prediction, curve: str) -> float:
    thermo = prediction.thermodynamics
    return float(np.interp(300.0, thermo.temperatures_k, getattr(thermo, curve)))


def supercells(asked: list[np.ndarray]) -> np.ndarray:
    """Positions of the displaced supercells that were asked for, each once."""
    largest = max(map(len, asked))
    flat = [one.ravel() for one in asked if len(one) == largest]
    return np.unique(np.round(flat, 9), axis=0)


@dataclass(frozen=True)
class Counting(Delegating):
    """Counts the displaced supercells whose forces are asked for."""

    asked: list[np.ndarray] = field(default_factory=list)

    @property
    def members(self) -> tuple[ForceCalculator, ...]:
        return ()

    def forces(self, cell: object, positions: np.ndarray, numbers: object) -> np.ndarray:
        self.asked.extend(positions)
        return self.inner.forces(cell, positions, numbers)

    def energy(self, cell: object, positions: np.ndarray, numbers: object) -> float:
        return self.inner.energy(cell, positions, numbers)


class FirstPrinciples(Counting):
    """Says that it solves for the electrons."""

    @property
    def is_first_principles(self) -> bool:
        return True


@pytest.fixture(scope="module")
def emt() -> ForceCalculator:
    return load_calculator(EMT)


@pytest.fixture(scope="module")
def learned(emt: ForceCalculator, gold_copper: Crystal) -> Prediction:
    return GaussianProcessPhonons(emt, settings()).predict(gold_copper)


def test_it_is_a_predictor_that_keeps_the_contract(
    emt: ForceCalculator, gold_copper: Crystal
) -> None:
    predictor = GaussianProcessPhonons(emt, settings(replace(QUICK, max_cells=2, tolerance=0.05)))
    assert isinstance(predictor, Predictor)
    # other atoms get other random displacements: equal up to what two cells leave open
    check_predictor(predictor, gold_copper, ContractTolerances(1e-4, 0.2, 0.05))


def test_the_result_is_that_of_one_displacement_after_the_other(
    emt: ForceCalculator, gold_copper: Crystal, learned: Prediction
) -> None:
    reference = PotentialPhonons(emt, replace(settings(), few_cells=None)).predict(gold_copper)
    for curve in ("free_energy_mev_per_atom", "heat_capacity_mev_per_k_per_atom"):
        expected = at_room_temperature(reference, curve)
        assert at_room_temperature(learned, curve) == pytest.approx(expected, rel=5e-3, abs=0.05)
    assert learned.stability.lowest_frequency_thz == pytest.approx(
        reference.stability.lowest_frequency_thz, abs=0.05
    )


def test_the_result_holds_what_it_was_learned_from(learned: Prediction) -> None:
    check_prediction(learned)
    cells, constants = learned.displaced_cells, learned.force_constants
    assert cells is not None
    assert constants is not None
    assert learned.force_data is None
    lengths = np.linalg.norm(cells.displacements_angstrom, axis=2)
    assert lengths == pytest.approx(np.full_like(lengths, 0.01))
    assert constants.third_order_ev_per_angstrom3 is not None
    assert learned.spread is not None
    assert learned.spread.n_members == 8
    assert learned.tier == Tier.POTENTIAL  # a potential stays one, however it is asked


def test_calculations_from_first_principles_are_the_tier_of_few_cells(
    emt: ForceCalculator,
) -> None:
    assert GaussianProcessPhonons(FirstPrinciples(emt), settings()).tier is Tier.FEW_DFT_CELLS


def test_cells_are_added_until_the_target_is_sure(
    emt: ForceCalculator, gold_copper: Crystal
) -> None:
    counts = {}
    for tolerance in (10.0, 1e-9):
        few_cells = replace(QUICK, tolerance=tolerance, max_cells=3)
        predicted = GaussianProcessPhonons(emt, settings(few_cells)).predict(gold_copper)
        counts[tolerance] = predicted.displaced_cells.n_cells
        unsure = [note for note in predicted.warnings if "is asked for" in note]
        assert len(unsure) == (tolerance < 1.0)
    assert counts == {10.0: 1, 1e-9: 3}


def test_more_cells_make_the_result_surer(emt: ForceCalculator, gold_copper: Crystal) -> None:
    spreads = []
    for count in (1, 4):
        few_cells = replace(QUICK, initial_cells=count, max_cells=count, n_samples=32)
        predicted = GaussianProcessPhonons(emt, settings(few_cells)).predict(gold_copper)
        spreads.append(predicted.spread.free_energy_std_mev_per_atom[-1])
    assert spreads[1] < 0.7 * spreads[0]


def test_a_run_goes_on_where_it_stopped(emt: ForceCalculator, gold_copper: Crystal) -> None:
    few_cells = replace(QUICK, tolerance=1e-9, max_cells=3)
    whole, step = Counting(emt), Counting(emt)
    predicted = GaussianProcessPhonons(whole, settings(few_cells)).predict(gold_copper)
    stepwise = GaussianProcessPhonons(step, settings(few_cells))
    found = [stepwise.advance(gold_copper, count) for count in (1, 2, 3)]
    assert found[:2] == [None, None]
    assert found[2] is not None
    # each step asks for the cells before it again, in the same places
    different, repeated = (supercells(one.asked) for one in (whole, step))
    np.testing.assert_array_equal(different, repeated)
    np.testing.assert_allclose(
        found[2].thermodynamics.free_energy_mev_per_atom,
        predicted.thermodynamics.free_energy_mev_per_atom,
        rtol=1e-9,
    )


def test_a_prior_that_is_right_makes_one_cell_enough(
    emt: ForceCalculator, gold_copper: Crystal
) -> None:
    alone = GaussianProcessPhonons(emt, settings()).predict(gold_copper)
    few_cells = replace(QUICK, prior=EMT, prior_cells=6)
    helped = GaussianProcessPhonons(emt, settings(few_cells), emt).predict(gold_copper)
    assert (
        helped.spread.free_energy_std_mev_per_atom[-1]
        < 0.5 * alone.spread.free_energy_std_mev_per_atom[-1]
    )


@pytest.mark.parametrize(("named", "given"), [("", True), (EMT, False)])
def test_the_prior_is_the_one_that_the_settings_name(
    emt: ForceCalculator, named: str, given: bool
) -> None:
    with pytest.raises(SettingError, match="the settings name"):
        GaussianProcessPhonons(emt, settings(replace(QUICK, prior=named)), emt if given else None)


def test_a_conductivity_comes_with_its_standard_deviation(
    emt: ForceCalculator, gold_copper: Crystal
) -> None:
    few_cells = replace(
        QUICK,
        target=CONDUCTIVITY_TARGET,
        tolerance=0.5,
        max_cells=2,
        n_conductivity_samples=3,
        conductivity=ConductivitySettings(mesh=(4, 4, 4), temperatures_k=(200.0, 300.0)),
    )
    predicted = GaussianProcessPhonons(emt, settings(few_cells)).predict(gold_copper)
    assert predicted.conductivity is not None
    cold, warm = predicted.conductivity.mean_conductivity_w_per_m_k
    assert cold > warm > 0.0
    assert predicted.conductivity_std_w_per_m_k.shape == (2, 3, 3)
    assert np.all(np.diagonal(predicted.conductivity_std_w_per_m_k, axis1=1, axis2=2) > 0.0)


class Unasked(Counting):
    """Fails where anything is asked."""

    def forces(self, *_: object) -> np.ndarray:
        raise AssertionError("forces were asked for")

    def energy(self, *_: object) -> float:
        raise AssertionError("an energy was asked for")


@pytest.mark.parametrize(
    ("formula", "changes", "subject"),
    [
        ("AuCu3", {"mesh": (4, 4, 3)}, "mesh"),
        ("Tc", {"mesh": (4, 4, 4)}, "isotopes"),
    ],
)
def test_a_conductivity_that_can_never_work_is_refused_before_any_force(
    emt: ForceCalculator,
    gold_copper: Crystal,
    formula: str,
    changes: dict[str, object],
    subject: str,
) -> None:
    technetium = canonical_crystal(Structure(Lattice.cubic(3.0), ["Tc"], [[0, 0, 0]]))
    crystal = gold_copper if formula == "AuCu3" else technetium
    few_cells = replace(QUICK, conductivity=ConductivitySettings(**changes))
    with pytest.raises(SettingError) as caught:
        GaussianProcessPhonons(Unasked(emt), settings(few_cells)).predict(crystal)
    assert caught.value.subject == subject


def test_a_policy_that_leaves_no_gradient_is_refused_where_the_target_needs_one(
    emt: ForceCalculator,
) -> None:
    thermal = ThermodynamicsSettings(low_mode_policy="half_mean_optical")
    changed = replace(settings(), thermodynamics=thermal)
    for unusable in (changed, replace(changed, few_cells=None)):
        with pytest.raises(SettingError, match="without a derivative"):
            GaussianProcessPhonons(emt, unusable)
    lowest = replace(QUICK, target="lowest_frequency_thz")
    GaussianProcessPhonons(emt, replace(changed, few_cells=lowest))


def test_calls_of_the_prior_are_counted(emt: ForceCalculator, gold_copper: Crystal) -> None:
    prior = Counting(emt)
    few_cells = replace(HARMONIC, prior=EMT, prior_cells=6)
    helped = GaussianProcessPhonons(emt, settings(few_cells), prior).predict(gold_copper)
    alone = GaussianProcessPhonons(emt, settings(HARMONIC)).predict(gold_copper)
    assert len(prior.asked) == 7
    assert helped.cost.force_calls == alone.cost.force_calls + len(prior.asked)


@dataclass(frozen=True)
class Committee(Delegating):
    """Averages the forces of its members."""

    members: tuple[ForceCalculator, ...] = ()

    def forces(self, *asked: np.ndarray) -> np.ndarray:
        return np.mean([one.forces(*asked) for one in self.members], axis=0)

    def energy(self, *asked: np.ndarray) -> float:
        return self.inner.energy(*asked)


class Pushed(Counting):
    """Pulls gold one way and copper the other, however the atoms are displaced."""

    def forces(self, cell: object, positions: np.ndarray, numbers: object) -> np.ndarray:
        found = self.inner.forces(cell, positions, numbers)
        found[:, np.asarray(numbers) == 79, 0] += 0.3
        found[:, np.asarray(numbers) == 29, 0] -= 0.1
        return found


def test_forces_that_belong_to_no_minimum_are_warned_of(
    emt: ForceCalculator, gold_copper: Crystal
) -> None:
    found = GaussianProcessPhonons(Pushed(emt), settings(HARMONIC)).predict(gold_copper)
    [note] = [one for one in found.warnings if "no minimum" in one]
    assert "forces up to 0.300 eV/Å were subtracted" in note
    given = GivenCells(found.displaced_cells, settings(HARMONIC)).predict(gold_copper)
    assert note in given.warnings


def test_what_is_missing_or_not_used_is_said(
    fake: type, gold_copper: Crystal, emt: ForceCalculator
) -> None:
    plain = GaussianProcessPhonons(emt, settings(HARMONIC)).predict(gold_copper)
    assert "no non-analytical correction: the LO-TO splitting at Gamma is missing" in plain.warnings
    said = ("no minimum", "do not sum to zero", "adaptive", "committee")
    assert not [one for one in plain.warnings if any(text in one for text in said)]
    adaptive = replace(settings(HARMONIC), phonons=replace(PHONONS, adaptive=True))
    committee = Committee(emt, (fake(drift=0.01), fake(drift=0.01)))
    found = GaussianProcessPhonons(committee, adaptive).predict(gold_copper)
    for text in said[1:]:
        assert len([one for one in found.warnings if text in one]) == 1


def test_settings_of_few_cells_change_the_digest_and_their_absence_does_not(
    emt: ForceCalculator,
) -> None:
    plain = ScreeningSettings()
    assert "few_cells" not in plain.as_dict()
    first = GaussianProcessPhonons(emt, settings())
    second = GaussianProcessPhonons(emt, settings(replace(QUICK, seed=1)))
    assert first.settings_digest != second.settings_digest
    assert ScreeningSettings.from_dict(settings().as_dict()) == settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("initial_cells", 0),
        ("max_cells", 0),
        ("displacement_angstrom", 0.3),
        ("tolerance", -1.0),
        ("coverage", 1.0),
        ("n_samples", 1),
        ("target", CONDUCTIVITY_TARGET),
        ("target", "free_energy_difference_300k_mev_per_atom"),
        ("target", "hardness"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: object) -> None:
    with pytest.raises(SettingError):
        replace(FewCellSettings(), **{name: value})
