from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from random_springs import mesh_crystals, spring_crystals, trained_on_meshes, trained_on_springs
from scipy.stats import t

from screening.errors import (
    ElementNotInModelError,
    ModelRefusedError,
    OutOfDomainError,
    SettingError,
)
from screening.phonons import PhononSettings
from screening.prediction import Prediction, Verdict
from screening.predictors.interface import Predictor, Tier
from screening.predictors.learned_cell import learned_cell
from screening.predictors.random_forest import RandomForestPhonons
from screening.quantities import Property, Quantity
from screening.relaxation import RelaxationSettings
from screening.settings import ScreeningSettings
from screening.stability import CRITERIA
from screening.structure import canonical_crystal
from screening.supercell import SupercellSettings
from screening.thermodynamics import ThermodynamicsSettings
from screening.zone_centre_modes import zone_centre_thermodynamics

CRYSTALS = [canonical_crystal(one.structure) for one in spring_crystals(40)]
NEW = CRYSTALS[30]
SMALL = ScreeningSettings(
    phonons=PhononSettings(
        supercell=SupercellSettings(min_length_angstrom=5.0, min_atoms=1, max_atoms=60),
        mesh_length_angstrom=10.0,
    )
)


@pytest.fixture(scope="module")
def predictor():
    return RandomForestPhonons(trained_on_springs())


@pytest.fixture(scope="module")
def of_meshes():
    """Its intervals hold sums over all wave vectors."""
    return RandomForestPhonons(trained_on_meshes())


def test_it_is_a_predictor(predictor):
    assert isinstance(predictor, Predictor)
    assert predictor.tier is Tier.FAST_MODEL
    assert predictor.model == "rf-ifc:springs"
    assert predictor.model_digest == trained_on_springs().digest
    assert predictor.training_source == "springs"


def test_the_thermodynamics_are_those_of_the_springs(predictor):
    for index in range(30, 34):
        found = predictor.predict(CRYSTALS[index])
        assert found.structure_digest == CRYSTALS[index].digest
        frequencies = spring_frequencies(CRYSTALS[index].structure)
        truth = zone_centre_thermodynamics(frequencies, 6)
        np.testing.assert_allclose(
            found.thermodynamics.entropy_mev_per_k_per_atom,
            truth.entropy_mev_per_k_per_atom,
            atol=0.002,
        )
        assert found.thermodynamics.low_mode_policy == "half_mean_optical"
        assert found.thermodynamics.valid


def spring_frequencies(structure):
    from random_springs import spring_hessian

    from screening.hessians import atomic_masses_amu, zone_centre_frequencies_thz

    found = zone_centre_frequencies_thz(spring_hessian(structure), atomic_masses_amu(structure))
    return np.maximum(found, 0.0)


def test_intervals_are_around_what_is_predicted(of_meshes):
    found = of_meshes.predict(NEW)
    named = {one.quantity.name: one for one in found.intervals}
    assert len(named) == 6
    assert {one.calibration for one in found.intervals} == {of_meshes.model_digest}
    at = found.thermodynamics.temperatures_k.tolist().index(300.0)
    interval = named["free_energy_300k_mev_per_atom"]
    assert interval.value == pytest.approx(found.thermodynamics.free_energy_mev_per_atom[at])
    assert interval.is_finite
    assert interval.coverage == 0.9
    half = t.ppf(0.95, found.spread.n_members - 1) * found.spread.free_energy_std_mev_per_atom[at]
    assert half == pytest.approx(interval.half_width)
    assert found.spread.lowest_frequency_std_thz is None
    assert of_meshes.own_calibration.factor(interval.quantity, 0.1) == 1.0
    assert "sum over all wave vectors" in " ".join(found.warnings)


def test_intervals_hold_the_sum_over_all_wave_vectors(of_meshes):
    inside, kept = [], 0
    for one in mesh_crystals(40)[30:]:
        found = of_meshes.predict_many([canonical_crystal(one.structure)])[0]
        if isinstance(found, OutOfDomainError):
            continue
        kept += 1
        truth, own = one.thermodynamics, found.thermodynamics
        at = truth.temperatures_k.tolist().index(300.0)
        named = {x.quantity.name: x for x in found.intervals}
        interval = named["free_energy_300k_mev_per_atom"]
        inside.append(interval.lower <= truth.free_energy_mev_per_atom[at] <= interval.upper)
        assert truth.free_energy_mev_per_atom[at] != own.free_energy_mev_per_atom[at]
    assert kept >= 6
    assert np.mean(inside) >= 0.7


def test_intervals_of_a_zone_centre_alone_settle_nothing(predictor):
    found = predictor.predict(NEW)
    assert len(found.intervals) == 6
    assert found.spread is None
    assert "zone-centre sum of the same cell" in " ".join(found.warnings)
    assert not predictor.own_calibration.quantiles


