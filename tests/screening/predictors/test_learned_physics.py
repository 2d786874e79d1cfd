"""How sure a target is, and what is done where it has no value."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from screening.calculators import load_calculator
from screening.conductivity_records import ConductivitySettings
from screening.errors import (
    CalculatorFailedError,
    InconsistentDataError,
    ScreeningError,
    TooLargeError,
)
from screening.few_cells import CONDUCTIVITY_TARGET, FewCellSettings
from screening.gaussian_process.fit import GaussianProcessFit
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.predictors import learned_physics as module
from screening.predictors.gaussian_process import GaussianProcessPhonons
from screening.predictors.given_cells import GivenCells
from screening.predictors.learned_physics import Assessment, assess, is_enough, learned_physics
from screening.settings import ScreeningSettings
from screening.structure import Crystal

EMT = "ase.calculators.emt.EMT"
HARMONIC = FewCellSettings(
    max_cells=1,
    n_samples=4,
    displacement_angstrom=0.01,
    fit=GaussianProcessSettings(max_order=2),
)
CONDUCTIVITY = FewCellSettings(
    target=CONDUCTIVITY_TARGET,
    tolerance=0.5,
    n_samples=4,
    n_conductivity_samples=2,
    conductivity=ConductivitySettings(mesh=(3, 3, 3)),
)


def fit_of(crystal: Crystal, settings: ScreeningSettings, few_cells: FewCellSettings = HARMONIC):
    """Fit one cell that effective-medium theory gives."""
    made = replace(settings, few_cells=HARMONIC)
    cells = GaussianProcessPhonons(load_calculator(EMT), made).predict(crystal).displaced_cells
    assert cells is not None
    return GivenCells(cells, replace(settings, few_cells=few_cells)).fit


@pytest.fixture
def copper_fit(copper: Crystal, quick_settings: ScreeningSettings) -> GaussianProcessFit:
    return fit_of(copper, quick_settings)


@pytest.mark.parametrize("width", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_not_known_at_all(width: float) -> None:
    found = Assessment(width, None)
    assert found.half_width == np.inf
    few_cells = FewCellSettings(initial_cells=1, max_cells=3)
    assert [is_enough(found, few_cells, count) for count in (1, 2, 3, 4)] == [False] * 2 + [
        True
    ] * 2


def test_it_is_enough_at_the_tolerance() -> None:
    few_cells = FewCellSettings(tolerance=0.5, max_cells=3)
    assert is_enough(Assessment(0.5, None), few_cells, 1)
    assert not is_enough(Assessment(0.51, None), few_cells, 1)


@pytest.mark.parametrize(
    "target", ["free_energy_300k_mev_per_atom", "entropy_300k_mev_per_k_per_atom"]
)
def test_nothing_is_sure_of_a_sum_that_leaves_modes_out(
    copper_fit: GaussianProcessFit,
    cubic_body_centred_copper: Crystal,
    quick_settings: ScreeningSettings,
    target: str,
) -> None:
    few_cells = replace(HARMONIC, target=target)
    assert np.isfinite(assess(copper_fit, quick_settings, few_cells).half_width)
    unstable = fit_of(cubic_body_centred_copper, quick_settings)
    found = assess(unstable, quick_settings, few_cells)
    assert found.half_width == np.inf
    # the next cell is still chosen by what it tells
    assert found.choose is not None
    moves = np.random.default_rng(0).standard_normal(
        (3, *unstable.cells.forces_ev_per_angstrom[0].shape)
    )
    moves[1] *= 1e-6
    assert found.choose(0.01 * moves).index != 1
    # how low the lowest frequency is, is known of an unstable crystal too
    lowest = replace(HARMONIC, target="lowest_frequency_thz")
    assert np.isfinite(assess(unstable, quick_settings, lowest).half_width)


@pytest.mark.parametrize("policy", ["drop", "renormalise"])
@pytest.mark.parametrize("target", [HARMONIC.target, "lowest_frequency_thz"])
def test_nothing_is_sure_where_all_modes_are_left_out(
    copper_fit: GaussianProcessFit, quick_settings: ScreeningSettings, policy: str, target: str
) -> None:
    thermal = replace(quick_settings.thermodynamics, cutoff_thz=99.0, low_mode_policy=policy)
    settings = replace(quick_settings, thermodynamics=thermal)
    assert assess(copper_fit, settings, replace(HARMONIC, target=target)).half_width == np.inf


@pytest.mark.parametrize(
    ("error", "is_unsure"),
    [
        (InconsistentDataError("imaginary", subject="second_order_ev_per_angstrom2"), True),
        (InconsistentDataError("no third order", subject="third_order_ev_per_angstrom3"), True),
        (InconsistentDataError("never scattered", subject="linewidths_thz"), False),
        (CalculatorFailedError("not finite", subject="phono3py"), False),
        (TooLargeError("too much", subject="mesh"), False),
    ],
)
def test_only_what_another_cell_may_cure_makes_a_conductivity_unsure(
    copper_fit: GaussianProcessFit,
    quick_settings: ScreeningSettings,
    monkeypatch: pytest.MonkeyPatch,
    error: ScreeningError,
    is_unsure: bool,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(module, "conductivity_samples", refuse)
    if not is_unsure:
        with pytest.raises(type(error)):
            assess(copper_fit, quick_settings, CONDUCTIVITY)
        return
    found = assess(copper_fit, quick_settings, CONDUCTIVITY)
    assert (found.half_width, found.refusal) == (np.inf, error.message)
    learned = learned_physics(copper_fit, quick_settings, CONDUCTIVITY, found)
    assert learned.conductivity is None
    assert f"no thermal conductivity: {error.message}" in learned.notes


def test_the_conductivity_that_decided_is_the_one_of_the_result(
    copper: Crystal, quick_settings: ScreeningSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    compute = module.conductivity_samples

    def counted(*arguments: object) -> object:
        calls.append(1)
        return compute(*arguments)

    monkeypatch.setattr(module, "conductivity_samples", counted)
    fit = fit_of(copper, quick_settings, CONDUCTIVITY)
    found = assess(fit, quick_settings, CONDUCTIVITY)
    learned = learned_physics(fit, quick_settings, CONDUCTIVITY, found)
    assert learned.conductivity is found.conductivity is not None
    assert len(calls) == 1
