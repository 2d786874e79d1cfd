"""Cells that are computed one after the other, from calculators that something is wrong with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from screening.calculators import ForceCalculator, load_calculator
from screening.calculators.delegation import Delegating
from screening.errors import InconsistentDataError
from screening.few_cells import FewCellSettings
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.prediction import FloatArray
from screening.predictors import gaussian_process as module
from screening.predictors.gaussian_process import GaussianProcessPhonons
from screening.predictors.learned_physics import Assessment
from screening.settings import ScreeningSettings
from screening.structure import Crystal

FEW_CELLS = FewCellSettings(
    max_cells=3,
    n_samples=4,
    n_candidates=2,
    displacement_angstrom=0.01,
    fit=GaussianProcessSettings(max_order=2),
)


@dataclass(frozen=True)
class Changed(Delegating):
    """Effective-medium theory whose forces on more than one cell's atoms are changed."""

    change: str

    @property
    def members(self) -> tuple[ForceCalculator, ...]:
        return ()

    def forces(self, cell: FloatArray, positions: FloatArray, numbers: FloatArray) -> FloatArray:
        forces = self.inner.forces(cell, positions, numbers)
        if self.change == "zero":
            return np.zeros_like(forces)
        if self.change == "shuffled":
            return forces[:, np.random.default_rng(0).permutation(forces.shape[1])]
        assert self.change == "pushed"
        forces[:, 0] += 100.0 * np.abs(forces).max(axis=1)
        return forces

    def energy(self, cell: FloatArray, positions: FloatArray, numbers: FloatArray) -> float:
        return self.inner.energy(cell, positions, numbers)


@pytest.fixture
def settings(quick_settings: ScreeningSettings) -> ScreeningSettings:
    return replace(quick_settings, few_cells=FEW_CELLS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("zero", "all forces of 1 of 1 displaced cells are zero"),
        ("shuffled", "do not explain"),
        ("pushed", "add up to"),
    ],
)
def test_forces_that_no_crystal_has_are_refused_like_given_ones(
    copper: Crystal, settings: ScreeningSettings, change: str, said: str
) -> None:
    calculator = Changed(load_calculator("ase.calculators.emt.EMT"), change)
    with pytest.raises(InconsistentDataError, match=said):
        GaussianProcessPhonons(calculator, settings).predict(copper)


def test_a_target_that_is_no_number_ends_with_the_last_cell(
    copper: Crystal, settings: ScreeningSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "assess", lambda *_, **__: Assessment(float("nan"), None))
    predictor = GaussianProcessPhonons(load_calculator("ase.calculators.emt.EMT"), settings)
    assert predictor.advance(copper, 2) is None
    found = predictor.advance(copper, 3)
    assert found is not None
    assert found.displaced_cells is not None
    assert found.displaced_cells.n_cells == 3
    [note] = [one for one in found.warnings if "is asked for" in one]
    assert "is not known after 3 cells" in note


def test_an_unstable_crystal_is_stored_with_all_its_cells_and_warnings(
    cubic_body_centred_copper: Crystal, settings: ScreeningSettings
) -> None:
    predictor = GaussianProcessPhonons(load_calculator("ase.calculators.emt.EMT"), settings)
    found = predictor.predict(cubic_body_centred_copper)
    assert found.displaced_cells is not None
    assert found.displaced_cells.n_cells == FEW_CELLS.max_cells
    said = "; ".join(found.warnings)
    for text in ("is not known after 3 cells", "thermodynamics not valid", "dynamical stability"):
        assert text in said
