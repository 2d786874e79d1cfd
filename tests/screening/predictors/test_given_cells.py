"""Phonons from displaced cells that someone else computed: here effective-medium theory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from screening.anharmonic import DisplacedCells, displaced_cells_of
from screening.calculators import ForceCalculator, load_calculator
from screening.conductivity_records import ConductivitySettings
from screening.errors import (
    InconsistentDataError,
    NonFiniteForcesError,
    NonFiniteInputError,
    SettingError,
)
from screening.few_cells import FewCellSettings
from screening.gaussian_process.settings import GaussianProcessSettings
from screening.phonons import PhononSettings
from screening.prediction import frozen_array
from screening.predictors.contract import check_predictor
from screening.predictors.gaussian_process import GaussianProcessPhonons
from screening.predictors.given_cells import GivenCells, displaced_cells_digest
from screening.predictors.interface import Tier
from screening.predictors.potential_phonons import PotentialPhonons
from screening.settings import ScreeningSettings
from screening.structure import Crystal
from screening.supercell import SupercellSettings
from screening.uncertainty.families import method_family

EMT = "ase.calculators.emt.EMT"
FEW_CELLS = FewCellSettings(
    initial_cells=2, max_cells=2, n_samples=4, n_conductivity_samples=2, displacement_angstrom=0.01
)


@pytest.fixture(scope="module")
def calculator() -> ForceCalculator:
    return load_calculator(EMT)


@pytest.fixture
def settings(quick_settings: ScreeningSettings) -> ScreeningSettings:
    return replace(quick_settings, few_cells=FEW_CELLS)


def harmonic(settings: ScreeningSettings, **changes: object) -> ScreeningSettings:
    few_cells = replace(FEW_CELLS, fit=GaussianProcessSettings(max_order=2), **changes)
    return replace(settings, few_cells=few_cells)


@pytest.fixture(scope="module")
def cells(calculator: ForceCalculator, copper: Crystal) -> DisplacedCells:
    supercell = SupercellSettings(min_length_angstrom=7.0, min_atoms=20, max_atoms=64)
    quick = ScreeningSettings(relaxation=None, phonons=PhononSettings(supercell=supercell))
    made = GaussianProcessPhonons(calculator, harmonic(quick)).predict(copper)
    assert made.displaced_cells is not None
    return made.displaced_cells


def test_same_cells_give_the_same_physics_as_their_calculator(
    calculator: ForceCalculator, cells: DisplacedCells, copper: Crystal, settings: ScreeningSettings
) -> None:
    computed = GaussianProcessPhonons(calculator, settings).predict(copper)
    predictor = GivenCells(cells, settings, source="EMT", static_energy_ev_per_atom=-1.5)
    given = predictor.predict(copper)
    for name in ("free_energy_mev_per_atom", "entropy_mev_per_k_per_atom"):
        np.testing.assert_allclose(
            getattr(given.thermodynamics, name),
            getattr(computed.thermodynamics, name),
            rtol=1e-9,
            atol=1e-9,
        )
    spreads = [one.spread.free_energy_std_mev_per_atom for one in (given, computed) if one.spread]
    np.testing.assert_allclose(*spreads, rtol=1e-6)
    assert given.stability.verdict is computed.stability.verdict
    assert (given.method, given.tier, given.model) == ("given-cells", Tier.FEW_DFT_CELLS, "EMT")
    assert given.cost.force_calls == 0
    assert given.static_energy_ev_per_atom == -1.5
    assert given.static_energy_source == "EMT"
    assert given.displaced_cells is cells
    assert predictor.report.n_cells == 2
    assert not predictor.report.systematic
    check_predictor(predictor, copper)


def test_another_crystal_is_refused(
    cells: DisplacedCells, gold_copper: Crystal, settings: ScreeningSettings
) -> None:
    with pytest.raises(InconsistentDataError, match="another crystal"):
        GivenCells(cells, harmonic(settings)).predict(gold_copper)


def test_forces_that_are_no_numbers_or_no_forces_are_refused(
    cells: DisplacedCells, copper: Crystal, settings: ScreeningSettings
) -> None:
    broken = np.array(cells.forces_ev_per_angstrom)
    broken[1, 2, 0] = np.nan
    with pytest.raises(NonFiniteForcesError):
        GivenCells(replace(cells, forces_ev_per_angstrom=frozen_array(broken)))
    with pytest.raises(NonFiniteInputError):
        GivenCells(cells, static_energy_ev_per_atom=float("nan"))
    noise = np.random.default_rng(0).standard_normal(broken.shape)
    shuffled = replace(cells, forces_ev_per_angstrom=frozen_array(noise))
    with pytest.raises(InconsistentDataError):
        GivenCells(shuffled, harmonic(settings)).predict(copper)


def test_only_what_matters_identifies_the_result(
    cells: DisplacedCells, calculator: ForceCalculator, settings: ScreeningSettings
) -> None:
    reference = GivenCells(cells, settings)
    moved = replace(settings, few_cells=replace(FEW_CELLS, max_cells=4, displacement_angstrom=0.05))
    assert GivenCells(cells, moved).settings_digest == reference.settings_digest
    others = [
        replace(FEW_CELLS, seed=1),
        replace(FEW_CELLS, fit=GaussianProcessSettings(max_order=2)),
        replace(FEW_CELLS, conductivity=ConductivitySettings(mesh=(3, 3, 3))),
    ]
    digests = {
        GivenCells(cells, replace(settings, few_cells=one)).settings_digest for one in others
    }
    expecting = replace(settings, few_cells=replace(FEW_CELLS, prior=EMT))
    digests.add(GivenCells(cells, expecting, prior=calculator).settings_digest)
    assert len(digests | {reference.settings_digest}) == 5


def test_every_number_is_in_the_digest(cells: DisplacedCells) -> None:
    bumped = np.array(cells.forces_ev_per_angstrom)
    bumped[-1, -1, -1] += 1e-6
    changed = replace(cells, forces_ev_per_angstrom=frozen_array(bumped))
    assert displaced_cells_digest(changed) != displaced_cells_digest(cells)
    given = [
        GivenCells(cells),
        GivenCells(changed),
        GivenCells(cells, static_energy_ev_per_atom=-1.0),
        GivenCells(cells, harmonic_cells=cells),
    ]
    assert len({one.model_digest for one in given}) == 4


def test_a_prior_is_given_where_and_only_where_it_is_named(
    cells: DisplacedCells, calculator: ForceCalculator, copper: Crystal, settings: ScreeningSettings
) -> None:
    with pytest.raises(SettingError, match="prior"):
        GivenCells(cells, settings, prior=calculator)
    named = harmonic(settings, prior=EMT, prior_cells=2)
    with pytest.raises(SettingError, match="prior"):
        GivenCells(cells, named)
    sure, alone = (
        one.predict(copper).spread
        for one in (
            GivenCells(cells, named, prior=calculator),
            GivenCells(cells, harmonic(settings)),
        )
    )
    assert sure is not None
    assert alone is not None
    widths = sure.free_energy_std_mev_per_atom, alone.free_energy_std_mev_per_atom
    assert widths[0][-1] < widths[1][-1]  # the calculator expects its own force constants


def test_a_conductivity_that_is_asked_for_comes_with_its_spread_or_an_error(
    cells: DisplacedCells, copper: Crystal, settings: ScreeningSettings
) -> None:
    asked = ConductivitySettings(mesh=(3, 3, 3), temperatures_k=(300.0, 600.0))
    predictor = GivenCells(
        cells, replace(settings, few_cells=replace(FEW_CELLS, conductivity=asked))
    )
    seen: list[tuple[int, int]] = []
    found = predictor.predict(copper, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert found.conductivity is not None
    assert found.conductivity_std_w_per_m_k is not None
    assert found.conductivity_std_w_per_m_k.shape == (2, 3, 3)
    assert predictor.drawn is not None
    lower, upper = predictor.drawn.interval_w_per_m_k()
    assert np.all(lower < found.conductivity.mean_conductivity_w_per_m_k)
    assert np.all(found.conductivity.mean_conductivity_w_per_m_k < upper)
    # cells of a larger supercell replace the second order: here the same, so nothing changes
    again = GivenCells(
        cells,
        replace(settings, few_cells=replace(FEW_CELLS, conductivity=asked)),
        harmonic_cells=cells,
    ).predict(copper)
    assert again.conductivity is not None
    [note] = [one for one in again.warnings if "second-order" in one]
    assert "2 cells of a supercell of 27 atoms" in note
    np.testing.assert_allclose(
        again.conductivity.frequencies_thz, found.conductivity.frequencies_thz, atol=0.05
    )


def test_a_larger_supercell_is_checked_like_the_cells_themselves(
    cells: DisplacedCells, copper: Crystal, settings: ScreeningSettings
) -> None:
    asked = replace(FEW_CELLS, conductivity=ConductivitySettings(mesh=(3, 3, 3)))
    asked_for = replace(settings, few_cells=asked)
    shape = cells.forces_ev_per_angstrom.shape
    noise = np.random.default_rng(7).standard_normal(shape)  # 0 is that of the displacements
    noise -= noise.mean(axis=1, keepdims=True)
    other = replace(cells, forces_ev_per_angstrom=frozen_array(noise))
    with pytest.raises(InconsistentDataError, match="do not explain"):
        GivenCells(cells, asked_for, harmonic_cells=other).predict(copper)
    dead = replace(cells, forces_ev_per_angstrom=frozen_array(np.zeros(shape)))
    with pytest.raises(InconsistentDataError, match="are zero"):
        GivenCells(cells, asked_for, harmonic_cells=dead)
    pushed = np.zeros(shape[1:])
    pushed[0, 0], pushed[1, 0] = 0.1, -0.1
    residual = replace(
        cells,
        forces_ev_per_angstrom=frozen_array(cells.forces_ev_per_angstrom + pushed),
        residual_forces_ev_per_angstrom=frozen_array(pushed),
    )
    found = GivenCells(cells, asked_for, harmonic_cells=residual).predict(copper)
    [note] = [one for one in found.warnings if one.startswith("larger supercell: ")]
    assert "no minimum: forces up to 0.100 eV/Å" in note


def test_a_mesh_that_breaks_the_symmetry_is_refused_at_once(
    cells: DisplacedCells, settings: ScreeningSettings
) -> None:
    asked = replace(FEW_CELLS, conductivity=ConductivitySettings(mesh=(4, 4, 3)))
    with pytest.raises(SettingError, match="breaks the symmetry"):
        GivenCells(cells, replace(settings, few_cells=asked))


def test_cells_of_a_potential_stay_of_a_potential(
    cells: DisplacedCells, copper: Crystal, settings: ScreeningSettings
) -> None:
    exact = GivenCells(cells, harmonic(settings))
    cheap = GivenCells(cells, harmonic(settings), tier=Tier.POTENTIAL)
    assert (exact.tier, cheap.tier) == (Tier.FEW_DFT_CELLS, Tier.POTENTIAL)
    assert cheap.predict(copper).tier == Tier.POTENTIAL
    assert cheap.model_digest != exact.model_digest


def test_single_displacements_leave_most_of_the_third_order_open(
    calculator: ForceCalculator, copper: Crystal, settings: ScreeningSettings
) -> None:
    reference = PotentialPhonons(calculator, replace(settings, few_cells=None)).predict(copper)
    assert reference.force_data is not None
    single = displaced_cells_of(reference.force_data)
    found = GivenCells(single, settings).predict(copper)
    [note] = [one for one in found.warnings if one.startswith("one atom is displaced")]
    assert "unknowns per equation" in note
    alone = GivenCells(single, harmonic(settings)).predict(copper)
    assert not [one for one in alone.warnings if "third-order" in one]
    # the second order is determined: that of one displacement after the other
    np.testing.assert_allclose(
        alone.thermodynamics.free_energy_mev_per_atom,
        reference.thermodynamics.free_energy_mev_per_atom,
        rtol=1e-2,
        atol=0.1,
    )


def test_forces_that_do_not_sum_to_zero_are_warned_of(
    cells: DisplacedCells, copper: Crystal, settings: ScreeningSettings
) -> None:
    forces = np.array(cells.forces_ev_per_angstrom)
    forces[..., 2] += 0.02 * np.abs(forces).max()
    drifting = replace(cells, forces_ev_per_angstrom=frozen_array(forces))
    found = GivenCells(drifting, harmonic(settings)).predict(copper)
    assert len([one for one in found.warnings if "do not sum to zero" in one]) == 1


def test_forces_of_the_prior_are_part_of_the_cost(
    cells: DisplacedCells, calculator: ForceCalculator, copper: Crystal, settings: ScreeningSettings
) -> None:
    named = harmonic(settings, prior=EMT, prior_cells=2)
    predictor = GivenCells(cells, named, prior=calculator)
    assert predictor.fit.unknowns_per_equation > 0.0  # however early the fit is asked for
    for _ in range(2):
        cost = predictor.predict(copper).cost
        assert cost.force_calls == 3
        assert 0.0 < cost.force_seconds < cost.wall_seconds


def test_its_family_is_named_by_where_the_forces_come_from() -> None:
    assert (
        method_family(
            method="given-cells", method_version=1, model="PBE", model_digest="0" * 64, settings={}
        )
        == "given-cells/PBE"
    )
