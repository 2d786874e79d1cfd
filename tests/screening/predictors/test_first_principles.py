from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from flows.predictors import cached_predictor
from screening.calculators import CheckedCalculator, DielectricResponse, load_calculator
from screening.calculators.ase import AseEngine
from screening.harmonic import frequencies_at, harmonic_from_forces
from screening.phonons import PhononSettings
from screening.prediction import FloatArray, Prediction
from screening.predictors.contract import check_prediction
from screening.predictors.first_principles import FirstPrinciplesPhonons
from screening.predictors.interface import Predictor, Tier
from screening.predictors.potential_phonons import PotentialPhonons
from screening.settings import ScreeningSettings
from screening.structure import Crystal, canonical_crystal
from screening.supercell import SupercellSettings

QUICK = "ecut_ev=300, relaxation_ecut_ev=300, kpoint_spacing_per_angstrom=0.52"
SMALL = ScreeningSettings(
    relaxation=None,
    phonons=PhononSettings(supercell=SupercellSettings(1.0, 16, 16), mesh_length_angstrom=30.0),
)


def _silicon() -> Crystal:
    return canonical_crystal(
        Structure.from_spacegroup("Fd-3m", Lattice.cubic(5.47), ["Si"], [[0, 0, 0]])
    )


def _alloy() -> Crystal:
    return canonical_crystal(Structure(Lattice.cubic(3.0), ["Cu", "Ni"], [[0] * 3, [0.5] * 3]))


@dataclass(frozen=True)
class _Electrons:
    """Effective-medium theory that also answers a field."""

    response: DielectricResponse | None

    def _inner(self) -> AseEngine:
        from ase.calculators.emt import EMT

        return AseEngine(EMT())

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: FloatArray) -> FloatArray:
        return self._inner().forces(cell, positions, numbers)  # type: ignore[arg-type]

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: FloatArray) -> float:
        return self._inner().energy(cell, positions, numbers)  # type: ignore[arg-type]

    def energy_forces_stress(
        self, cell: FloatArray, positions: FloatArray, numbers: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        return self._inner().energy_forces_stress(cell, positions, numbers)  # type: ignore[arg-type]

    def dielectric_response(self, *_: object) -> DielectricResponse | None:
        return self.response


def _predict(response: DielectricResponse | None) -> Prediction:
    calculator = CheckedCalculator(
        engine=_Electrons(response),  # type: ignore[arg-type] # integers are numbers
        name="electrons",
        digest="e" * 64,
        is_first_principles=True,
        settings={"ecut_ev": 350.0, "datasets": {key: {} for key in ("Al", "Ni", "Cu", "Si")}},
    )
    settings = replace(SMALL, phonons=replace(SMALL.phonons, displacement_angstrom=0.01))
    prediction = FirstPrinciplesPhonons(calculator, settings).predict(_alloy())
    check_prediction(prediction)
    return prediction


def test_it_is_a_predictor_of_the_third_tier() -> None:
    predictor = FirstPrinciplesPhonons(load_calculator("ase.calculators.emt.EMT"))
    assert isinstance(predictor, Predictor)
    assert (predictor.method, predictor.tier) == ("dft-phonons", Tier.SYSTEMATIC_DFT)


def test_settings_of_the_electrons_go_along_and_change_no_key() -> None:
    prediction = _predict(None)
    assert set(prediction.model_settings) == {"ecut_ev", "datasets"}
    assert prediction.model_settings["ecut_ev"] == 350.0
    in_the_crystal = {site.specie.symbol for site in prediction.structure}
    assert set(prediction.model_settings["datasets"]) == in_the_crystal  # type: ignore[call-overload]
    assert "ecut_ev" not in str(prediction.settings)
    bare = FirstPrinciplesPhonons(load_calculator("ase.calculators.emt.EMT"), SMALL)
    assert bare.model_settings == {}


def test_born_charges_split_the_optical_modes() -> None:
    charges = np.array([np.eye(3), -np.eye(3)])
    prediction = _predict(DielectricResponse(5.0 * np.eye(3), charges))
    assert prediction.force_data is not None
    np.testing.assert_array_equal(prediction.force_data.born_charges_e, charges)
    assert not [text for text in prediction.warnings if "non-analytical" in text]
    harmonic = harmonic_from_forces(prediction.force_data)
    gamma = np.zeros((1, 3))
    split = frequencies_at(harmonic, gamma, np.array([1.0, 0.0, 0.0]))[0]
    assert split[-1] > split[-2] + 0.1
    np.testing.assert_allclose(split[-2], frequencies_at(harmonic, gamma)[0][-1])


def test_a_metal_is_flagged() -> None:
    prediction = _predict(DielectricResponse(None, None, "no band gap: a metal"))
    assert "no Born charges: no band gap: a metal" in prediction.warnings
    assert prediction.force_data is not None
    assert prediction.force_data.born_charges_e is None


def test_without_a_response_the_usual_warning_stands() -> None:
    assert [text for text in _predict(None).warnings if "non-analytical" in text]


def test_magnetic_elements_are_flagged() -> None:
    assert "spins are not polarised: Ni may make the crystal magnetic" in _predict(None).warnings


def test_the_predictor_follows_from_the_calculator(monkeypatch: pytest.MonkeyPatch) -> None:
    potential = cached_predictor("ase.calculators.emt.EMT", SMALL.as_dict())
    assert type(potential) is PotentialPhonons
    electrons = CheckedCalculator(
        engine=_Electrons(None),  # type: ignore[arg-type] # integers are numbers
        name="electrons",
        digest="e" * 64,
        is_first_principles=True,
    )
    monkeypatch.setattr("screening.calculators.load_calculator", lambda _: electrons)
    chosen = cached_predictor("electrons of this test", SMALL.as_dict())
    assert type(chosen) is FirstPrinciplesPhonons


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("gpaw") is None or shutil.which("pw.x") is None,
    reason="needs gpaw and Quantum ESPRESSO",
)
def test_two_codes_agree_on_the_phonons_of_silicon() -> None:
    found = []
    for code in ("gpaw", "espresso"):
        predictor = FirstPrinciplesPhonons(load_calculator(f"{code}({QUICK})"), SMALL)
        prediction = predictor.predict(_silicon())
        check_prediction(prediction)
        assert prediction.force_data is not None
        harmonic = harmonic_from_forces(prediction.force_data)
        found.append(
            frequencies_at(harmonic, np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5]]))
        )
    gpaw, espresso = found
    np.testing.assert_allclose(gpaw[0, 3:], 15.1, atol=0.3)  # 15.5 THz measured, PBE is softer
    np.testing.assert_allclose(gpaw, espresso, atol=0.2)
