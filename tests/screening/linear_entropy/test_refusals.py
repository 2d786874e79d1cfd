from __future__ import annotations

import numpy as np
import pytest

from screening.descriptors.interface import AtomicSystem
from screening.errors import ElementNotInModelError, OutOfDomainError
from screening.linear_entropy.refusals import check_elements, check_vibrates, size_refusal


def crystal(*numbers):
    return AtomicSystem(np.eye(3)[: len(numbers)], np.array(numbers), 5.0 * np.eye(3))


def test_elements_that_were_never_seen_are_named_beside_those_that_were():
    check_elements(crystal(11, 17, 17), (17, 11))
    with pytest.raises(ElementNotInModelError, match="the model never saw K, Rb") as caught:
        check_elements(crystal(37, 19, 17), (17, 11))
    assert caught.match("It learned Na, Cl")
    assert caught.value.subject == "KRbCl"


def test_one_atom_does_not_vibrate_at_the_zone_centre():
    check_vibrates(crystal(11, 17), "salt")
    with pytest.raises(OutOfDomainError, match="no modes at the zone centre but translations"):
        check_vibrates(crystal(19), "K")


def test_cells_of_all_sizes_are_for_a_model_of_no_zone_centre():
    assert size_refusal(1000, None, "x") is None
    assert [size_refusal(n, (4, 10), "x") is None for n in (3, 4, 10, 11)] == [
        False,
        True,
        True,
        False,
    ]
    assert "11 sites in the cell, 4 to 10 were learned" in str(size_refusal(11, (4, 10), "x"))
