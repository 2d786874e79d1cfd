from dataclasses import replace

import numpy as np
import pytest
from pretended_spectra import debye_mesh, scaled

from screening.errors import (
    InconsistentDataError,
    NonFiniteInputError,
    SettingError,
    TrainingSetError,
)
from screening.network_potential.heat_capacity_scale import (
    HeatCapacityCrystal,
    HeatCapacityFitSettings,
    fit_scale_to_heat_capacities,
)
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics


def heat_capacity(mesh, temperature_k=300.0):
    result = thermodynamics(
        mesh.frequencies_thz,
        mesh.weights,
        mesh.frequencies_thz.shape[1] // 3,
        ThermodynamicsSettings(temperatures_k=(temperature_k,)),
        is_gamma=mesh.is_gamma,
    )
    return float(result.heat_capacity_mev_per_k_per_atom[0])


def soft_crystals(factors, temperature_k=300.0):
    """Debye-like crystals from soft to stiff whose predictions need these factors."""
    highest = np.geomspace(4.0, 30.0, len(factors))
    meshes = [debye_mesh(value, seed=index) for index, value in enumerate(highest)]
    return [
        HeatCapacityCrystal(
            f"m{index}", f"X{index}", scaled(mesh, 1.0 / factor), heat_capacity(mesh, temperature_k)
        )
        for index, (mesh, factor) in enumerate(zip(meshes, factors, strict=True))
    ]


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.02, 1.35, 1.9])
def test_a_known_factor_is_recovered(factor):
    scale = fit_scale_to_heat_capacities(soft_crystals([factor] * 8), "springs")
    assert scale.factor == pytest.approx(factor, rel=1e-5)
    assert scale.rms_after < 1e-7
    assert scale.kind == "heat_capacity"


def test_other_temperatures_say_the_same():
    settings = HeatCapacityFitSettings(temperature_k=150.0)
    crystals = soft_crystals([1.3] * 8, 150.0)
    assert fit_scale_to_heat_capacities(crystals, "springs", settings).factor == pytest.approx(
        1.3, rel=1e-5
    )


def test_noise_averages_out_and_the_uncertainty_knows_it():
    rng = np.random.default_rng(0)
    factors = 1.3 + 0.1 * rng.normal(size=60)
    scale = fit_scale_to_heat_capacities(soft_crystals(factors), "springs")
    assert scale.factor == pytest.approx(1.3, abs=4 * scale.std)
    assert 0.003 < scale.std < 0.04
    assert scale.rms_after < 0.5 * scale.rms_before


def test_a_few_wrong_references_do_not_decide():
    crystals = soft_crystals([1.3] * 30)
    wrong = [
        replace(one, heat_capacity_mev_per_k_per_atom=0.6 * one.heat_capacity_mev_per_k_per_atom)
        for one in crystals[::10]
    ]
    scale = fit_scale_to_heat_capacities(
        [*wrong, *(one for i, one in enumerate(crystals) if i % 10)], "springs"
    )
    assert scale.factor == pytest.approx(1.3, rel=0.02)


def with_imaginary_modes(crystal, n_modes):
    """Make the lowest modes of one wave vector imaginary."""
    broken = crystal.predicted.frequencies_thz.copy()
    broken[7, :n_modes] = -2.0
    return replace(crystal, predicted=replace(crystal.predicted, frequencies_thz=broken))


def test_crystals_with_too_many_imaginary_modes_are_left_out_and_counted():
    settings = HeatCapacityFitSettings(max_dropped_weight=1e-4)
    crystals = soft_crystals([1.3] * 6)
    crystals[2] = with_imaginary_modes(crystals[2], 6)
    scale = fit_scale_to_heat_capacities(crystals, "springs", settings)
    assert (scale.n_crystals, scale.n_left_out, scale.n_compositions) == (5, 1, 5)
    assert scale.compositions == tuple(sorted({x.group for i, x in enumerate(crystals) if i != 2}))
    assert scale.factor == pytest.approx(1.3, rel=1e-5)
    with pytest.raises(TrainingSetError):
        fit_scale_to_heat_capacities(crystals[2:3], "springs", settings)
    with pytest.raises(TrainingSetError):
        fit_scale_to_heat_capacities([], "springs")


def test_a_few_imaginary_modes_count_as_classical():
    crystals = [with_imaginary_modes(one, 1) for one in soft_crystals([1.3] * 8)]
    scale = fit_scale_to_heat_capacities(crystals, "springs")
    assert (scale.n_crystals, scale.n_left_out) == (8, 0)
    assert 0.0 < scale.left_out_weight < 0.02
    assert scale.factor == pytest.approx(1.3, rel=0.01)


def test_no_factor_in_range_is_refused():
    crystals = soft_crystals([1.0] * 5)
    floppy = [replace(one, predicted=scaled(one.predicted, 0.2)) for one in crystals]
    settings = HeatCapacityFitSettings(max_dropped_weight=1.0)
    with pytest.raises(TrainingSetError):
        fit_scale_to_heat_capacities(floppy, "springs", settings)


def test_heat_capacities_of_cells_are_not_taken_for_those_of_atoms():
    (one,) = soft_crystals([1.0])
    with pytest.raises(InconsistentDataError):
        replace(one, heat_capacity_mev_per_k_per_atom=0.4)
    with pytest.raises(NonFiniteInputError):
        replace(one, heat_capacity_mev_per_k_per_atom=float("nan"))


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature_k": 0.0},
        {"huber_mev_per_k_per_atom": -1.0},
        {"max_dropped_weight": 2.0},
        {"n_resamples": -1},
    ],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(SettingError):
        HeatCapacityFitSettings(**bad)