def test_a_cell_of_another_size_gets_no_disjoint_interval(predictor):
    """Twice the cell has other modes at its zone centre, and the sums differ by far more."""
    doubled = canonical_crystal(NEW.structure)
    doubled = replace(doubled, structure=NEW.structure * (2, 1, 1))
    with pytest.raises(OutOfDomainError, match="sites in the cell") as caught:
        predictor.predict(doubled)
    assert caught.value.subject == doubled.material_id


def test_a_primitive_cell_is_repeated_to_the_size_that_was_learned(predictor):
    """A model told of twelve sites where it learned six: the physics is that of its springs."""
    model = trained_on_springs()
    calibration = deepcopy(model.state["calibration"])
    calibration["domain"]["sites_per_cell"] = [12, 13]
    found = RandomForestPhonons(
        replace(model, state={**model.state, "calibration": calibration})
    ).predict(NEW)
    assert "taken as a cell of 12 sites" in " ".join(found.warnings)
    assert found.structure == NEW.structure
    modes = spring_frequencies(learned_cell(NEW.structure, (12, 13)))
    exact = zone_centre_thermodynamics(modes, 12, ThermodynamicsSettings())
    single = predictor.predict(NEW).thermodynamics
    errors = [
        np.abs(one.free_energy_mev_per_atom - exact.free_energy_mev_per_atom).max()
        for one in (found.thermodynamics, single)
    ]
    assert errors[0] < 0.3 * errors[1]


def test_nothing_is_said_about_stability(predictor):
    found = predictor.predict(NEW).stability
    assert found.verdict is Verdict.UNDETERMINED
    assert set(found.verdicts) == set(CRITERIA)
    assert set(found.verdicts.values()) == {Verdict.UNDETERMINED}
    assert found.lowest_frequency_thz > 0.0


def test_warnings_say_what_the_numbers_are_of(predictor):
    said = " ".join(predictor.predict(NEW).warnings)
    for words in ("relaxed", "springs", "zone centre", "stability undetermined"):
        assert words in said


def test_many_are_predicted_one_by_one(predictor):
    other = NEW.structure.copy()
    other.replace(0, "Br")
    squeezed = NEW.structure.copy()
    squeezed.scale_lattice(0.4 * NEW.structure.volume)
    crystals = [NEW, canonical_crystal(other), canonical_crystal(squeezed), CRYSTALS[31]]
    found = predictor.predict_many(crystals)
    kinds = [Prediction, ElementNotInModelError, OutOfDomainError, Prediction]
    assert [type(one) for one in found] == kinds
    np.testing.assert_array_equal(
        found[0].thermodynamics.entropy_mev_per_k_per_atom,
        predictor.predict(NEW).thermodynamics.entropy_mev_per_k_per_atom,
    )
    assert predictor.predict_many([]) == []


def test_settings_hold_what_can_change_the_numbers():
    model = trained_on_springs()
    plain = RandomForestPhonons(model)
    relaxed = ScreeningSettings(relaxation=RelaxationSettings(max_steps=7))
    assert RandomForestPhonons(model, relaxed).settings_digest == plain.settings_digest
    policy = ScreeningSettings(thermodynamics=ThermodynamicsSettings(low_mode_policy="drop"))
    assert RandomForestPhonons(model, policy).settings_digest == plain.settings_digest
    grid = ScreeningSettings(thermodynamics=ThermodynamicsSettings(temperatures_k=(250.0,)))
    assert RandomForestPhonons(model, grid).settings_digest != plain.settings_digest
    mesh = RandomForestPhonons(model, SMALL, modes="mesh")
    assert mesh.settings_digest != plain.settings_digest


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (trained_on_springs, "the training set knows the zone centre alone"),
        (trained_on_meshes, "those of the modes zone_centre hold the sum over all wave vectors"),
    ],
)
def test_a_mesh_says_why_it_has_no_intervals(model, told):
    predictor = RandomForestPhonons(model(), SMALL, modes="mesh")
    found = predictor.predict(NEW)
    assert (found.intervals, found.spread) == ((), None)
    assert any(told in text for text in found.warnings)
    quantity = Quantity(Property.FREE_ENERGY, 300.0)
    assert predictor.own_calibration.factor(quantity, 0.1) == np.inf


def test_a_mesh_has_bands_and_no_intervals():
    found = RandomForestPhonons(trained_on_springs(), SMALL, modes="mesh").predict(NEW)
    assert found.band_structure is not None
    assert found.density_of_states is not None
    assert found.spread is None
    assert found.intervals == ()
    assert "extrapolation" in " ".join(found.warnings)
    assert found.stability.verdict is Verdict.UNDETERMINED
    assert np.all(np.isfinite(found.thermodynamics.entropy_mev_per_k_per_atom))


def test_what_a_model_cannot_do_is_refused():
    with pytest.raises(SettingError, match="no dispersion"):
        RandomForestPhonons(trained_on_springs("rf_frame"), modes="mesh")
    with pytest.raises(SettingError, match="unknown modes"):
        RandomForestPhonons(trained_on_springs(), modes="path")
    with pytest.raises(ModelRefusedError):
        RandomForestPhonons(replace(trained_on_springs(), method="linear-descriptor-entropy"))
