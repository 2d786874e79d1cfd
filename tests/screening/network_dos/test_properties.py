"""Thermodynamics, stability and characteristic frequencies of histograms."""

from __future__ import annotations

import numpy as np
import pytest
from phonondb_labels import phonondb_labels

from screening.errors import (
    InconsistentDataError,
    NonFiniteInputError,
    OutOfDomainError,
    SettingError,
    WrongShapeError,
)
from screening.network_dos.baselines import analytic_histograms
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID, FrequencyGrid
from screening.network_dos.properties import DosSettings, dos_properties
from screening.network_dos.scalar_model import label_curves
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from screening.units import BOLTZMANN_MEV_PER_K, KELVIN_PER_THZ, MEV_TO_JOULE_PER_MOL

ZERO = PAPER_GRID.zero
FINE = FrequencyGrid(-10.0, 0.5, 1021)


def peaks(*places: tuple[int, float]) -> np.ndarray:
    found = np.zeros((1, len(PAPER_GRID)))
    for step, weight in places:
        found[0, ZERO + step] = weight
    return found


def test_a_peak_is_the_einstein_solid_of_its_centre() -> None:
    kelvin = (0.0, 10.0, 300.0, 1500.0)
    found = dos_properties(peaks((15, 0.3)), [4], PAPER_GRID, DosSettings(temperatures_k=kelvin))
    frequency = 300.0 / 33.35640952
    exact = thermodynamics(
        np.full((1, 3), frequency),
        np.ones(1),
        1,
        ThermodynamicsSettings(temperatures_k=kelvin),
        is_gamma=np.array([False]),
    )
    ours = found.thermodynamics(0)
    for name in ("free_energy", "internal_energy"):
        name = f"{name}_mev_per_atom"  # noqa: PLW2901 - the unit
        np.testing.assert_allclose(getattr(ours, name), getattr(exact, name), rtol=1e-9)
    for name in ("entropy", "heat_capacity"):
        name = f"{name}_mev_per_k_per_atom"  # noqa: PLW2901 - the unit
        np.testing.assert_allclose(getattr(ours, name), getattr(exact, name), rtol=1e-8, atol=1e-15)
    assert ours.zero_point_energy_mev_per_atom == pytest.approx(
        exact.zero_point_energy_mev_per_atom
    )
    assert ours.valid
    assert found.mean_frequency_thz[0] == pytest.approx(frequency, rel=1e-9)
    assert found.debye_temperature_k[0] == pytest.approx(
        KELVIN_PER_THZ * frequency * np.sqrt(5.0 / 3.0), rel=1e-9
    )
    assert found.published_debye_temperature_k[0] == pytest.approx(
        found.debye_temperature_k[0] / 4.0 ** (1.0 / 3.0)
    )


def test_all_modes_are_3n_whatever_the_normalisation() -> None:
    generator = np.random.default_rng(3)
    histograms = generator.random((5, len(PAPER_GRID)))
    atoms = np.array([1, 2, 3, 10, 200])
    found = dos_properties(histograms, atoms, PAPER_GRID)
    np.testing.assert_allclose(found.histograms.sum(axis=1), 3.0 * atoms, rtol=1e-13)
    other = dos_properties(histograms * 1e150, atoms, PAPER_GRID)
    np.testing.assert_allclose(other.histograms, found.histograms, rtol=1e-12)
    np.testing.assert_allclose(
        other.entropy_mev_per_k_per_atom, found.entropy_mev_per_k_per_atom, rtol=1e-12
    )
    positive = found.histograms[:, ZERO:].sum(axis=1) * found.positive_scale
    np.testing.assert_allclose(positive, 3.0 * atoms, rtol=1e-13)


def test_crystals_do_not_know_of_each_other() -> None:
    generator = np.random.default_rng(4)
    histograms, atoms = generator.random((6, len(PAPER_GRID))), np.arange(1, 7)
    order = generator.permutation(6)
    found = dos_properties(histograms, atoms, PAPER_GRID)
    shuffled = dos_properties(histograms[order], atoms[order], PAPER_GRID)
    for name in (
        *("free_energy_mev_per_atom", "heat_capacity_mev_per_k_per_atom", "lowest_frequency_thz"),
        *("highest_frequency_thz", "debye_temperature_k", "negative_fraction", "stable"),
    ):
        np.testing.assert_allclose(getattr(shuffled, name), getattr(found, name)[order], rtol=1e-13)
    one = dos_properties(histograms[2:3], atoms[2:3], PAPER_GRID)
    np.testing.assert_allclose(
        one.entropy_mev_per_k_per_atom[0], found.entropy_mev_per_k_per_atom[2], rtol=1e-13
    )


