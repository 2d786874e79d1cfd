"""Densities of states by networks as predictions: numbers, verdicts, refusals."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.errors import (
    ElementNotInModelError,
    ModelRefusedError,
    NonFiniteForcesError,
    OutOfDomainError,
    ScreeningError,
)
from screening.network_dos.baselines import analytic_histograms
from screening.network_dos.grid import WIDE_GRID
from screening.network_dos.labels import DosLabel
from screening.network_dos.model import DensityOfStatesModel, PredictedDos
from screening.network_dos.settings import DOS_PRESETS, DosArchitecture
from screening.network_dos.training import train_density_of_states
from screening.prediction import Prediction, Verdict
from screening.predictors.alignn_dos import DensityOfStatesNetwork
from screening.predictors.contract import check_prediction, check_predictor
from screening.predictors.interface import Predictor, Tier
from screening.settings import ScreeningSettings
from screening.stability import SHARE_CRITERION, SPECTRUM
from screening.structure import Crystal, canonical_crystal
from screening.thermodynamics import ThermodynamicsSettings
from screening.trained_model import TrainedModel
from screening.units import KELVIN_PER_THZ

RADII = {"Li": 0.76, "Na": 1.02, "K": 1.38, "Mg": 0.72, "F": 1.33, "Cl": 1.81, "O": 1.40, "S": 1.84}
CURVES = ThermodynamicsSettings(temperatures_k=(0.0, 50.0, 300.0, 1000.0))
SETTINGS = ScreeningSettings(thermodynamics=CURVES)


def salt(cation: str, anion: str) -> Structure:
    lattice = Lattice((RADII[cation] + RADII[anion]) * (1.0 - np.eye(3)))
    return Structure(lattice, [cation, anion], [[0.0] * 3, [0.5] * 3])


def label_of(structure: Structure, *, with_prior: bool) -> DosLabel:
    """Debye spectrum of a scale that mass and volume give."""
    mass = np.exp(np.mean([np.log(float(site.specie.atomic_mass)) for site in structure]))
    cutoff = 120.0 / np.sqrt(mass) / (structure.volume / 2) ** (1 / 3)
    histogram = 2.0 * analytic_histograms(np.array([cutoff]), WIDE_GRID)[0]
    formula = structure.composition.reduced_formula
    prior = histogram if with_prior else None
    return DosLabel(formula, formula, structure, histogram, prior=prior, source="springs@1")


@cache
def trained(*, with_prior: bool = False) -> TrainedModel:
    salts = [salt(*pair) for pair in product(("Li", "Na", "K", "Mg"), ("F", "Cl", "O", "S"))]
    architecture = DosArchitecture(
        hidden=8,
        embedding=8,
        angle_layers=1,
        bond_layers=1,
        angle_cutoff_angstrom=3.0,
        with_prior=with_prior,
    )
    settings = replace(
        DOS_PRESETS["tiny"],
        architecture=architecture,
        grid=WIDE_GRID,
        epochs=4,
        batch_size=4,
        valid_fraction=0.3,
        alpha=0.2,
        device="cpu",
    )
    labels = [label_of(one, with_prior=with_prior) for one in salts]
    found = train_density_of_states(labels, settings, "salts")
    if with_prior:
        found = replace(found, state={**found.state, "prior": GivenPrior().record})
    return with_domain(found, 20.0)  # that of sixteen crystals is narrow


def with_domain(model: TrainedModel, factor: float) -> TrainedModel:
    domain = {name: factor * limit for name, limit in model.state["domain"].items()}
    return replace(model, state={**model.state, "domain": domain})


@pytest.fixture
def predictor() -> DensityOfStatesNetwork:
    return DensityOfStatesNetwork(trained(), SETTINGS, device="cpu")


@pytest.fixture
def crystal() -> Crystal:
    return canonical_crystal(salt("Na", "Cl"))


def pretend(monkeypatch, share_below: float, at_edge: float = 0.0) -> None:
    """Let networks place a share of the modes well below zero, and another in the last bin."""
    whole = DensityOfStatesModel.predict

    def predict(self, structures, priors=None):
        found = whole(self, structures, priors)
        histograms = found.histograms * (1.0 - share_below - at_edge)
        histograms[:, :, WIDE_GRID.zero] += histograms[:, :, : WIDE_GRID.zero].sum(axis=2)
        histograms[:, :, : WIDE_GRID.zero] = 0.0
        modes = found.histograms.sum(axis=2)
        histograms[:, :, 3] += share_below * modes
        histograms[:, :, -1] += at_edge * modes
        return PredictedDos(histograms, found.latent)

    monkeypatch.setattr(DensityOfStatesModel, "predict", predict)


def test_it_keeps_the_contract_of_all_predictors(predictor, crystal):
    assert isinstance(predictor, Predictor)
    assert (predictor.tier, predictor.model) == (Tier.FAST_MODEL, "alignn:salts")
    assert predictor.training_source == "springs@1"
    check_predictor(predictor, crystal)


def test_all_numbers_follow_from_the_density_of_states(predictor, crystal):
    """The Debye temperature of the second moment, the mean, and the zero-point energy."""
    found = predictor.predict(crystal)
    dos, numbers = found.density_of_states, found.spectral_properties
    assert np.trapezoid(dos.total_per_thz, dos.frequencies_thz) == pytest.approx(6.0, rel=1e-3)
    assert dos.total_std_per_thz.max() > 0.0
    positive = np.where(dos.frequencies_thz > 1.0, dos.total_per_thz, 0.0)
    mean = float(positive @ dos.frequencies_thz / positive.sum())
    assert numbers.mean_frequency_thz == pytest.approx(mean, rel=0.02)
    square = float(positive @ dos.frequencies_thz**2 / positive.sum())
    debye = KELVIN_PER_THZ * np.sqrt(5 / 3 * square)
    assert numbers.debye_temperature_k == pytest.approx(debye, rel=0.02)
    assert numbers.cell_debye_temperature_k == pytest.approx(
        numbers.debye_temperature_k / 2 ** (1 / 3)
    )
    assert found.stability.lowest_frequency_thz == numbers.lowest_frequency_thz
    assert found.stability.lowest_frequency_region == SPECTRUM
    assert found.spread.lowest_frequency_std_thz is None
    assert numbers.isotope_rate_ghz > 0.0  # chlorine has two isotopes
    assert numbers.isotope_rate_ends_ghz[0] < numbers.isotope_rate_ghz
    thermo = found.thermodynamics
    assert thermo.low_mode_policy == "renormalise"
    assert thermo.heat_capacity_mev_per_k_per_atom[-1] == pytest.approx(3 * 0.0861733, rel=0.03)


def test_elements_of_one_isotope_do_not_scatter(predictor):
    found = predictor.predict(canonical_crystal(salt("Na", "F"))).spectral_properties
    assert found.isotope_rate_ghz is found.isotope_number_ghz_thz is None
    assert found.isotope_rate_ends_ghz is None


def test_intervals_and_spread_are_one_calibration(predictor, crystal):
    from scipy.stats import t

    found = predictor.predict(crystal)
    named = {one.quantity.name: one for one in found.intervals}
    free = named["free_energy_300k_mev_per_atom"]
    assert len(named) == 6
    assert free.coverage == pytest.approx(0.8)
    std, n_groups = found.spread.free_energy_std_mev_per_atom[2], found.spread.n_members
    assert free.half_width == pytest.approx(t.ppf(0.9, n_groups - 1) * std)
    assert predictor.own_calibration.factor(free.quantity, 0.2) == 1.0


def test_a_batch_is_each_crystal_alone_and_a_refusal_takes_no_other_with_it(predictor):
    salts = [salt("Na", "Cl"), salt("Li", "F"), salt("K", "S")]
    crystals = [canonical_crystal(one) for one in salts]
    unknown = salts[1].copy()
    unknown.replace_species({"F": "I"})
    crystals.insert(1, canonical_crystal(unknown))
    found = predictor.predict_many(crystals)
    assert isinstance(found[1], ElementNotInModelError)
    assert "I" in found[1].message
    for one, together in zip(crystals[::2], found[::2], strict=True):
        alone = predictor.predict(one)
        for curve in ("free_energy_mev_per_atom", "heat_capacity_mev_per_k_per_atom"):
            ours = getattr(together.thermodynamics, curve)
            assert ours == pytest.approx(getattr(alone.thermodynamics, curve), abs=1e-3)
        check_prediction(together)
    assert predictor.predict_many([]) == []


def test_an_unknown_element_is_named_before_anything_is_computed(predictor, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(DensityOfStatesModel, "predict", never)
    unknown = salt("Na", "Cl")
    unknown.replace_species({"Na": "Cs"})
    with pytest.raises(ElementNotInModelError, match="Cs"):
        predictor.predict(canonical_crystal(unknown))


def test_more_than_a_tenth_below_zero_is_unstable_and_has_no_intervals(
    predictor, crystal, monkeypatch
):
    pretend(monkeypatch, 0.12)
    monkeypatch.setattr(
        DensityOfStatesModel, "novelty", lambda _, found: np.zeros(len(found.latent))
    )
    found = predictor.predict(crystal)
    assert found.stability.verdict is Verdict.UNSTABLE
    assert found.stability.verdicts["lee_2024"] is Verdict.UNDETERMINED
    assert found.stability.lowest_frequency_thz < -7.0
    assert found.spectral_properties.negative_fraction == pytest.approx(0.12)
    assert not found.thermodynamics.valid
    assert found.thermodynamics.imaginary_weight == pytest.approx(0.12)
    assert found.intervals == ()
    assert any("12 % of the modes" in line for line in found.warnings)
    check_prediction(found)


def test_stable_is_said_by_the_counting_criterion_alone(crystal, monkeypatch):
    pretend(monkeypatch, 0.0)
    settings = replace(SETTINGS, stability_criterion=SHARE_CRITERION)
    found = DensityOfStatesNetwork(trained(), settings, device="cpu").predict(crystal)
    assert found.stability.verdict is Verdict.STABLE
    assert found.spectral_properties.negative_fraction_ends[1] < 0.1
    assert found.stability.verdicts["phonoscreen"] is Verdict.UNDETERMINED


def test_weight_beyond_the_window_and_new_crystals_are_refused(predictor, crystal, monkeypatch):
    narrow = DensityOfStatesNetwork(with_domain(trained(), 1e-6), SETTINGS, device="cpu")
    with pytest.raises(OutOfDomainError, match="times as unlike"):
        narrow.predict(crystal)
    pretend(monkeypatch, 0.0, at_edge=0.01)
    with pytest.raises(OutOfDomainError, match="outside the window"):
        predictor.predict(crystal)


class GivenPrior:
    """Modes of the labels themselves, in place of a potential."""

    model = "springs"

    def __init__(self, digest="a" * 64, mesh=20.0):
        self.model_digest, self.phonons = digest, {"mesh_length_angstrom": mesh}

    @property
    def record(self):
        return {"model": self.model, "digest": self.model_digest, "phonons": self.phonons}

    def histogram(self, structure, meter=None, subject=""):
        if subject == self.failing:
            raise NonFiniteForcesError("a force is not finite", subject=subject)
        meter.measure(lambda: None, 3)
        return label_of(structure, with_prior=True).histogram

    failing = ""


def test_a_network_that_corrects_a_potential_is_of_its_tier(crystal):
    prior = GivenPrior()
    predictor = DensityOfStatesNetwork(trained(with_prior=True), SETTINGS, prior, "cpu")
    assert predictor.tier is Tier.POTENTIAL
    assert predictor.settings["prior"] == {"model": "springs", "digest": "a" * 64}
    assert predictor.settings["phonons"] == {"mesh_length_angstrom": 20.0}
    check_predictor(predictor, crystal)
    assert predictor.predict(crystal).cost.force_calls == 3
    other = canonical_crystal(salt("K", "F"))
    prior.failing = other.material_id
    first, second = predictor.predict_many([other, crystal])
    assert isinstance(first, NonFiniteForcesError)
    assert isinstance(second, Prediction)


def test_a_potential_is_given_where_it_is_needed_and_nowhere_else():
    for with_prior, prior in ((True, None), (False, GivenPrior())):
        with pytest.raises(ModelRefusedError, match="potential"):
            DensityOfStatesNetwork(trained(with_prior=with_prior), SETTINGS, prior, "cpu")


def test_another_potential_or_other_phonons_by_it_are_refused():
    model = trained(with_prior=True)
    with pytest.raises(ModelRefusedError, match=r"a{12}.*other weights: b{12}"):
        DensityOfStatesNetwork(model, SETTINGS, GivenPrior("b" * 64), "cpu")
    with pytest.raises(ModelRefusedError, match="other settings"):
        DensityOfStatesNetwork(model, SETTINGS, GivenPrior(mesh=30.0), "cpu")
    untold = {"model": "springs", "digest": "a" * 64}
    for state, missing in (({"prior": untold}, "phonons"), ({"prior": None}, "digest, model")):
        old = replace(model, state={**model.state, **state})
        with pytest.raises(ModelRefusedError, match=f"does not say.*{missing}"):
            DensityOfStatesNetwork(old, SETTINGS, GivenPrior(), "cpu")


def test_what_fails_together_is_tried_one_by_one(predictor, monkeypatch):
    crystals = [canonical_crystal(salt("Na", "Cl")), canonical_crystal(salt("K", "S"))]
    whole = DensityOfStatesModel.predict

    def predict(self, structures, priors=None):
        if len(structures) > 1 or "K" in str(structures[0].composition):
            raise ScreeningError("too much")
        return whole(self, structures, priors)

    monkeypatch.setattr(DensityOfStatesModel, "predict", predict)
    first, second = predictor.predict_many(crystals)
    assert isinstance(first, Prediction)
    assert isinstance(second, ScreeningError)
