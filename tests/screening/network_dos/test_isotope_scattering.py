"""Scattering by isotopes from densities of states."""

from __future__ import annotations

import numpy as np
import pytest
from phonondb_labels import phonondb_frequencies, phonondb_labels

from screening.errors import WrongShapeError
from screening.network_dos.baselines import analytic_histograms
from screening.network_dos.grid import PAPER_GRID, WIDE_GRID, FrequencyGrid
from screening.network_dos.isotope_scattering import isotope_scattering
from screening.network_dos.isotopes import element_mass_variance, mass_variances
from screening.network_dos.properties import dos_properties

FINE = FrequencyGrid(-2.0, 0.5, 1600)
SILICON = mass_variances([np.array([14, 14])])


def scattering(cutoff_thz: float):
    histogram = analytic_histograms(np.array([cutoff_thz]), FINE)
    return isotope_scattering(dos_properties(histogram, [2], FINE), SILICON)


def test_the_debye_solid_is_known_exactly() -> None:
    found, gamma = scattering(10.0), element_mass_variance(14)
    # density 9 nu^2 / D^3 of an atom, of which nu^2 has the integral 9 D^2 / 5
    assert found.published_number[0] == pytest.approx(
        np.pi / 6.0 * gamma * 1.8 * 10.0**2 * 1000.0, rel=1e-4
    )
    # 2 pi nu^2 (9 nu^2 / D^3)^2 / 3 has the integral 2 pi 27 D / 7
    assert found.mean_rate_ghz[0] == pytest.approx(
        np.pi / 6.0 * gamma * 2.0 * np.pi * 27.0 / 7.0 * 10.0 * 1000.0, rel=5e-3
    )
    assert found.mean_rate_of_compound_ghz[0] == pytest.approx(found.mean_rate_ghz[0])


def test_number_and_rate_scale_as_square_and_first_power_of_all_frequencies() -> None:
    once, twice = scattering(5.0), scattering(10.0)
    assert twice.published_number[0] / once.published_number[0] == pytest.approx(4.0, rel=1e-3)
    assert twice.mean_rate_ghz[0] / once.mean_rate_ghz[0] == pytest.approx(2.0, rel=5e-3)


def test_both_are_proportional_to_their_variances() -> None:
    histogram = np.repeat(analytic_histograms(np.array([8.0]), WIDE_GRID), 2, axis=0)
    variances = mass_variances([np.array([31, 7]), np.array([12, 8])])
    found = isotope_scattering(dos_properties(histogram, [2, 2], WIDE_GRID), variances)
    for values, own in (
        (found.published_number, variances.compound),
        (found.mean_rate_ghz, variances.site),
        (found.mean_rate_of_compound_ghz, variances.compound),
    ):
        assert values[0] / values[1] == pytest.approx(own[0] / own[1], rel=1e-12)


def test_pure_and_unknown_and_empty_crystals_are_excluded() -> None:
    histogram = np.vstack(
        [np.repeat(analytic_histograms(np.array([8.0]), PAPER_GRID), 3, axis=0), np.zeros(66)]
    )
    numbers = [np.array([11, 9]), np.array([43]), np.array([14]), np.array([14])]
    properties = dos_properties(histogram, [2, 1, 1, 1], PAPER_GRID)
    found = isotope_scattering(properties, mass_variances(numbers))
    assert found.suitable.tolist() == [False, False, True, False]
    assert (found.mean_rate_ghz > 0.0).tolist() == [False, False, True, False]
    assert (found.published_number > 0.0).tolist() == [False, False, True, False]
    with pytest.raises(WrongShapeError):
        isotope_scattering(properties, SILICON)


def test_bins_keep_the_published_number_of_real_crystals() -> None:
    labels = phonondb_labels(WIDE_GRID)
    properties = dos_properties(
        [one.histogram for one in labels], [one.n_atoms for one in labels], WIDE_GRID
    )
    numbers = [np.array(one.structure.atomic_numbers) for one in labels]
    variances = mass_variances(numbers)
    found = isotope_scattering(properties, variances)
    moments = np.array([values**2 @ own for values, own in phonondb_frequencies()])
    exact = np.pi / 6.0 * variances.compound * moments * 1000.0
    kept = found.suitable
    pure = [one.group for one, good in zip(labels, kept, strict=True) if not good]
    assert sorted(pure) == ["AlAs", "AlAs", "CsF"]
    ratios = found.published_number[kept] / exact[kept]
    assert ratios.mean() == pytest.approx(1.0, abs=0.005)
    assert ratios.std() < 0.012
    assert np.abs(ratios - 1.0).max() < 0.05
