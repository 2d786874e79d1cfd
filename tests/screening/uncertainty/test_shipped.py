"""What travels with the package can be read, and knows what it is said to know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pymatgen.core import Composition

from screening.quantities import Property, Quantity
from screening.uncertainty import shipped
from screening.uncertainty.conformal import fewest_groups
from screening.uncertainty.shipped import shipped_calibrations

RESERVED = """
    AgBr AgCl AgI AlAs AlN AlP AlSb BAs BN BP BaO BaS BaSe BaTe BeO BeS BeSe BeTe CaO CaS CaSe
    CaTe CdO CdS CdSe CdTe CsF CuBr CuCl CuH CuI GaAs GaN GaP GaSb InAs InN InP InSb KBr KCl KF KH
    KI LiBr LiCl LiF LiH LiI MgO MgTe NaBr NaCl NaF NaH NaI PbS PbSe PbTe RbBr RbCl RbF RbH RbI SiC
    SrO ZnO ZnS ZnSe ZnTe
""".split()  # noqa: SIM905 - read by people


def test_every_file_is_a_calibration_as_it_was_written():
    folder = Path(shipped.__file__).parent
    files = sorted(folder.glob("*.json"))
    assert len(files) == len(shipped_calibrations()) > 0
    for path, found in zip(files, shipped_calibrations(), strict=True):
        assert found.as_dict() == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("found", shipped_calibrations(), ids=lambda x: x.cheap_family)
def test_it_answers_at_ten_percent_risk(found):
    grid = [Quantity(Property.FREE_ENERGY, t) for t in (0.0, 298.15, 1000.0)]
    assert found.n_compositions >= fewest_groups(0.1)
    assert found.n_answered(grid, 0.1) == len(grid)
    assert len(set(found.lowest_frequencies.unstable_compositions)) >= fewest_groups(0.1)


@pytest.mark.parametrize("found", shipped_calibrations(), ids=lambda x: x.cheap_family)
def test_no_composition_of_the_public_evaluation_sets_was_learned(found):
    reserved = {Composition(name).reduced_formula for name in RESERVED}
    assert not reserved & set(found.correction.compositions)
    assert not reserved & set(found.lowest_frequencies.unstable_compositions)
