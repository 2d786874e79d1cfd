from __future__ import annotations

import pytest

from screening.errors import ElementNotInModelError, OutOfDomainError
from screening.trained_refusals import check_learned_elements, check_vibrates, size_refusal


def test_elements_that_were_never_seen_are_named_beside_those_that_were():
    check_learned_elements([11, 17, 17], (17, 11))
    with pytest.raises(ElementNotInModelError, match="the model never saw K, Rb") as caught:
        check_learned_elements([37, 19, 17], (17, 11))
    assert caught.match("It learned Na, Cl")
    assert caught.value.subject == "KRbCl"


def test_one_atom_does_not_vibrate_at_the_zone_centre():
    check_vibrates(2, "salt")
    with pytest.raises(OutOfDomainError, match="no modes at the zone centre but translations"):
        check_vibrates(1, "K")


def test_cells_of_all_sizes_are_for_a_model_of_no_zone_centre():
    assert size_refusal(1000, None, "x", instead="y") is None
    fits = [size_refusal(n, (4, 10), "x", instead="y") is None for n in (3, 4, 10, 11)]
    assert fits == [False, True, True, False]
    refusal = str(size_refusal(11, (4, 10), "x", instead="a ruler"))
    assert "11 sites in the cell, 4 to 10 were learned" in refusal
    assert "Take a model of cells of this size, a ruler, or a potential" in refusal
