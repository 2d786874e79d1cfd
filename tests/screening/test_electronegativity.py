import pytest
from pymatgen.core import Element

from screening.electronegativity import pauling_electronegativity


@pytest.mark.parametrize("number", [2, 10, 18])
def test_light_noble_gases_stand_above_fluorine(number):
    assert pauling_electronegativity(number) == 4.5 > pauling_electronegativity(9)


@pytest.mark.parametrize("symbol", ["H", "Cs", "O", "Au", "Xe"])
def test_the_others_have_the_value_of_pauling(symbol):
    assert pauling_electronegativity(Element(symbol).Z) == float(Element(symbol).X)
