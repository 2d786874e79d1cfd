"""Canonical crystals: one digest per crystal, and what is no crystal is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import spglib
from pymatgen.core import DummySpecies, Element, Lattice, Species, Structure

from screening.errors import (
    CellError,
    DisorderedError,
    NonFiniteInputError,
    NotPeriodicError,
    OverlapError,
    SuspiciousSpeciesError,
    TooLargeError,
)
from screening.structure import (
    StructureLimits,
    canonical_crystal,
    inspect_structure,
    validate_structure,
)

SHARED = Path(__file__).parents[3] / "shared" / "data" / "phonondb_pbe.json.gz"


def rotation(rng) -> np.ndarray:
    matrix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


CRYSTALS = {
    "Po": Structure(Lattice.cubic(3.352), ["Po"], [[0, 0, 0]]),
    "Cu": Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.615), ["Cu"], [[0, 0, 0]]),
    "Fe": Structure.from_spacegroup("Im-3m", Lattice.cubic(2.866), ["Fe"], [[0, 0, 0]]),
    "Mg": Structure.from_spacegroup(
        "P6_3/mmc", Lattice.hexagonal(3.209, 5.211), ["Mg"], [[1 / 3, 2 / 3, 1 / 4]]
    ),
    "NaCl": Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
    ),
    "ZnS": Structure.from_spacegroup(
        "F-43m", Lattice.cubic(5.4093), ["Zn", "S"], [[0, 0, 0], [0.25] * 3]
    ),
    "wurtzite": Structure.from_spacegroup(
        "P6_3mc",
        Lattice.hexagonal(3.811, 6.234),
        ["Zn", "S"],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.3748]],
    ),
    "rutile": Structure.from_spacegroup(
        "P4_2/mnm",
        Lattice.tetragonal(4.5937, 2.9587),
        ["Ti", "O"],
        [[0, 0, 0], [0.3053, 0.3053, 0]],
    ),
    "corundum": Structure.from_spacegroup(
        "R-3c", Lattice.hexagonal(4.7606, 12.994), ["Al", "O"], [[0, 0, 0.35228], [0.3064, 0, 0.25]]
    ),
    "quartz": Structure.from_spacegroup(
        "P3_221",
        Lattice.hexagonal(4.913, 5.405),
        ["Si", "O"],
        [[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7855]],
    ),
    "SrTiO3": Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    ),
    "CaTiO3": Structure.from_spacegroup(
        "Pnma",
        Lattice.orthorhombic(5.4423, 7.6401, 5.3796),
        ["Ca", "Ti", "O", "O"],
        [
            [0.0361, 0.25, 0.9936],
            [0, 0, 0.5],
            [0.4837, 0.25, 0.0712],
            [0.2889, 0.0374, 0.7111],
        ],
    ),
    "ZrO2": Structure.from_spacegroup(
        "P2_1/c",
        Lattice.monoclinic(5.1505, 5.2116, 5.3173, 99.23),
        ["Zr", "O", "O"],
        [[0.2754, 0.0395, 0.2083], [0.0700, 0.3317, 0.3447], [0.4496, 0.7569, 0.4792]],
    ),
    "triclinic": Structure(
        Lattice.from_parameters(4.1, 5.2, 6.7, 81.3, 95.7, 102.9),
        ["Cu", "O", "O", "H"],
        [[0.11, 0.02, 0.93], [0.41, 0.32, 0.14], [0.73, 0.61, 0.58], [0.2, 0.8, 0.37]],
    ),
}
GROUPS = {
    "Po": 221, "Cu": 225, "Fe": 229, "Mg": 194, "NaCl": 225, "ZnS": 216, "wurtzite": 186,
    "rutile": 136, "corundum": 167, "quartz": 154, "SrTiO3": 221, "CaTiO3": 62, "ZrO2": 14,
    "triclinic": 1,
}  # fmt: skip
N_ATOMS = {
    "Po": 1, "Cu": 1, "Fe": 1, "Mg": 2, "NaCl": 2, "ZnS": 2, "wurtzite": 4, "rutile": 6,
    "corundum": 10, "quartz": 9, "SrTiO3": 5, "CaTiO3": 20, "ZrO2": 12, "triclinic": 4,
}  # fmt: skip


def disguises(structure: Structure, rng) -> dict[str, Structure]:
    """The same crystal in other words."""
    lattice, species, fractions = structure.lattice.matrix, structure.species, structure.frac_coords
    n_atoms = len(structure)
    order = rng.permutation(n_atoms)
    sheared = structure.copy()
    sheared.make_supercell([[1, 1, 0], [0, 1, 2], [0, 0, 1]])
    doubled = structure.copy()
    doubled.make_supercell([[1, 1, 0], [-1, 1, 0], [0, 0, 1]])
    return {
        "permuted": Structure.from_sites([structure[i] for i in order]),
        "translated": Structure(lattice, species, fractions + rng.random(3)),
        "wrapped": Structure(lattice, species, fractions + rng.integers(-3, 4, (n_atoms, 3))),
        "rotated": Structure(Lattice(lattice @ rotation(rng).T), species, fractions),
        "axes swapped": Structure(Lattice(lattice[[2, 0, 1]]), species, fractions[:, [2, 0, 1]]),
        "left-handed": Structure(Lattice(lattice[[1, 0, 2]]), species, fractions[:, [1, 0, 2]]),
        "sheared": sheared,
        "doubled": doubled,
        "supercell": structure * (2, 1, 3),
        "primitive": structure.get_primitive_structure(),
        "conventional": structure.to_conventional() if len(structure) > 1 else structure,
        "reduced": structure.get_reduced_structure(),
        "mirrored": Structure(Lattice(lattice * [1, 1, -1]), species, fractions),
    }


@pytest.mark.parametrize("name", CRYSTALS)
def test_one_digest_for_every_disguise(name):
    rng = np.random.default_rng(len(name))
    crystal = canonical_crystal(CRYSTALS[name])
    assert (crystal.space_group_number, crystal.n_atoms) == (GROUPS[name], N_ATOMS[name])
    assert crystal.material_id == f"ps-{crystal.digest[:16]}"
    for disguise, structure in disguises(CRYSTALS[name], rng).items():
        other = canonical_crystal(structure)
        assert other.digest == crystal.digest, disguise
        assert other.n_atoms == crystal.n_atoms, disguise


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_canonical_cell_is_the_same_to_the_last_digits(name):
    """Not only its digest: predictors get the same numbers for every disguise of a crystal."""
    rng = np.random.default_rng(1)
    crystal = canonical_crystal(CRYSTALS[name])
    for disguise, structure in disguises(CRYSTALS[name], rng).items():
        if disguise == "mirrored" and name in {"quartz", "triclinic"}:
            continue  # a chiral crystal stays of its hand
        other = canonical_crystal(structure).structure
        assert other.species == crystal.structure.species
        np.testing.assert_allclose(
            other.lattice.matrix, crystal.structure.lattice.matrix, atol=1e-6, err_msg=disguise
        )
        difference = other.frac_coords - crystal.structure.frac_coords
        np.testing.assert_allclose(
            difference - np.rint(difference), 0.0, atol=1e-6, err_msg=disguise
        )


@pytest.mark.parametrize("name", CRYSTALS)
def test_the_canonical_cell_is_idealised_and_canonical_itself(name):
    crystal = canonical_crystal(CRYSTALS[name])
    cell = crystal.structure
    tight = spglib.get_symmetry_dataset(
        (cell.lattice.matrix, cell.frac_coords, [site.specie.Z for site in cell]), symprec=1e-5
    )
    assert tight.number == crystal.space_group_number
    assert np.linalg.det(cell.lattice.matrix) > 0
    assert ((cell.frac_coords >= 0) & (cell.frac_coords < 1)).all()
    assert [site.specie.Z for site in cell] == sorted(site.specie.Z for site in cell)
    again = canonical_crystal(cell)
    assert again.digest == crystal.digest
    assert again.structure == cell


def test_physics_is_untouched():
    """Shortest distances and the density are those of the input."""
    for structure in CRYSTALS.values():
        cell = canonical_crystal(structure).structure
        assert cell.density == pytest.approx(structure.density, rel=1e-6)
        given = np.sort(structure.get_neighbor_list(4.0)[3])
        found = np.sort(cell.get_neighbor_list(4.0)[3])
        assert len(given) / len(structure) == len(found) / len(cell)
        np.testing.assert_allclose(np.unique(given.round(4)), np.unique(found.round(4)), atol=2e-4)


def test_noise_rarely_changes_the_digest():
    """Bins have edges: about 1 % per free number for 1e-5 Å, which find_duplicate catches."""
    rng = np.random.default_rng(5)
    changed = total = 0
    for structure in CRYSTALS.values():
        digest = canonical_crystal(structure).digest
        for _ in range(5):
            noisy = Structure(
                structure.lattice.matrix,
                structure.species,
                structure.cart_coords + rng.normal(size=(len(structure), 3)) * 1e-5,
                coords_are_cartesian=True,
            )
            crystal = canonical_crystal(noisy)
            total += 1
            changed += crystal.digest != digest
    assert changed <= 0.1 * total


def test_polymorphs_distortions_and_volumes_have_their_own_digest():
    digests = [canonical_crystal(s).digest for s in CRYSTALS.values()]
    a = 3.905
    oxygen = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    for shift in (0.0, 0.004):  # a soft mode frozen in by 0.016 Å
        positions = [[0, 0, 0], [0.5, 0.5, 0.5 + shift], *oxygen]
        lattice = Lattice.tetragonal(a, a * 1.0005)
        structure = Structure(lattice, ["Sr", "Ti", "O", "O", "O"], positions)
        digests.append(canonical_crystal(structure).digest)
    digests += [
        canonical_crystal(CRYSTALS["NaCl"].copy().scale_lattice(179.4 * factor)).digest
        for factor in (0.998, 1.002)
    ]
    assert len(set(digests)) == len(digests)


def test_both_hands_are_one_material_of_one_group_each():
    right = CRYSTALS["quartz"]
    left = Structure.from_spacegroup(
        "P3_121",
        Lattice.hexagonal(4.913, 5.405),
        ["Si", "O"],
        [[0.4697, 0, 1 / 3], [0.4135, 0.2669, 0.2145 - 1 / 3 + 1 / 3]],
    )
    mirrored = Structure(
        Lattice(right.lattice.matrix * [1, 1, -1]), right.species, right.frac_coords
    )
    assert canonical_crystal(mirrored).space_group_number == 152
    assert canonical_crystal(mirrored).digest == canonical_crystal(right).digest
    assert canonical_crystal(left).space_group_number == 152


def test_names_and_labels():
    crystal = canonical_crystal(CRYSTALS["rutile"])
    assert (crystal.formula, crystal.chemsys, crystal.prototype) == ("TiO2", "O-Ti", "AB2_136_a_f")
    assert crystal.space_group_symbol == "P4_2/mnm"
    salts = {
        canonical_crystal(
            Structure.from_spacegroup(
                "Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5] * 3]
            )
        ).prototype
        for cation, anion, a in (("Na", "Cl", 5.64), ("Mg", "O", 4.21), ("Pb", "S", 5.94))
    }
    assert salts == {"AB_225_a_b"}


def test_charges_moments_and_labels_are_not_part_of_a_material():
    plain = CRYSTALS["NaCl"]
    charged = plain.copy()
    charged.add_oxidation_state_by_element({"Na": 1, "Cl": -1})
    charged.add_site_property("selective_dynamics", [[True] * 3] * len(plain))
    crystal = canonical_crystal(charged)
    assert crystal.digest == canonical_crystal(plain).digest
    assert crystal.notes == ()
    assert all(isinstance(site.specie, Element) for site in crystal.structure)
    assert crystal.structure.site_properties == {}
    spin = plain.copy()
    spin.replace_species({"Na": Species("Na", 1, spin=5)})
    assert canonical_crystal(spin).notes == ("magnetic moments were dropped",)
    assert charged.species[0].oxi_state == 1  # the input is untouched


def test_too_few_digits_are_noted():
    rounded = Structure(
        Lattice.hexagonal(3.811, 6.234),
        ["Zn", "Zn", "S", "S"],
        [[0.332, 0.667, 0], [0.668, 0.333, 0.5], [0.332, 0.667, 0.375], [0.668, 0.333, 0.875]],
    )
    crystal = canonical_crystal(rounded)
    assert crystal.space_group_number < 186
    assert "too few digits" in crystal.notes[0]
    assert "36 (Cmc2_1) at 0.01 Å" in crystal.notes[0]


# ---------------------------------------------------------------- what is refused

CUBE = Lattice.cubic(4.0)
REFUSED = {
    "empty": (Structure(CUBE, [], []), NotPeriodicError),
    "slab": (Structure(Lattice(np.eye(3) * 4, pbc=(True, True, False)), ["Si"], [[0] * 3]), NotPeriodicError),  # noqa: E501
    "vacuum": (Structure(Lattice.tetragonal(3, 20), ["C"], [[0] * 3]), NotPeriodicError),
    "molecule": (Structure(Lattice.cubic(15), ["N", "N"], [[0] * 3, [0, 0, 0.07]]), NotPeriodicError),  # noqa: E501
    "nan": (Structure(CUBE, ["Si"], [[0, np.nan, 0]]), NonFiniteInputError),
    "inf": (Structure(CUBE, ["Si"], [[0, np.inf, 0]]), NonFiniteInputError),
    "nan cell": (Structure(Lattice([[4, 0, 0], [0, np.nan, 0], [0, 0, 4]]), ["Si"], [[0] * 3]), NonFiniteInputError),  # noqa: E501
    "far": (Structure(CUBE, ["Si"], [[0, 1e17, 0]]), TooLargeError),
    "zero": (Structure(Lattice(np.zeros((3, 3))), ["Si"], [[0] * 3]), CellError),
    "flat": (Structure(Lattice([[4, 0, 0], [0, 4, 0], [4, 4, 0]]), ["Si"], [[0] * 3]), CellError),
    "nearly flat": (Structure(Lattice([[4, 0, 0], [0, 4, 0], [4, 4, 1e-7]]), ["Si"], [[0] * 3]), CellError),  # noqa: E501
    "needle": (Structure(Lattice.tetragonal(0.3, 500), ["H"], [[0] * 3]), CellError),
    "long": (Structure(Lattice.tetragonal(2, 1e5), ["H"], [[0] * 3]), CellError),
    "huge": (Structure(Lattice.cubic(1e200), ["H"], [[0] * 3]), CellError),
    "wrong unit": (Structure(Lattice.cubic(0.4), ["Si"], [[0] * 3]), CellError),
    "partial": (Structure(CUBE, [{"Si": 0.9}], [[0] * 3]), DisorderedError),
    "shared": (Structure(CUBE, [{"Si": 0.5, "Ge": 0.5}], [[0] * 3]), DisorderedError),
    "dummy": (Structure(CUBE, [DummySpecies("X")], [[0] * 3]), SuspiciousSpeciesError),
    "deuterium": (Structure(CUBE, ["D"], [[0] * 3]), SuspiciousSpeciesError),
    "nihonium": (Structure(CUBE, ["Nh"], [[0] * 3]), SuspiciousSpeciesError),
    "copernicium": (Structure(CUBE, [Species("Cn", 2)], [[0] * 3]), SuspiciousSpeciesError),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_crystal_is_refused_by_name(name):
    structure, kind = REFUSED[name]
    with pytest.raises(kind) as caught:
        validate_structure(structure, subject="a file")
    assert caught.value.subject == "a file"
    with pytest.raises(kind):
        canonical_crystal(structure)


@pytest.mark.parametrize("distance", [0.0, 1e-6, 0.01, 0.1, 0.3, 0.499])
@pytest.mark.parametrize("direction", [(1, 0, 0), (0, -1, 0), (1, 1, 1)])
def test_overlapping_atoms_are_refused_across_the_boundary_too(distance, direction):
    step = np.array(direction) / np.linalg.norm(direction) * distance / 4.0
    structure = Structure(CUBE, ["Si", "C"], [[0, 0, 0], step])
    with pytest.raises(OverlapError) as caught:
        validate_structure(structure)
    assert caught.value.message == f"sites 1 (Si) and 2 (C) are {distance:.3f} Å apart"


@pytest.mark.parametrize(("ratio", "noted"), [(0.55, True), (0.69, True), (0.71, False)])
def test_close_contacts_are_noted(ratio, noted):
    distance = ratio * 2 * 1.11  # covalent radius of silicon, Cordero 2008
    structure = Structure(CUBE, ["Si", "Si"], [[0, 0, 0], [0, 0, distance / 4.0]])
    notes = inspect_structure(structure)
    assert bool(notes) == noted
    if noted:
        assert f"{ratio:.2f} of the sum" in notes[0]


def test_an_atom_may_not_overlap_its_own_image():
    with pytest.raises(CellError):
        validate_structure(
            Structure(Lattice.from_parameters(5, 5, 5, 90, 90, 3), ["Si"], [[0] * 3])
        )


def test_a_skewed_cell_of_a_sound_crystal_is_accepted():
    skewed = CRYSTALS["NaCl"].get_primitive_structure()
    skewed.make_supercell([[1, 7, -5], [0, 1, 9], [0, 0, 1]])
    assert canonical_crystal(skewed).digest == canonical_crystal(CRYSTALS["NaCl"]).digest


def test_limits_are_the_callers():
    with pytest.raises(TooLargeError, match="8 atoms, more than 7"):
        validate_structure(CRYSTALS["NaCl"], limits=StructureLimits(max_atoms=7))
    slab, _ = REFUSED["vacuum"]
    validate_structure(slab, limits=StructureLimits(max_vacuum_angstrom=30.0))


@pytest.mark.skipif(not SHARED.is_file(), reason="the reference crystals are not here")
def test_real_crystals_keep_their_group_and_digest():
    import gzip

    rng = np.random.default_rng(0)
    with gzip.open(SHARED) as stream:
        records = json.load(stream)
    digests = set()
    for index, record in enumerate(records):
        structure = Structure.from_dict(record["structure"])
        crystal = canonical_crystal(structure)
        assert crystal.space_group_number == record["space_group"]
        digests.add(crystal.digest)
        chosen = list(disguises(structure, rng).values())[index % 13]
        found = {canonical_crystal(chosen).digest}
        assert found == {crystal.digest}
    assert len(digests) == len(records)
