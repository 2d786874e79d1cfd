"""What descriptors take and how they are named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from screening.descriptors.interface import (
    AtomicSystem,
    Descriptor,
    atom_counts,
    descriptor_from,
    sorted_elements,
)
from screening.errors import (
    CellError,
    DisorderedError,
    ElementNotInModelError,
    ModelRefusedError,
    NonFiniteInputError,
    OverlapError,
    ScreeningError,
    SettingError,
    SuspiciousSpeciesError,
    WrongShapeError,
)

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def test_a_structure_is_taken_as_it_is() -> None:
    system = AtomicSystem.from_structure(ROCK_SALT)
    assert system.numbers.tolist() == [11] * 4 + [17] * 4
    assert len(system) == 8
    np.testing.assert_array_equal(system.positions_angstrom, ROCK_SALT.cart_coords)
    np.testing.assert_array_equal(system.cell_angstrom, 5.6 * np.eye(3))
    with pytest.raises(ValueError, match="read-only"):
        system.positions_angstrom[0] = 0.0


@pytest.mark.parametrize(
    ("positions", "numbers", "cell", "kind"),
    [
        (np.zeros((0, 3)), [], None, WrongShapeError),
        (np.zeros((2, 3)), [1], None, WrongShapeError),
        (np.zeros((1, 2)), [1], None, WrongShapeError),
        (np.zeros((1, 3)), [[1]], None, WrongShapeError),
        (np.zeros((1, 3)), [0], None, SuspiciousSpeciesError),
        (np.zeros((1, 3)), [119], None, SuspiciousSpeciesError),
        (np.full((1, 3), np.nan), [1], None, NonFiniteInputError),
        (np.zeros((1, 3)), [1], np.eye(2), WrongShapeError),
        (np.zeros((1, 3)), [1], np.full((3, 3), np.inf), NonFiniteInputError),
        (np.zeros((1, 3)), [1], np.ones((3, 3)), CellError),
    ],
)
def test_what_is_no_system_is_refused(
    positions: np.ndarray, numbers: list[int], cell: np.ndarray | None, kind: type[ScreeningError]
) -> None:
    with pytest.raises(kind) as caught:
        AtomicSystem(positions, np.array(numbers), cell)
    assert caught.value.hint


def test_a_disordered_structure_is_refused() -> None:
    mixed = Structure(Lattice.cubic(3.0), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(DisorderedError):
        AtomicSystem.from_structure(mixed)


def test_an_unknown_element_is_named() -> None:
    system = AtomicSystem.from_structure(ROCK_SALT)
    for call in (
        lambda one: one.summed(system, [11, 19]),
        lambda one: one.per_atom(system, [11, 19]),
    ):
        with pytest.raises(ElementNotInModelError) as caught:
            call(descriptor_from("afs"))
        assert caught.value.subject == "Cl"
    with pytest.raises(ElementNotInModelError):
        descriptor_from("scattering").summed(system, [11])


def test_atoms_are_counted_by_element() -> None:
    counts = atom_counts(np.array([30, 9, 9]), (9, 19, 30))
    assert counts.tolist() == [2.0, 0.0, 1.0]
    assert sorted_elements([30, 9, 30]) == (9, 30)
    with pytest.raises(SettingError):
        sorted_elements([])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("afs", {"n_radial": 8, "l_max": 6, "cutoff_angstrom": 4.0}),
        ("bso4", {"j_max": 2.5, "neighbour_channels": "species"}),
        ("scattering", {"scales": [0.0, 1.0], "l_max": 3}),
    ],
)
def test_settings_bring_the_descriptor_back(name: str, settings: dict[str, object]) -> None:
    made = descriptor_from(name, settings, workers=2)
    assert isinstance(made, Descriptor)
    again = descriptor_from(made.name, json.loads(json.dumps(made.settings)), workers=2)
    assert again == made
    assert settings.items() <= made.settings.items()
    assert "workers" not in made.settings


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("soap", {}),
        ("afs", {"n_max": 3}),
        ("afs", {"n_radial": 0}),
        ("afs", {"n_radial": 5.0}),
        ("afs", {"l_max": 99}),
        ("afs", {"cutoff_angstrom": "far"}),
        ("afs", {"cutoff_angstrom": float("nan")}),
        ("afs", {"cutoff_angstrom": -1.0}),
        ("afs", {"neighbour_channels": "pairs"}),
        ("afs", {"workers": 0}),
        ("bso4", {"j_max": 1.2}),
        ("bso4", {"pole_fraction": 1.5}),
        ("scattering", {"scales": []}),
        ("scattering", {"scales": [100.0]}),
        ("scattering", {"width_angstrom": 0.0}),
        ("mace:", {}),
    ],
)
def test_settings_out_of_range_are_refused(name: str, settings: dict[str, object]) -> None:
    workers = settings.pop("workers", 1)
    with pytest.raises(SettingError) as caught:
        descriptor_from(name, settings, workers=workers)  # type: ignore[arg-type]
    assert caught.value.hint


def test_a_model_without_digest_is_refused() -> None:
    with pytest.raises((ModelRefusedError, ScreeningError)):
        descriptor_from("mace:/no/such.model")


@pytest.mark.parametrize("cell", [None, 9.0 * np.eye(3)])
def test_atoms_in_one_place_are_refused(cell: np.ndarray | None) -> None:
    positions = np.array([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    with pytest.raises(OverlapError):
        descriptor_from("afs").per_atom(AtomicSystem(positions, np.full(3, 18), cell))
