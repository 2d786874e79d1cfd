"""Symmetry of CIF files that list no operations, against spglib's table of settings."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice

from screening.errors import InconsistentDataError, ParseError
from stores.importers.cif_symmetry import (
    _matrices,
    _settings_named,
    _settings_of_hall,
    operations_of,
)

TWO_ORIGINS = {
    48, 50, 59, 68, 70, 85, 86, 88, 125, 126, 129, 130, 133, 134, 137, 138, 141, 142, 201, 203,
    222, 224, 227, 228,
}  # fmt: skip
"""The space groups with two origins in the International Tables, volume A."""


def keys(operations: np.ndarray) -> frozenset[tuple[int, ...]]:
    """Operations in 24ths modulo lattice translations."""
    rows = np.rint(operations[:, :3] * 24).astype(int)
    rows[:, :, 3] %= 24
    return frozenset(map(tuple, rows.reshape(-1, 12).tolist()))


@cache
def setting(hall_number: int) -> tuple[object, frozenset[tuple[int, ...]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        database = spglib.get_symmetry_from_database(hall_number)
        kind = spglib.get_spacegroup_type(hall_number)
    operations = np.tile(np.eye(4), (len(database["rotations"]), 1, 1))
    operations[:, :3, :3] = database["rotations"]
    operations[:, :3, 3] = database["translations"]
    return kind, keys(operations)


def test_hall_symbols_stand_for_the_operations_of_spglib():
    for hall_number in range(1, 531):
        kind, operations = setting(hall_number)
        (found,) = {keys(_matrices(s["symops"])) for s in _settings_of_hall(kind.hall_symbol)}
        assert found == operations, kind.hall_symbol


def test_short_symbols_stand_for_the_operations_of_spglib():
    for hall_number in range(1, 531):
        kind, operations = setting(hall_number)
        if kind.number == 67:  # spglib has one name for Cmma and Cmmb
            continue
        old, *_, new = kind.international.split("=") * 2  # "C 2 = A 1 2 1", "C m m b = C m m e"
        symbol = new if 3 <= kind.number <= 15 else old
        try:
            found = _settings_named(symbol)
        except ParseError as error:
            assert kind.number in TWO_ORIGINS, error  # noqa: PT017 - every setting is tried
            continue
        if found:  # else it is refused: names with an e in other axes are not in the table
            assert operations in [keys(_matrices(one["symops"])) for one in found], symbol
        else:
            assert 39 <= kind.number <= 64
            assert "e" in symbol


def test_a_hall_symbol_states_the_origin():
    tags = {
        "_symmetry_space_group_name_hall": "-F 4vw 2vw 3",
        "_symmetry_space_group_name_h-m": "F d -3 m",
    }
    texts, matrices, notes = operations_of(tags, Lattice.cubic(5))
    assert keys(matrices) == setting(526)[1]
    assert notes == ("operations of F d -3 m: the file lists none",)
    assert len(texts) == 192


def test_blanks_of_a_hall_symbol_matter():
    for symbol, number in (("P 4 2", 89), ("P 42", 76 + 1), ("P 6 2", 177), ("P 62", 171)):
        tags = {"_space_group_name_hall": symbol, "_space_group_it_number": str(number)}
        if symbol == "P 42":  # Hall writes P 4c for it; as a Hermann-Mauguin symbol it is 77
            tags["_space_group_name_h-m_alt"] = tags.pop("_space_group_name_hall")
        cell = Lattice.hexagonal(5, 6) if number > 100 else Lattice.tetragonal(5, 6)
        assert len(operations_of(tags, cell)[0]) == {89: 8, 77: 4, 177: 12, 171: 6}[number]


def test_origins_are_open_where_the_international_tables_have_two():
    cell = Lattice.from_parameters(5, 5, 5, 90, 90, 90)
    refused = set()
    for number in range(1, 231):
        try:
            operations_of({"_space_group_it_number": str(number)}, cell)
        except ParseError as error:
            assert "origin" in error.message  # noqa: PT017 - every number is tried
            refused.add(number)
        except InconsistentDataError as error:
            assert 143 <= number <= 194, error  # noqa: PT017 - hexagonal axes are not cubic ones
    assert refused == TWO_ORIGINS


@pytest.mark.parametrize(
    ("name", "hall_number"),
    [
        ("F m -3 m", 523),
        ("Fm-3m", 523),
        ("P 1 21/c 1", 81),
        ("P2_1/c", 81),
        ("P 1 21/n 1", 82),
        ("P21/n", 82),
        ("P1", 1),
        ("P -1", 2),
        ("P 63 m c", 480),
        ("P b n m", 294),
        ("C m m e", 316),
        ("C m c e", 304),
        ("F d -3 m :1", 525),
        ("Fd-3m:2", 526),
        ("R -3 m :R", 459),
        ("R -3 m H", 458),
        ("F 4/m -3 2/m", 523),
        ("-F 4 2 3", 523),
    ],
)
def test_a_group_goes_by_many_names(name, hall_number):
    kind, operations = setting(hall_number)
    first = _settings_named(name)[0]
    assert first["number"] == kind.number
    assert keys(_matrices(first["symops"])) == operations


def test_the_cell_chooses_between_hexagonal_and_rhombohedral_axes():
    tags = {"_symmetry_space_group_name_h-m": "R -3 m"}
    for cell, order in (((5, 5, 5, 60, 60, 60), 12), ((5, 5, 9, 90, 90, 120), 36)):
        assert len(operations_of(tags, Lattice.from_parameters(*cell))[0]) == order


@pytest.mark.parametrize("name", ["P 99/x", "nonsense", "p63mc", "300"])
def test_an_unknown_group_is_refused(name):
    for tag in ("_space_group_name_h-m_alt", "_space_group_it_number"):
        with pytest.raises(ParseError, match="unknown"):
            operations_of({tag: name}, Lattice.cubic(5))


def test_a_symbol_and_a_number_that_differ_are_refused():
    tags = {"_space_group_name_h-m_alt": "P n m a", "_space_group_it_number": "136"}
    with pytest.raises(InconsistentDataError, match="136"):
        operations_of(tags, Lattice.cubic(5))
