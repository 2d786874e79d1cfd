from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from spring_crystals import CUBE, FCC, springs

from screening.descriptors.interface import AtomicSystem
from screening.errors import (
    ElementNotInModelError,
    ModelCorruptError,
    ModelRefusedError,
    OutOfDomainError,
    SettingError,
)
from screening.harmonic import harmonic_from_force_constants
from screening.hessians import (
    atomic_masses_amu,
    zone_centre_frequencies_thz,
    zone_centre_hessian,
)
from screening.linear_entropy import LinearEntropySettings, train_entropy
from screening.linear_entropy.calibration import Calibration
from screening.linear_entropy.labels import (
    LABEL_TEMPERATURES_K,
    LabelOrigin,
    label_of,
    label_of_hessian,
)
from screening.linear_entropy.model import LinearEntropyModel, predict_entropy
from screening.linear_entropy.model_spectrum import log_quantiles
from screening.prediction import Verdict
from screening.predictors.contract import check_predictor
from screening.predictors.interface import Predictor, Tier
from screening.predictors.learned_cell import learned_cell
from screening.predictors.linear_entropy import LinearDescriptorEntropy
from screening.quantities import Property, Quantity
from screening.random_forest.curves import references_of
from screening.settings import ScreeningSettings
from screening.structure import canonical_crystal
from screening.thermodynamics import ThermodynamicsSettings
from screening.trained_model import METHOD_PREFIXES, TrainedModel
from screening.uncertainty.samples import sample_of
from screening.zone_centre_modes import zone_centre_thermodynamics

SETTINGS = LinearEntropySettings(
    descriptor_settings={"cutoff_angstrom": 5.0, "n_radial": 4, "l_max": 2}, n_folds=6
)
CURVES = ThermodynamicsSettings(temperatures_k=(0.0, 50.0, 300.0, 1000.0))


