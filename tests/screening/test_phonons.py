from __future__ import annotations

import numpy as np
import pytest

from screening.errors import (
    InconsistentDataError,
    NonFiniteForcesError,
    SettingError,
    WrongShapeError,
)
from screening.phonons import (
    PhononSettings,
    compute_forces,
    compute_member_forces,
    displacement_plan,
    force_data_from_phonopy_yaml,
    harmonic_from_forces,
    mean_force_data,
    mesh_frequencies,
)
from screening.structure import canonical_crystal
from screening.supercell import SupercellSettings

SMALL = PhononSettings(
    supercell=SupercellSettings(min_length_angstrom=7.0, min_atoms=1, max_atoms=80)
)


class Broken:
    """A calculator whose forces are spoilt in one way."""

    displacement_angstrom = 0.01

    def __init__(self, spoil):
        self._spoil = spoil

    def forces(self, cell, positions, numbers):  # noqa: ARG002 - the interface
        return self._spoil(np.zeros_like(positions))


def test_forces_belong_to_the_plan(crystals, pair_potential):
    structure = crystals["rutile"]
    data = compute_forces(structure, pair_potential, SMALL)
    plan = displacement_plan(structure, pair_potential, SMALL)
    np.testing.assert_array_equal(data.displaced_atoms, plan.displaced_atoms)
    expected = pair_potential.forces(plan.lattice, plan.positions_angstrom, plan.numbers)
    np.testing.assert_allclose(data.forces_ev_per_angstrom, expected, atol=1e-12)
    assert not data.forces_ev_per_angstrom.flags.writeable


def test_residual_forces_are_those_of_the_undisplaced_supercell(crystals, pair_potential):
    structure = crystals["rutile"]
    data = compute_forces(structure, pair_potential, SMALL)
    plan = displacement_plan(structure, pair_potential, SMALL)
    still = (plan.scaled_positions @ plan.lattice)[None]
    expected = pair_potential.forces(plan.lattice, still, plan.numbers)[0]
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(data.residual_forces_ev_per_angstrom, expected, atol=1e-10)


def test_the_calculator_recommends_the_displacement_unless_told(crystals, pair_potential, vary):
    structure, eager = crystals["fcc"], vary(pair_potential, displacement_angstrom=0.03)
    for chosen, expected in ((None, 0.03), (0.02, 0.02)):
        settings = vary(SMALL, displacement_angstrom=chosen)
        moves = compute_forces(structure, eager, settings).displacements_angstrom
        np.testing.assert_allclose(np.linalg.norm(moves, axis=1), expected)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda forces: forces[:, :-1], WrongShapeError),
        (lambda forces: forces[:-1], WrongShapeError),
        (lambda forces: forces + np.nan, NonFiniteForcesError),
        (lambda forces: forces + np.inf, NonFiniteForcesError),
    ],
)
def test_useless_forces_are_refused(crystals, spoil, error):
    with pytest.raises(error):
        compute_forces(crystals["rocksalt"], Broken(spoil), SMALL)


def test_the_input_is_not_touched(crystals, pair_potential):
    structure = crystals["wurtzite"].copy()
    before = structure.copy()
    compute_forces(structure, pair_potential, SMALL)
    assert structure == before


def test_members_of_a_committee_share_displacements_and_average(crystals, committee):
    structure = crystals["rocksalt"]
    members = compute_member_forces(structure, committee, SMALL)
    assert len(members) == 2
    np.testing.assert_array_equal(
        members[0].displacements_angstrom, members[1].displacements_angstrom
    )
    np.testing.assert_allclose(
        members[1].forces_ev_per_angstrom, 1.2 * members[0].forces_ev_per_angstrom, atol=1e-14
    )
    mean = mean_force_data(members)
    np.testing.assert_allclose(
        mean.forces_ev_per_angstrom, 1.1 * members[0].forces_ev_per_angstrom, atol=1e-14
    )


def test_committees_that_cannot_be_averaged_are_refused(crystals, pair_potential, vary):
    one = compute_forces(crystals["rocksalt"], pair_potential, SMALL)
    far = compute_forces(
        crystals["rocksalt"], pair_potential, vary(SMALL, displacement_angstrom=0.02)
    )
    with pytest.raises(InconsistentDataError, match="differently"):
        mean_force_data([one, far])
    with pytest.raises(InconsistentDataError, match="no members"):
        mean_force_data([])


@pytest.mark.parametrize(
    "values",
    [{"displacement_angstrom": 0.0}, {"mesh_length_angstrom": -1.0}, {"symprec_angstrom": np.nan},
     {"adaptive_tolerance_mev_per_atom": np.inf}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(values):
    with pytest.raises(SettingError) as caught:
        PhononSettings(**values)
    assert caught.value.subject in values


def test_conventional_input_gives_the_same_numbers_as_primitive_input(crystals, pair_potential):
    for name in ("rocksalt", "anatase", "corundum"):
        conventional = crystals[name].copy() * [[2, 0, 0], [0, 1, 0], [0, 1, 1]]
        meshes = [
            mesh_frequencies(
                harmonic_from_forces(
                    compute_forces(canonical_crystal(given).structure, pair_potential, SMALL)
                )
            )
            for given in (crystals[name], conventional)
        ]
        np.testing.assert_allclose(meshes[0].frequencies_thz, meshes[1].frequencies_thz, atol=1e-6)


def test_phonopy_files_give_cells_forces_and_charges(force_set):
    data = force_data_from_phonopy_yaml(force_set("NaCl"))
    assert data.primitive.composition.reduced_formula == "NaCl"
    assert round(np.linalg.det(data.supercell_matrix)) == 32
    assert data.forces_ev_per_angstrom.shape == (2, 64, 3)
    assert data.born_charges_e is not None
    np.testing.assert_allclose(data.born_charges_e[0], 1.08703 * np.eye(3))
    assert force_data_from_phonopy_yaml(force_set("MgB2")).born_charges_e is None


def test_phonopy_content_without_usable_forces_is_refused(force_set):
    raw = force_set("NaCl")
    first = raw["displacements"][0]
    spoilt = [
        {},
        {key: value for key, value in raw.items() if key != "supercell"},
        raw | {"displacements": []},
        raw | {"displacements": [[{"displacement": [0, 0, 0], "force": [0, 0, 0]}]]},
        raw | {"displacements": [{"atom": 1, "displacement": [0.01, 0, 0]}]},
        raw | {"displacements": [first | {"forces": [["a", "b", "c"]]}]},
        raw | {"supercell": raw["supercell"] | {"lattice": [[9.0, 0, 0], [0, 7, 0], [0, 0, 5]]}},
        raw | {"primitive_cell": raw["primitive_cell"] | {"points": [{"symbol": "Qq"}]}},
    ]
    for content in spoilt:
        with pytest.raises(InconsistentDataError):
            force_data_from_phonopy_yaml(content)


def test_an_isotope_is_refused_where_its_mass_would_be_lost(force_set):
    content = force_set("MgB2")
    for point in content["primitive_cell"]["points"]:
        if point["symbol"] == "B":
            point["mass"] = 10.0129
    with pytest.raises(InconsistentDataError, match="B has the mass"):
        force_data_from_phonopy_yaml(content)
