import sys
import types
from dataclasses import replace

import numpy as np
import pytest

from screening.calculators import ForceCalculator, load_calculator
from screening.errors import (
    CalculatorFailedError,
    ComputationError,
    ElementNotInModelError,
    NonFiniteForcesError,
    TooLargeError,
)
from screening.phonons import PhononSettings
from screening.prediction import Relaxation, Verdict
from screening.predictors.assembly import relaxation_warnings
from screening.predictors.contract import check_prediction
from screening.predictors.interface import Predictor, Tier
from screening.predictors.potential_phonons import PotentialPhonons
from screening.relaxation import RelaxationSettings
from screening.settings import ScreeningSettings
from screening.structure import Crystal
from screening.supercell import SupercellSettings
from screening.units import BOLTZMANN_MEV_PER_K


def test_it_is_a_predictor(quick_settings: ScreeningSettings) -> None:
    predictor = PotentialPhonons(load_calculator("ase.calculators.emt.EMT"), quick_settings)
    assert isinstance(predictor, Predictor)
    assert predictor.tier is Tier.POTENTIAL
    assert predictor.settings_digest == quick_settings_with(quick_settings, 0.01).digest


def quick_settings_with(settings: ScreeningSettings, length: float) -> ScreeningSettings:
    return replace(settings, phonons=replace(settings.phonons, displacement_angstrom=length))