def salt(edge: float, stretch: float = 1.0) -> Structure:
    lattice = Lattice(edge * FCC * np.array([1.0, 1.0, stretch]))
    return Structure(lattice, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def harmonic_of(structure: Structure):
    constants = springs(structure, 2 * CUBE, 4.37)  # two shells of neighbours
    return harmonic_from_force_constants(replace(constants, third_order_ev_per_angstrom3=None))


@cache
def labels(mesh_length_angstrom: float = 12.0):
    random = np.random.default_rng(11)
    crystals = [salt(random.uniform(5.2, 6.0), random.uniform(0.98, 1.02)) for _ in range(30)]
    return tuple(
        label_of(harmonic_of(one), LabelOrigin(f"salt-{number}"), mesh_length_angstrom)
        for number, one in enumerate(crystals)
    )


@cache
def trained() -> TrainedModel:
    return train_entropy(labels(), SETTINGS, "salts")


@pytest.fixture
def predictor() -> LinearDescriptorEntropy:
    return LinearDescriptorEntropy(trained(), ScreeningSettings(thermodynamics=CURVES))


def test_it_keeps_the_contract_of_all_predictors(predictor):
    assert isinstance(predictor, Predictor)
    assert predictor.tier is Tier.FAST_MODEL
    assert predictor.model == "ldml:salts"
    check_predictor(predictor, canonical_crystal(salt(5.6)))


def test_the_curves_are_those_of_the_springs(predictor):
    crystal = canonical_crystal(salt(5.55, 1.01))
    exact = label_of(harmonic_of(crystal.structure), LabelOrigin("x"), 12.0, CURVES.temperatures_k)
    found, truth = predictor.predict(crystal).thermodynamics, exact.thermodynamics
    names = ("free_energy_mev_per_atom", "entropy_mev_per_k_per_atom")
    for name, tolerance in zip(names, (0.5, 0.003), strict=True):
        assert getattr(found, name) == pytest.approx(getattr(truth, name), abs=tolerance)


def test_intervals_and_spread_are_one_calibration(predictor):
    from scipy.stats import t

    prediction = predictor.predict(canonical_crystal(salt(5.6)))
    intervals = {one.quantity.name: one for one in prediction.intervals}
    free = intervals["free_energy_300k_mev_per_atom"]
    assert len(intervals) == 6
    assert free.value == pytest.approx(prediction.thermodynamics.free_energy_mev_per_atom[2])
    std = prediction.spread.free_energy_std_mev_per_atom[2]
    assert free.half_width == pytest.approx(t.ppf(0.95, prediction.spread.n_members - 1) * std)
    assert Quantity.parse("heat_capacity_1000k_mev_per_k_per_atom").name in intervals


def test_the_lowest_frequency_is_not_known_and_settles_nothing(predictor):
    from flows.uncertainty import OwnSpread
    from stores.documents.records import SpreadRecord

    prediction = predictor.predict(canonical_crystal(salt(5.6)))
    assert prediction.spread.lowest_frequency_std_thz is None
    assert SpreadRecord.from_result(prediction.spread).lowest_frequency_std_thz is None
    lowest = Quantity(Property.LOWEST_FREQUENCY)
    assert lowest not in {one.quantity for one in prediction.intervals}
    for own in (OwnSpread(predictor.own_calibration), OwnSpread()):
        [found] = own.intervals(sample_of(prediction, "x"), [lowest], 0.1)
        assert not found.is_finite


def test_other_risks_and_temperatures_are_as_the_calibration_says(predictor):
    """Thirty crystals know nothing of a risk of 0.02."""
    from flows.uncertainty import OwnSpread

    own, sample = (
        OwnSpread(predictor.own_calibration),
        predictor.predict(canonical_crystal(salt(5.6))),
    )
    given = sample_of(sample, "x")
    widths = {
        alpha: own.intervals(given, [Quantity(Property.FREE_ENERGY, 300.0)], alpha)[0].half_width
        for alpha in (0.3, 0.1, 0.05, 0.02)
    }
    assert widths[0.3] <= widths[0.1] < widths[0.05] < np.inf
    assert widths[0.02] == np.inf
    cold = own.intervals(given, [Quantity(Property.FREE_ENERGY, 10.0)], 0.1)[0]
    assert cold.is_finite
    assert not own.intervals(given, [Quantity(Property.ENTROPY, 10.0)], 0.1)[0].is_finite
    hot = ScreeningSettings(thermodynamics=ThermodynamicsSettings(temperatures_k=(300.0, 2000.0)))
    far = LinearDescriptorEntropy(trained(), hot).predict(canonical_crystal(salt(5.6)))
    beyond = [Quantity(Property.FREE_ENERGY, 1600.0)]
    assert not own.intervals(sample_of(far, "x"), beyond, 0.1)[0].is_finite


def test_intervals_name_the_calibration_they_rest_on(predictor):
    prediction = predictor.predict(canonical_crystal(salt(5.6)))
    assert {one.calibration for one in prediction.intervals} == {trained().digest}


@pytest.mark.parametrize("distance", [0.03, 0.1, 0.3])
def test_crystals_that_are_not_at_rest_are_refused(predictor, distance):
    """Rock salt has every atom between its neighbours: what is moved is seen at once."""
    moved = salt(5.6)
    moved.translate_sites([1], [distance, 0.0, 0.0], frac_coords=False)
    with pytest.raises(OutOfDomainError, match="it seems not to be at rest") as caught:
        predictor.predict(canonical_crystal(moved))
    assert caught.match("Relax it")


def test_a_lattice_that_was_never_so_strained_is_refused(predictor):
    with pytest.raises(OutOfDomainError):
        predictor.predict(canonical_crystal(salt(5.6, 1.12)))


def test_relaxed_crystals_like_those_learned_are_predicted(predictor):
    random = np.random.default_rng(5)
    new = [salt(random.uniform(5.25, 5.95), random.uniform(0.985, 1.015)) for _ in range(20)]
    found = predictor.predict_many([canonical_crystal(one) for one in new])
    assert sum(isinstance(one, OutOfDomainError) for one in found) <= 2


def test_a_model_that_cannot_tell_who_is_at_rest_is_refused():
    state = dict(trained().state)
    blind = replace(
        trained(), state=state | {"calibration": state["calibration"] | {"at_rest": None}}
    )
    few = {name: one for name, one in trained().arrays.items() if not name.startswith("novelty/")}
    shapeless = {name: one for name, one in trained().arrays.items() if name != "spectrum_shape"}
    for broken in (blind, replace(trained(), arrays=few), replace(trained(), arrays=shapeless)):
        with pytest.raises(ModelCorruptError):
            LinearDescriptorEntropy(broken)


def test_zone_centres_are_summed_as_the_other_trained_method_does():
    """Translations count once, at half of the mean: in labels, and in predictions."""
    structure = salt(5.6)
    harmonic = harmonic_of(structure)
    one = zone_centre_hessian(harmonic, material_id="x")
    frequencies = zone_centre_frequencies_thz(
        one.hessian_ev_per_angstrom2, atomic_masses_amu(one.structure)
    )
    kelvin = (0.0, 100.0, 300.0, 1000.0)
    theirs = references_of(frequencies, kelvin)
    ours = label_of(harmonic, LabelOrigin("x"), 1e-3, kelvin).thermodynamics
    assert ours.low_mode_policy == "half_mean_optical"
    assert ours.free_energy_mev_per_atom == pytest.approx(theirs["free_energy"], abs=1e-6)
    assert ours.entropy_mev_per_k_per_atom == pytest.approx(theirs["entropy"], abs=1e-9)
    centre = train_entropy(labels(1e-3), SETTINGS, "centre")
    settings = ScreeningSettings(thermodynamics=ThermodynamicsSettings(temperatures_k=kelvin))
    found = LinearDescriptorEntropy(centre, settings).predict(canonical_crystal(structure))
    free = found.thermodynamics.free_energy_mev_per_atom
    assert free == pytest.approx(theirs["free_energy"], abs=1.0)
    assert found.thermodynamics.low_mode_policy == "half_mean_optical"
    assert "half of their mean" in " ".join(found.warnings)


def in_cells_of(n_sites, one: Structure) -> Structure:
    return learned_cell(one, (n_sites, n_sites))


def centre_of(cell: Structure, number: int = 0, kelvin=LABEL_TEMPERATURES_K):
    """Label the zone centre of any cell, also of one that repeats a smaller one."""
    blocks = springs(cell, np.eye(3, dtype=int), 4.37).second_order_ev_per_angstrom2
    hessian = blocks.swapaxes(1, 2).reshape(3 * len(cell), 3 * len(cell))
    frequencies = zone_centre_frequencies_thz(hessian, atomic_masses_amu(cell))
    settings = ThermodynamicsSettings(temperatures_k=kelvin)
    optical = np.sort(frequencies)[3:]
    return replace(
        label_of_hessian(hessian, AtomicSystem.from_structure(cell), LabelOrigin(f"salt-{number}")),
        thermodynamics=zone_centre_thermodynamics(frequencies, len(cell), settings),
        log_frequency_quantiles=log_quantiles(optical, np.ones(len(optical))),
    )


@cache
def of_centres(n_sites: int = 2) -> TrainedModel:
    """Learned from the zone centre of cells of some size."""
    random = np.random.default_rng(11)
    crystals = [salt(random.uniform(5.2, 6.0), random.uniform(0.98, 1.02)) for _ in range(30)]
    found = [centre_of(in_cells_of(n_sites, one), number) for number, one in enumerate(crystals)]
    return train_entropy(found, SETTINGS, f"centres-{n_sites}")


def free_energies(prediction):
    return prediction.thermodynamics.free_energy_mev_per_atom


def test_a_primitive_cell_is_repeated_to_the_size_that_was_learned():
    """The modes at the zone centre of twice the cell are other modes."""
    settings = ScreeningSettings(thermodynamics=CURVES)
    small, large = (LinearDescriptorEntropy(of_centres(n), settings) for n in (2, 4))
    crystal = canonical_crystal(salt(5.55, 1.01))
    found = large.predict(crystal)
    truth = centre_of(in_cells_of(4, crystal.structure), kelvin=CURVES.temperatures_k)
    truths = truth.thermodynamics.free_energy_mev_per_atom
    assert free_energies(found) == pytest.approx(truths, abs=0.5)
    assert np.abs(free_energies(small.predict(crystal)) - truths).max() > 5.0
    assert found.structure == crystal.structure
    assert "taken as a cell of 4 sites" in " ".join(found.warnings)
    given = large.predict(replace(crystal, structure=in_cells_of(4, crystal.structure)))
    assert free_energies(given) == pytest.approx(free_energies(found), abs=1e-9)
    assert "taken as a cell" not in " ".join(given.warnings)


def test_a_cell_of_a_size_that_was_not_learned_is_refused():
    crystal = canonical_crystal(salt(5.6))
    for n_sites, learned in ((4, 2), (6, 4)):
        other = replace(crystal, structure=in_cells_of(n_sites, crystal.structure))
        with pytest.raises(OutOfDomainError, match=f"{n_sites} sites in the cell, {learned} to"):
            LinearDescriptorEntropy(of_centres(learned)).predict(other)


def test_classical_entropies_of_cells_of_another_size_have_no_interval():
    model = LinearEntropyModel.from_trained(of_centres())
    cells = [AtomicSystem.from_structure(in_cells_of(n, salt(5.6))) for n in (2, 4)]
    found = predict_entropy(model, cells)
    assert np.isfinite(found.half_width_boltzmann).tolist() == [True, False]
    assert found.novelty[0] <= 1.0 < found.novelty[1]
    assert found.refusals[0] is None
    assert "4 sites in the cell" in str(found.refusals[1])


@pytest.mark.parametrize("learned", [2, 4])
def test_one_atom_has_no_modes_at_the_zone_centre(learned):
    one = canonical_crystal(Structure(Lattice(4.0 * FCC), ["Na"], [[0, 0, 0]]))
    [found] = LinearDescriptorEntropy(of_centres(learned)).predict_many([one])
    assert isinstance(found, OutOfDomainError)
    assert "one atom has no modes at the zone centre but translations" in str(found)


def test_a_model_of_zone_centres_that_does_not_say_of_which_cells_is_refused():
    """Any other model that says so is refused as well: there is nothing that it could mean."""
    for model, sizes in ((of_centres(), None), (trained(), [2, 2])):
        calibration = {**model.state["calibration"], "sites_per_cell": sizes}
        if sizes is None:
            del calibration["sites_per_cell"]  # as files of earlier versions
        old = replace(model, state={**model.state, "calibration": calibration})
        with pytest.raises(ModelCorruptError, match="number of sites") as caught:
            LinearDescriptorEntropy(old)
        assert caught.match("Train the model again")


def test_intervals_of_zone_centres_settle_nothing():
    from flows.uncertainty import OwnSpread

    predictor = LinearDescriptorEntropy(of_centres(), ScreeningSettings(thermodynamics=CURVES))
    found = predictor.predict(canonical_crystal(salt(5.6)))
    assert len(found.intervals) == 6
    assert found.spread is None
    assert "zone-centre sum of the same cell" in " ".join(found.warnings)
    assert not predictor.own_calibration.quantiles
    free = Quantity(Property.FREE_ENERGY, 300.0)
    for own in (OwnSpread(predictor.own_calibration), OwnSpread()):
        [interval] = own.intervals(sample_of(found, "x"), [free], 0.1)
        assert not interval.is_finite


def test_intervals_of_meshes_say_nothing_of_zone_centres(predictor):
    found = predictor.predict(canonical_crystal(salt(5.6)))
    assert found.spread is not None
    assert predictor.own_calibration.quantiles
    assert "zone" not in " ".join(found.warnings)


def test_an_element_that_was_never_seen_is_named(predictor):
    strange = canonical_crystal(Structure(Lattice.cubic(4.1), ["Rb", "Cl"], [[0] * 3, [0.5] * 3]))
    with pytest.raises(ElementNotInModelError, match="the model never saw Rb") as caught:
        predictor.predict(strange)
    assert caught.match("It learned Na, Cl")
    assert caught.match("RbCl")


def test_names_are_those_that_the_store_takes():
    assert LinearDescriptorEntropy.method == METHOD_PREFIXES["ldml"]
    with pytest.raises(SettingError, match="cannot name"):
        LinearDescriptorEntropy(replace(trained(), name="of course"))


def test_a_novelty_that_is_no_number_is_refused(predictor, monkeypatch):
    monkeypatch.setattr(Calibration, "novelty", lambda *_: float("nan"))
    with pytest.raises(OutOfDomainError):
        predictor.predict(canonical_crystal(salt(5.6)))


def test_it_says_nothing_of_stability(predictor):
    prediction = predictor.predict(canonical_crystal(salt(5.6)))
    stability = prediction.stability
    assert stability.verdict is Verdict.UNDETERMINED
    assert set(stability.verdicts.values()) == {Verdict.UNDETERMINED}
    assert any("stability" in one for one in prediction.warnings)
    assert any("taken as given" in one for one in prediction.warnings)


def test_one_crystal_out_of_many_that_cannot_be_predicted_does_not_stop_them(predictor):
    strange = canonical_crystal(Structure(Lattice.cubic(2.9), ["Fe"], [[0, 0, 0]]))
    far = canonical_crystal(salt(4.2))
    good = canonical_crystal(salt(5.6))
    first, second, third = predictor.predict_many([strange, far, good])
    assert isinstance(first, ElementNotInModelError)
    assert isinstance(second, OutOfDomainError)
    assert third.thermodynamics.valid


def test_the_card_compares_curves_with_exact_sums():
    card = trained().card["thermodynamics"]
    assert card["crystals_without_spectrum"] == 0
    assert card["free_energy_mev_per_atom"]["300 K"]["mae"] < 0.5
    assert card["free_energy_mev_per_atom"]["300 K"]["skill"] > 0.8


def test_modes_of_the_zone_centre_alone_are_told():
    model = train_entropy(labels(1e-3), SETTINGS, "centre")
    prediction = LinearDescriptorEntropy(model).predict(canonical_crystal(salt(5.6)))
    assert any("zone centre alone" in one for one in prediction.warnings)


def test_a_model_without_quantum_statistics_is_refused():
    plain = [replace(one, site_traces_ev_per_angstrom2=None) for one in labels()]
    model = train_entropy(plain, SETTINGS, "classical")
    with pytest.raises(ModelRefusedError, match="quantum"):
        LinearDescriptorEntropy(model)


def test_a_grid_without_the_usual_temperatures_has_no_intervals_there():
    settings = ScreeningSettings(thermodynamics=ThermodynamicsSettings(temperatures_k=(300.0,)))
    found = LinearDescriptorEntropy(trained(), settings).predict(canonical_crystal(salt(5.6)))
    assert {one.quantity.temperature_k for one in found.intervals} == {300.0}


def test_it_says_whose_phonons_it_learned():
    model = trained()
    named = replace(model, card={**model.card, "sources": ["chgnet:0.3.0"]})
    assert LinearDescriptorEntropy(named).training_source == "chgnet:0.3.0"
    assert LinearDescriptorEntropy(model).training_source == ""


def test_all_of_it_can_be_stored():
    from stores.connect import open_database
    from stores.models import load_model, store_model

    model = trained()
    with open_database("memory://") as database:
        model_id = store_model(database, model)
        assert load_model(database, model_id).digest == model.digest


def test_the_card_keeps_held_out_values():
    parity = trained().card["parity"]["entropy_boltzmann_per_atom"]
    assert len(parity["reference"]) == len(parity["predicted"]) == len(labels())
    assert np.corrcoef(parity["reference"], parity["predicted"])[0, 1] > 0.9
    energies = trained().card["parity"]["free_energy_mev_per_atom 300 K"]
    error = np.abs(np.subtract(energies["predicted"], energies["reference"])).mean()
    assert error == pytest.approx(
        trained().card["thermodynamics"]["free_energy_mev_per_atom"]["300 K"]["mae"]
    )
    assert min(trained().card["held_out_coverage_300k"].values()) > 0.75