def test_the_debye_solid_has_its_two_limits_and_its_temperature() -> None:
    kelvin = (8.0, 16.0, 5000.0)
    histogram = analytic_histograms(np.array([10.0]), FINE)
    found = dos_properties(histogram, [1], FINE, DosSettings(temperatures_k=kelvin))
    theta = 10.0 * KELVIN_PER_THZ
    assert found.debye_temperature_k[0] == pytest.approx(theta, rel=1e-4)
    cold, colder = found.heat_capacity_mev_per_k_per_atom[0, 1::-1]
    exact = 12.0 * np.pi**4 / 5.0 * BOLTZMANN_MEV_PER_K * (np.array([8.0, 16.0]) / theta) ** 3
    assert colder == pytest.approx(exact[0], rel=5e-3)
    assert cold == pytest.approx(exact[1], rel=2e-3)
    hot = 3.0 * BOLTZMANN_MEV_PER_K * (1.0 - (theta / 5000.0) ** 2 / 20.0)
    assert found.heat_capacity_mev_per_k_per_atom[0, 2] == pytest.approx(hot, rel=1e-5)
    assert found.zero_point_energy_mev_per_atom[0] == pytest.approx(
        9.0 / 8.0 * BOLTZMANN_MEV_PER_K * theta, rel=1e-4
    )
    assert found.mean_frequency_thz[0] == pytest.approx(7.5, rel=1e-4)
    assert found.lowest_frequency_thz[0] == pytest.approx(1.0, abs=0.02)  # a thousandth lies below
    assert found.highest_frequency_thz[0] == pytest.approx(10.0, abs=0.02)


def test_even_the_first_coarse_bin_follows_debye() -> None:
    """All modes of a soft crystal in the bin at zero: the square fills it as they do."""
    edge = PAPER_GRID.edges_thz[ZERO + 1]
    found = dos_properties(
        analytic_histograms(np.array([edge]), PAPER_GRID),
        [1],
        PAPER_GRID,
        DosSettings(temperatures_k=(300.0,)),
    )
    assert found.debye_temperature_k[0] == pytest.approx(edge * KELVIN_PER_THZ, rel=1e-12)
    x = edge * KELVIN_PER_THZ / 300.0
    exact = 3.0 * BOLTZMANN_MEV_PER_K * (4.0 / 3.0 - np.log(x) + 0.6 * x**2 / 24.0)
    assert found.entropy_mev_per_k_per_atom[0, 0] == pytest.approx(exact, rel=1e-6)


def test_a_tenth_below_zero_is_still_stable_and_the_bin_at_zero_is_not_below() -> None:
    rows = np.vstack(
        [
            peaks((-3, 10.0), (20, 90.0)),
            peaks((-3, 10.1), (20, 89.9)),
            peaks((0, 50.0), (20, 50.0)),
            peaks((-1, 100.0)),
        ]
    )
    found = dos_properties(rows, [2] * 4, PAPER_GRID)
    np.testing.assert_allclose(found.negative_fraction, [0.1, 0.101, 0.0, 1.0], rtol=1e-12)
    assert found.stable.tolist() == [True, False, True, False]
    assert found.suitable.tolist() == [True, True, True, False]
    assert found.lowest_frequency_thz[1] == pytest.approx(-60.0 / 33.35640952, abs=0.3)
    assert not found.thermodynamics(1).valid
    with pytest.raises(OutOfDomainError, match="no weight at or above zero"):
        found.check_suitable(3, "XY")


def test_the_rest_is_scaled_up_whatever_lies_below_zero() -> None:
    settings = DosSettings(temperatures_k=(300.0,))
    bare = dos_properties(peaks((20, 1.0)), [2], PAPER_GRID, settings)
    dressed = dos_properties(peaks((20, 1.0), (-5, 0.25)), [2], PAPER_GRID, settings)
    assert dressed.positive_scale[0] == pytest.approx(1.25)
    assert dressed.entropy_mev_per_k_per_atom == pytest.approx(bare.entropy_mev_per_k_per_atom)
    assert dressed.thermodynamics(0).dropped_weight == pytest.approx(0.2)


def test_without_rising_bins_weight_at_zero_is_left_out() -> None:
    settings = DosSettings(temperatures_k=(300.0,), rising_bins=0)
    found = dos_properties(peaks((20, 1.0), (0, 1.0)), [2], PAPER_GRID, settings)
    bare = dos_properties(peaks((20, 1.0)), [2], PAPER_GRID, settings)
    assert found.positive_scale[0] == pytest.approx(2.0)
    assert found.entropy_mev_per_k_per_atom == pytest.approx(bare.entropy_mev_per_k_per_atom)
    assert found.negative_fraction[0] == 0.0