def test_copper_is_stable_with_every_part_of_the_result(
    copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    predictor = PotentialPhonons(load_calculator("ase.calculators.emt.EMT"), quick_settings)
    found = predictor.predict(copper)
    check_prediction(found)
    assert found.stability.verdict is Verdict.STABLE
    assert found.thermodynamics.valid
    assert found.thermodynamics.heat_capacity_mev_per_k_per_atom[-1] == pytest.approx(
        3 * BOLTZMANN_MEV_PER_K,
        rel=3e-3,  # the acoustic modes at Gamma are missing
    )
    assert found.force_data is not None
    assert found.band_structure is not None
    assert found.density_of_states is not None
    assert found.relaxation is None
    assert found.spread is None
    assert found.static_energy_source == predictor.model
    assert found.cost.force_calls == len(found.force_data.displaced_atoms) + 2
    assert 0 < found.cost.force_seconds < found.cost.wall_seconds
    assert not any("no non-analytical" in text for text in found.warnings)


def test_the_recommended_displacement_is_part_of_the_settings(
    fake: type, quick_settings: ScreeningSettings
) -> None:
    coarse = PotentialPhonons(fake(displacement_angstrom=0.03), quick_settings)
    fine = PotentialPhonons(fake(displacement_angstrom=0.01), quick_settings)
    assert coarse.settings["phonons"]["displacement_angstrom"] == 0.03
    assert coarse.settings_digest != fine.settings_digest
    explicit = quick_settings_with(quick_settings, 0.01)
    assert PotentialPhonons(fake(displacement_angstrom=0.03), explicit).settings_digest == (
        fine.settings_digest
    )


def test_notes_and_missing_non_analytical_correction_are_said(
    fake: type, gold_copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    found = PotentialPhonons(fake(), quick_settings).predict(gold_copper)
    assert found.warnings[0] == "made up for a test"
    assert any("no non-analytical correction" in text for text in found.warnings)


def test_an_unstable_crystal_keeps_its_result_and_says_so(
    cubic_body_centred_copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    predictor = PotentialPhonons(load_calculator("ase.calculators.emt.EMT"), quick_settings)
    found = predictor.predict(cubic_body_centred_copper)
    assert found.stability.verdict is Verdict.UNSTABLE
    assert found.stability.lowest_frequency_thz < -0.5
    assert found.thermodynamics.imaginary_weight > 1e-3
    assert not found.thermodynamics.valid
    assert any("thermodynamics not valid" in text for text in found.warnings)
    assert any("unstable" in text and "q = (" in text for text in found.warnings)


def test_negative_curvature_leaves_no_unflagged_number(
    fake: type, copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    found = PotentialPhonons(fake(scale=-1.0), quick_settings).predict(copper)
    assert found.stability.verdict is Verdict.UNSTABLE
    assert found.thermodynamics.imaginary_weight > 0.99
    assert not found.thermodynamics.valid


def test_relaxation_lowers_the_energy_and_is_recorded(
    copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    calculator = load_calculator("ase.calculators.emt.EMT")
    stretched = replace(copper, structure=copper.structure.copy().scale_lattice(12.5))
    plain = PotentialPhonons(calculator, quick_settings).predict(stretched)
    settings = replace(quick_settings, relaxation=RelaxationSettings())
    relaxed = PotentialPhonons(calculator, settings).predict(stretched)
    assert relaxed.relaxation is not None
    assert relaxed.relaxation.converged
    assert relaxed.static_energy_ev_per_atom < plain.static_energy_ev_per_atom
    assert relaxed.structure.volume == pytest.approx(11.56, rel=1e-2)
    assert relaxed.cost.force_calls > plain.cost.force_calls
    assert relaxed.cost.relaxation_steps == relaxed.relaxation.n_steps
    assert stretched.structure.volume == pytest.approx(12.5)
    assert any("volume by -7" in text for text in relaxed.warnings)


def test_unrelaxed_internal_forces_are_said(quick_settings: ScreeningSettings) -> None:
    from pymatgen.core import Lattice, Structure

    from screening.structure import canonical_crystal

    shifted = canonical_crystal(
        Structure(Lattice.orthorhombic(3.8, 3.5, 3.6), ["Au", "Cu"], [[0, 0, 0], [0.5, 0.5, 0.46]])
    )
    predictor = PotentialPhonons(load_calculator("ase.calculators.emt.EMT"), quick_settings)
    found = predictor.predict(shifted)
    assert any("no minimum" in text for text in found.warnings)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("relaxed", [False, True])
def test_a_number_that_is_not_finite_gives_an_error_and_nothing_else(
    fake: type, copper: Crystal, quick_settings: ScreeningSettings, poison: float, *, relaxed: bool
) -> None:
    settings = replace(quick_settings, relaxation=RelaxationSettings() if relaxed else None)
    with pytest.raises(NonFiniteForcesError):
        PotentialPhonons(fake(poison=poison), settings).predict(copper)


def test_forces_alone_that_are_not_finite_give_an_error(
    fake: type, copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    class Treacherous(fake):
        def energy(self, *arguments: object) -> object:
            return fake().energy(*arguments)

    with pytest.raises(NonFiniteForcesError):
        PotentialPhonons(Treacherous(poison=np.nan), quick_settings).predict(copper)


def test_an_unknown_element_costs_no_force(
    fake: type, copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    calculator = fake(elements=frozenset({1, 8}))
    with pytest.raises(ElementNotInModelError, match="Cu"):
        PotentialPhonons(calculator, quick_settings).predict(copper)
    assert calculator.calls == []


def test_a_cell_that_does_not_fit_is_refused(
    fake: type, gold_copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    tiny = PhononSettings(SupercellSettings(min_length_angstrom=1.0, min_atoms=1, max_atoms=3))
    with pytest.raises(TooLargeError):
        PotentialPhonons(fake(), replace(quick_settings, phonons=tiny)).predict(gold_copper)


def test_forces_that_do_not_sum_to_zero_are_said(
    fake: type, copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    honest = PotentialPhonons(fake(), quick_settings).predict(copper)
    broken = PotentialPhonons(fake(drift=0.02), quick_settings).predict(copper)
    assert not any("sum to zero" in text for text in honest.warnings)
    assert any("sum to zero" in text for text in broken.warnings)


def test_spread_of_a_committee_is_the_analytic_one(
    fake: type, copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    """Forces scaled by s scale frequencies by its root: F shifts by 3/2 kT ln s at high T."""
    scales = (0.8, 1.0, 1.25)
    committee = fake(members=tuple(fake(scale=scale) for scale in scales))
    found = PotentialPhonons(committee, quick_settings).predict(copper)
    check_prediction(found)
    assert found.spread is not None
    assert found.spread.n_members == 3
    classical = 1.5 * BOLTZMANN_MEV_PER_K * 3000.0 * np.std(np.log(scales), ddof=1)
    assert found.spread.free_energy_std_mev_per_atom[-1] == pytest.approx(classical, rel=1e-3)
    single = PotentialPhonons(fake(), quick_settings).predict(copper)
    zero_point = single.thermodynamics.zero_point_energy_mev_per_atom
    assert found.spread.free_energy_std_mev_per_atom[0] == pytest.approx(
        zero_point * np.std(np.sqrt(scales), ddof=1), rel=1e-6
    )
    mean = PotentialPhonons(fake(scale=np.mean(scales)), quick_settings).predict(copper)
    np.testing.assert_allclose(
        found.thermodynamics.free_energy_mev_per_atom,
        mean.thermodynamics.free_energy_mev_per_atom,
        rtol=1e-9,
    )


@pytest.mark.parametrize(("scales", "is_said"), [((0.9, 1.1), False), ((-0.8, 1.2), True)])
def test_a_verdict_within_the_scatter_of_the_members_is_said(
    fake: type,
    copper: Crystal,
    quick_settings: ScreeningSettings,
    scales: tuple[float, ...],
    is_said: bool,
) -> None:
    committee = fake(members=tuple(fake(scale=scale) for scale in scales))
    found = PotentialPhonons(committee, quick_settings).predict(copper)
    assert found.stability.verdict is Verdict.STABLE
    said = [one for one in found.warnings if "within the scatter of 2 members" in one]
    assert bool(said) is is_said
    assert all("the limit of -0.1 THz" in one for one in said)


def test_every_member_computes_each_displacement_once(
    fake: type, copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    members = (fake(scale=0.9), fake(scale=1.1))
    found = PotentialPhonons(fake(members=members), quick_settings).predict(copper)
    assert found.force_data is not None
    expected = [len(found.force_data.displaced_atoms), 1]
    assert [sorted(m.calls, reverse=True) for m in members] == [expected, expected]
    assert found.cost.force_calls == 2 * sum(expected) + 2


def test_calculator_errors_pass_through_typed(
    copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    with pytest.raises(ComputationError):
        PotentialPhonons(
            load_calculator("ase.calculators.emt.EMT"),
            replace(quick_settings, relaxation=RelaxationSettings(max_steps=1)),
        ).predict(replace(copper, structure=copper.structure.copy().scale_lattice(14.0)))


def test_an_adaptive_supercell_gives_the_same_free_energy_for_fewer_forces(
    copper: Crystal, gold_copper: Crystal
) -> None:
    calculator = load_calculator("ase.calculators.emt.EMT")
    for crystal in (copper, gold_copper):
        plain, adaptive = (
            PotentialPhonons(
                calculator,
                ScreeningSettings(relaxation=None, phonons=PhononSettings(adaptive=adaptive)),
            ).predict(crystal)
            for adaptive in (False, True)
        )
        check_prediction(adaptive)
        assert adaptive.settings_digest != plain.settings_digest
        np.testing.assert_allclose(
            adaptive.thermodynamics.free_energy_mev_per_atom[:31],
            plain.thermodynamics.free_energy_mev_per_atom[:31],
            atol=0.5,
        )


def test_an_adaptive_committee_has_a_spread(
    fake: type, copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    settings = replace(quick_settings, phonons=replace(quick_settings.phonons, adaptive=True))
    committee = fake(members=(fake(scale=0.8), fake(scale=1.25)))
    found = PotentialPhonons(committee, settings).predict(copper)
    assert found.spread is not None
    classical = 1.5 * BOLTZMANN_MEV_PER_K * 3000.0 * np.std(np.log([0.8, 1.25]), ddof=1)
    assert found.spread.free_energy_std_mev_per_atom[-1] == pytest.approx(classical, rel=1e-3)


def test_a_supercell_below_the_wanted_length_is_said(
    fake: type, gold_copper: Crystal, quick_settings: ScreeningSettings
) -> None:
    small = SupercellSettings(min_length_angstrom=20.0, min_atoms=20, max_atoms=40)
    settings = replace(quick_settings, phonons=replace(quick_settings.phonons, supercell=small))
    found = PotentialPhonons(fake(), settings).predict(gold_copper)
    assert any("supercell" in text for text in found.warnings)


def _without_stress(monkeypatch: pytest.MonkeyPatch) -> ForceCalculator:
    from ase.calculators import emt
    from ase.calculators.calculator import PropertyNotImplementedError

    class NoStress(emt.EMT):
        def get_property(self, name: str, *arguments: object, **options: object) -> object:
            if name == "stress":
                raise PropertyNotImplementedError(name)
            return super().get_property(name, *arguments, **options)

    module = types.ModuleType("no_stress")
    NoStress.__module__ = "no_stress"
    module.NoStress = NoStress  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "no_stress", module)
    monkeypatch.setattr("screening.calculators.ase._version", lambda _target: "1")
    return load_calculator("no_stress.NoStress")


def test_a_calculator_without_stress_predicts_what_it_does_with_stress(
    copper: Crystal, quick_settings: ScreeningSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calculator = _without_stress(monkeypatch)
    found = PotentialPhonons(calculator, quick_settings).predict(copper)
    usual = load_calculator("ase.calculators.emt.EMT")
    expected = PotentialPhonons(usual, quick_settings).predict(copper)
    assert found.static_energy_ev_per_atom == expected.static_energy_ev_per_atom
    np.testing.assert_array_equal(
        found.thermodynamics.free_energy_mev_per_atom,
        expected.thermodynamics.free_energy_mev_per_atom,
    )
    relaxing = replace(quick_settings, relaxation=RelaxationSettings())
    with pytest.raises(CalculatorFailedError, match="stress"):
        PotentialPhonons(calculator, relaxing).predict(copper)


def test_a_relaxation_that_raises_the_space_group_says_so() -> None:
    record = Relaxation(
        converged=True,
        n_steps=1,
        max_force_ev_per_angstrom=0.0,
        max_stress_gpa=0.0,
        volume_ratio=1.0,
        space_group_number_before=99,
        space_group_number_after=221,
    )
    (text,) = relaxation_warnings(record)
    assert "number 99 to 221" in text
    assert relaxation_warnings(replace(record, space_group_number_after=99)) == []
    both = relaxation_warnings(replace(record, volume_ratio=1.1))
    assert len(both) == 2
