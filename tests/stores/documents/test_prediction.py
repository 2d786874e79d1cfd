"""Prediction documents: everything but the arrays, there and back."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from screening.errors import SerializationError
from screening.prediction import frozen_array
from screening.predictors.interface import prediction_key
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval
from stores.documents.prediction import PredictionDocument


def test_round_trip(make_prediction):
    made = PredictionDocument.from_prediction(make_prediction(), "ps-1")
    assert PredictionDocument.load(made.to_store()) == made
    assert made.prediction_id == prediction_key(
        "a" * 64, "potential-phonons", 1, "b" * 64, "c" * 64
    )
    assert made.provenance.source_ids == ("ps-1",)


def test_prediction_comes_back_without_its_arrays(make_prediction):
    given = make_prediction()
    again = PredictionDocument.from_prediction(given, "ps-1").to_prediction()
    scalars = (
        "method",
        "method_version",
        "tier",
        "model",
        "model_digest",
        "structure_digest",
        "settings",
        "settings_digest",
        "structure",
        "cost",
        "static_energy_ev_per_atom",
        "static_energy_source",
        "relaxation",
        "warnings",
        "model_settings",
    )
    for name in scalars:
        assert getattr(again, name) == getattr(given, name)
    np.testing.assert_array_equal(
        again.thermodynamics.free_energy_mev_per_atom, given.thermodynamics.free_energy_mev_per_atom
    )
    np.testing.assert_array_equal(
        again.spread.free_energy_std_mev_per_atom, given.spread.free_energy_std_mev_per_atom
    )
    assert again.force_data is None
    assert (again.force_constants, again.conductivity) == (None, None)


def test_optional_parts_may_be_absent(make_prediction):
    bare = make_prediction(
        spread=None, relaxation=None, static_energy_ev_per_atom=None, static_energy_source=None
    )
    made = PredictionDocument.from_prediction(bare, "ps-1")
    assert (made.spread, made.relaxation, made.static_energy_ev_per_atom) == (None, None, None)


FREE_ENERGY = Quantity(Property.FREE_ENERGY, 300.0)
OWN = Interval(FREE_ENERGY, 60.2, 57.0, 63.4, 0.9, "c" * 64)
OWN_OPEN = Interval(Quantity(Property.ENTROPY, 1000.0), 0.42, -math.inf, 0.5, 0.9)


def test_intervals_of_the_method_come_back(make_prediction):
    made = PredictionDocument.from_prediction(make_prediction(intervals=(OWN, OWN_OPEN)), "ps-1")
    assert PredictionDocument.load(made.to_store()) == made
    assert made.to_prediction().intervals == (OWN, OWN_OPEN)
    assert PredictionDocument.from_prediction(make_prediction(), "ps-1").intervals == ()


@pytest.mark.parametrize(
    ("intervals", "message"),
    [
        ((OWN, replace(OWN, upper=70.0)), "two intervals"),
        ((Interval(Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0), 0, -1, 1, 0.9),), "pair"),
        ((replace(OWN, coverage=1.0),), "coverage"),
    ],
)
def test_intervals_that_are_not_of_one_crystal_are_refused(make_prediction, intervals, message):
    with pytest.raises(SerializationError, match=message):
        PredictionDocument.from_prediction(make_prediction(intervals=intervals), "ps-1")


def test_numpy_numbers_become_plain(make_prediction):
    made = PredictionDocument.from_prediction(
        make_prediction(static_energy_ev_per_atom=np.float64(-5.9)), "ps-1"
    )
    assert type(made.to_store()["static_energy_ev_per_atom"]) is float


def test_a_fit_is_summarised(make_fitted):
    given = make_fitted()
    made = PredictionDocument.from_prediction(given, "ps-1")
    assert PredictionDocument.load(made.to_store()) == made
    fit = made.force_constants
    assert (fit.highest_order, fit.n_supercell_atoms, fit.n_cells) == (3, 4, 3)
    curve = made.thermal_conductivity
    assert curve.temperatures_k == (100.0, 300.0, 1000.0)  # sorted, whatever the order was
    assert curve.method == "rta"
    index = curve.index_of(300.0)
    trace = np.trace(given.conductivity.conductivity_w_per_m_k[0]) / 3
    assert curve.conductivity_w_per_m_k[index] == pytest.approx(trace, rel=1e-14)
    std = np.trace(given.conductivity_std_w_per_m_k[0]) / 3
    assert curve.conductivity_std_w_per_m_k[index] == pytest.approx(std, rel=1e-14)
    assert curve.index_of(301.0) is None


def test_a_fit_of_second_order_without_cells(make_fitted):
    constants = replace(make_fitted().force_constants, third_order_ev_per_angstrom3=None)
    given = make_fitted(
        force_constants=constants, displaced_cells=None, conductivity_std_w_per_m_k=None
    )
    made = PredictionDocument.from_prediction(given, "ps-1")
    assert (made.force_constants.highest_order, made.force_constants.n_cells) == (2, None)
    assert made.thermal_conductivity.conductivity_std_w_per_m_k is None


def test_a_conductivity_that_repeats_a_temperature_is_refused(make_fitted):
    kappa = make_fitted().conductivity
    for changes, std in (
        ({"temperatures_k": frozen_array([300.0, 300.0, 400.0])}, None),
        ({}, np.full((3, 3, 3), -1.0)),
        ({"conductivity_w_per_m_k": np.full((3, 3, 3), math.nan)}, None),
    ):
        given = make_fitted(conductivity=replace(kappa, **changes), conductivity_std_w_per_m_k=std)
        with pytest.raises(SerializationError, match="ConductivityRecord"):
            PredictionDocument.from_prediction(given, "ps-1")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_curve_with_a_number_that_is_not_finite(make_prediction, make_thermodynamics, value):
    curves = (
        "free_energy_mev_per_atom",
        "entropy_mev_per_k_per_atom",
        "heat_capacity_mev_per_k_per_atom",
        "internal_energy_mev_per_atom",
    )
    for name in curves:
        broken = make_thermodynamics(**{name: frozen_array([0.0, value, 1.0])})
        with pytest.raises(SerializationError, match=name):
            PredictionDocument.from_prediction(make_prediction(thermodynamics=broken), "ps-1")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_scalar_that_is_not_finite(make_prediction, value):
    given = make_prediction()
    for broken in (
        {"static_energy_ev_per_atom": value},
        {"stability": replace(given.stability, lowest_frequency_thz=value)},
        {"cost": replace(given.cost, wall_seconds=value)},
        {"relaxation": replace(given.relaxation, max_stress_gpa=value)},
        {"spread": replace(given.spread, lowest_frequency_std_thz=value)},
        {"settings": {"cutoff": value}},
    ):
        with pytest.raises(SerializationError):
            PredictionDocument.from_prediction(make_prediction(**broken), "ps-1")
