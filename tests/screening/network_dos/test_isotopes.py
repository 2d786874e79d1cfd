"""Variances of the masses of natural elements and compounds."""

from __future__ import annotations

import numpy as np
import pytest
from phono3py.other.isotope import get_mass_variances
from phonopy.structure.atoms import PhonopyAtoms

from screening.errors import InconsistentDataError
from screening.network_dos.isotopes import (
    element_mass_variance,
    has_natural_isotopes,
    mass_variances,
    natural_isotopes,
)


@pytest.mark.parametrize(
    ("number", "published"), [(14, 2.01e-4), (32, 5.87e-4), (31, 1.97e-4), (6, 7.38e-5)]
)
def test_published_variances_of_elements(number: int, published: float) -> None:
    assert element_mass_variance(number) == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("number", [4, 9, 11, 13, 15, 27, 33, 53, 55, 79])
def test_elements_of_one_isotope_have_none(number: int) -> None:
    assert element_mass_variance(number) == 0.0


def test_every_element_agrees_with_phono3py() -> None:
    natural = [n for n in range(1, 93) if has_natural_isotopes(n)]
    cell = PhonopyAtoms(numbers=natural, cell=np.eye(3), scaled_positions=np.zeros((84, 3)))
    ours = [element_mass_variance(n) for n in natural]
    np.testing.assert_allclose(ours, get_mass_variances(cell), rtol=1e-4, atol=1e-12)
    assert all(natural_isotopes(n).fractions.sum() == pytest.approx(1.0) for n in natural)
    assert [n for n in range(1, 93) if n not in natural] == [43, 61, 84, 85, 86, 87, 88, 89]


def test_both_definitions_agree_in_an_element_and_differ_in_a_compound() -> None:
    found = mass_variances([np.array([14, 14]), np.array([31, 7])])
    assert found.site[0] == pytest.approx(found.compound[0], rel=1e-14)
    gallium, nitrogen = natural_isotopes(31), natural_isotopes(7)
    mean = 0.5 * (gallium.mean_mass_amu + nitrogen.mean_mass_amu)
    spread = sum(
        0.5 * float(one.fractions @ (one.masses_amu - one.mean_mass_amu) ** 2)
        for one in (gallium, nitrogen)
    )
    assert found.compound[1] == pytest.approx(spread / mean**2, rel=1e-12)
    assert found.site[1] == pytest.approx(
        0.5 * (element_mass_variance(31) + element_mass_variance(7)), rel=1e-12
    )
    assert found.compound[1] > 1.5 * found.site[1]


def test_neither_order_nor_size_of_the_cell_matters() -> None:
    cells = [np.array([12, 8, 8]), np.array([8, 12, 8]), np.array([8, 8, 12, 12, 8, 8])]
    found = mass_variances(cells)
    np.testing.assert_allclose(found.site, found.site[0], rtol=1e-14)
    np.testing.assert_allclose(found.compound, found.compound[0], rtol=1e-14)


def test_what_does_not_scatter_is_excluded() -> None:
    found = mass_variances([np.array([11, 9]), np.array([43, 8]), np.array([14])])
    assert found.known.tolist() == [True, False, True]
    assert found.scatters.tolist() == [False, False, True]
    assert found.site.tolist()[:2] == [0.0, 0.0]
    assert mass_variances([]).known.shape == (0,)


def test_what_is_no_element_of_nature_is_refused() -> None:
    with pytest.raises(InconsistentDataError, match="no natural isotopes"):
        natural_isotopes(43)
    with pytest.raises(InconsistentDataError, match="without atoms"):
        mass_variances([np.array([], dtype=np.int64)])