def test_nothing_predicted_gives_zeros_and_is_not_suitable() -> None:
    found = dos_properties(np.zeros((1, len(PAPER_GRID))), [2], PAPER_GRID)
    for name in ("histograms", "free_energy_mev_per_atom", "debye_temperature_k"):
        assert not getattr(found, name).any()
    assert not found.suitable[0]
    assert found.highest_frequency_thz[0] == found.lowest_frequency_thz[0] == 0.0


def test_crystals_with_modes_outside_are_refused_by_what_is_known() -> None:
    found = dos_properties(
        np.vstack([peaks((20, 1.0))] * 2), [2, 2], PAPER_GRID, outside_fraction=[5e-4, 2e-3]
    )
    assert found.suitable.tolist() == [True, False]
    found.check_suitable(0)
    with pytest.raises(OutOfDomainError, match=r"0\.2 % of the modes lie outside.*wider grid"):
        found.check_suitable(1, "BN")


@pytest.mark.parametrize(
    ("histograms", "atoms", "error"),
    [
        (np.ones((1, 65)), [1], WrongShapeError),
        (np.ones(66), [1], WrongShapeError),
        (np.ones((2, 66)), [1], WrongShapeError),
        (np.full((1, 66), np.nan), [1], NonFiniteInputError),
        (-np.ones((1, 66)), [1], InconsistentDataError),
        (np.ones((1, 66)), [0], InconsistentDataError),
    ],
)
def test_what_is_no_histogram_is_refused(histograms, atoms, error) -> None:
    with pytest.raises(error):
        dos_properties(histograms, atoms, PAPER_GRID)


def test_impossible_settings_are_refused() -> None:
    for wrong in (
        {"temperatures_k": (300.0, 200.0)},
        {"rising_bins": -1},
        {"end_fraction": 0.5},
        {"largest_negative_fraction": float("nan")},
    ):
        with pytest.raises(SettingError):
            DosSettings(**wrong)


def test_exactly_the_crystals_beyond_the_published_window_are_found() -> None:
    labels = phonondb_labels(PAPER_GRID)
    found = dos_properties(
        [one.histogram for one in labels],
        [one.n_atoms for one in labels],
        PAPER_GRID,
        outside_fraction=[one.weight_outside for one in labels],
    )
    refused = [one.group for one, good in zip(labels, found.suitable, strict=True) if not good]
    assert sorted(refused) == ["BN", "BN", "BeO", "BeO"]
    wide = phonondb_labels(WIDE_GRID)
    assert max(one.weight_outside for one in wide) == 0.0
    truth = [one.histogram[WIDE_GRID.zero + 51 :].any() for one in wide]
    assert truth == [not good for good in found.suitable]


def entropy_errors(grid: FrequencyGrid, rising_bins: int) -> np.ndarray:
    """Errors at 300 K in J/mol/K per atom of the crystals inside the published window."""
    names = {one.material_id for one in phonondb_labels(PAPER_GRID) if one.weight_outside == 0.0}
    labels = [one for one in phonondb_labels(grid) if one.material_id in names]
    exact = label_curves(labels, grid, (300.0,))
    found = dos_properties(
        [one.histogram for one in labels],
        [one.n_atoms for one in labels],
        grid,
        DosSettings(temperatures_k=(300.0,), rising_bins=rising_bins),
    )
    capacity = found.heat_capacity_mev_per_k_per_atom - exact.heat_capacity_mev_per_k_per_atom
    assert np.abs(capacity).mean() * MEV_TO_JOULE_PER_MOL < 0.008
    entropy = found.entropy_mev_per_k_per_atom - exact.entropy_mev_per_k_per_atom
    return np.abs(entropy[:, 0]) * MEV_TO_JOULE_PER_MOL


@pytest.mark.parametrize("grid", [PAPER_GRID, WIDE_GRID])
def test_bins_cost_little_of_the_entropy_of_real_crystals(grid: FrequencyGrid) -> None:
    errors = entropy_errors(grid, 2)
    assert len(errors) == 44
    assert errors.mean() < 0.08
    assert np.quantile(errors, 0.95) < 0.3
    assert errors.max() < 0.5


def test_two_rising_bins_are_the_best_choice() -> None:
    errors = [entropy_errors(PAPER_GRID, rising).mean() for rising in (0, 1, 2, 3)]
    assert errors[2] < 0.9 * min(errors[:2] + errors[3:])
    assert max(errors[:3]) < 0.15
