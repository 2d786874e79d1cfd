"""What phonopy is given: no mirror image, and no response that an insulator does not have."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.errors import InconsistentDataError
from screening.repeated_cell import check_handedness, nac_parameters, phonopy_cells

SYMPREC_ANGSTROM = 1e-5
ROCKSALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
).get_primitive_structure()


@dataclass(frozen=True)
class Polar:
    """Rock salt, its one cell once."""

    primitive: Structure
    supercell_matrix: np.ndarray
    supercell_scaled_positions: np.ndarray
    supercell_numbers: np.ndarray
    born_charges_e: np.ndarray | None
    dielectric_constant: np.ndarray | None


@pytest.fixture
def polar() -> Polar:
    signs = np.array([1.0, -1.0])[:, None, None]
    return Polar(
        ROCKSALT,
        np.eye(3, dtype=np.int64),
        ROCKSALT.frac_coords,
        np.array(ROCKSALT.atomic_numbers),
        1.1 * signs * np.eye(3),
        2.4 * np.eye(3),
    )


@pytest.mark.parametrize(
    ("matrix", "determinant"),
    [
        (-np.eye(3), -1),
        (np.diag([-2, -2, -2]), -8),
        (np.eye(3)[[1, 0, 2]], -1),
        (np.ones((3, 3)), 0),
    ],
)
def test_mirror_images_and_flat_cells_are_refused(polar, matrix, determinant):
    cell = replace(polar, supercell_matrix=matrix.astype(np.int64))
    with pytest.raises(InconsistentDataError, match=f"determinant {determinant}") as caught:
        phonopy_cells(cell, SYMPREC_ANGSTROM)
    assert caught.value.subject == "supercell_matrix"
    assert "positive determinant" in caught.value.hint


def test_vectors_may_point_anywhere_as_long_as_they_are_right_handed():
    check_handedness(np.array([[-2, 2, 2], [2, -2, 2], [2, 2, -2]]))
    check_handedness(np.diag([-1, -1, 1]))


def test_a_response_of_an_insulator_is_kept(polar):
    found = nac_parameters(polar, SYMPREC_ANGSTROM)
    np.testing.assert_allclose(found["born"], polar.born_charges_e, atol=1e-12)
    np.testing.assert_allclose(found["dielectric"], polar.dielectric_constant, atol=1e-12)
    assert nac_parameters(replace(polar, dielectric_constant=None), SYMPREC_ANGSTROM) is None


@pytest.mark.parametrize(
    ("dielectric", "message"),
    [
        (np.zeros((3, 3)), "is not positive; its smallest eigenvalue is 0"),
        (np.diag([2.0, 2.0, -2.0]), "is not positive; its smallest eigenvalue is -2"),
        (-2.4 * np.eye(3), "smallest eigenvalue is -2.4"),
        (2.0 * np.eye(3) + np.diag([3.0, 0.0], 1) + np.diag([3.0, 0.0], -1), "eigenvalue is -1"),
        (2.0 * np.eye(3) + np.diag([0.5, 0.0], 1), "differs from its transpose by 0.5"),
    ],
)
def test_what_is_no_dielectric_tensor_is_refused(polar, dielectric, message):
    with pytest.raises(InconsistentDataError, match=message) as caught:
        nac_parameters(replace(polar, dielectric_constant=dielectric), SYMPREC_ANGSTROM)
    assert caught.value.subject == "dielectric_constant"
    assert caught.value.hint


@pytest.mark.parametrize("name", ["born_charges_e", "dielectric_constant"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_named(polar, name, value):
    values = getattr(polar, name).copy()
    values.flat[4] = value
    place = r"\[0, 1, 1\]" if name == "born_charges_e" else r"\[1, 1\]"
    with pytest.raises(InconsistentDataError, match=f"a value is not finite, at {place}") as caught:
        nac_parameters(replace(polar, **{name: values}), SYMPREC_ANGSTROM)
    assert caught.value.subject == name


def test_a_wrong_shape_is_said_with_the_one_needed(polar):
    wrong = replace(polar, born_charges_e=np.zeros((3, 3, 3)))
    with pytest.raises(InconsistentDataError, match=r"shape \(3, 3, 3\) where \(2, 3, 3\)"):
        nac_parameters(wrong, SYMPREC_ANGSTROM)
