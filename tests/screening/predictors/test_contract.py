import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from screening.anharmonic import DisplacedCells, ForceConstants
from screening.calculators import load_calculator
from screening.conductivity_records import ConductivityMethod, ThermalConductivity, lifetimes_ps
from screening.errors import ModelRefusedError
from screening.harmonic import harmonic_from_forces
from screening.prediction import Prediction, ThermodynamicsSpread, frozen_array
from screening.predictors.contract import check_prediction, check_predictor
from screening.predictors.potential_phonons import PotentialPhonons
from screening.quantities import Property, Quantity
from screening.settings import ScreeningSettings
from screening.structure import Crystal
from screening.uncertainty.interval import Interval


@pytest.fixture(scope="module")
def predictor() -> PotentialPhonons:
    from screening.phonons import PhononSettings
    from screening.supercell import SupercellSettings

    supercell = SupercellSettings(min_length_angstrom=7.0, min_atoms=20, max_atoms=64)
    phonons = PhononSettings(supercell=supercell, mesh_length_angstrom=20.0)
    settings = ScreeningSettings(relaxation=None, phonons=phonons)
    return PotentialPhonons(load_calculator("ase.calculators.emt.EMT"), settings)


@pytest.fixture(scope="module")
def good(predictor: PotentialPhonons, gold_copper: Crystal) -> Prediction:
    return predictor.predict(gold_copper)


def test_potential_phonons_keep_the_contract(
    predictor: PotentialPhonons, gold_copper: Crystal
) -> None:
    check_predictor(predictor, gold_copper)


class Wrong:
    """A predictor that changes what another one returns or is given."""

    def __init__(self, inner: PotentialPhonons, change: object) -> None:
        self.inner, self.change, self.calls = inner, change, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def predict(self, crystal: Crystal) -> Prediction:
        self.calls += 1
        return self.change(self.inner.predict(crystal), crystal, self.calls)


def shifted(prediction: Prediction, amount_mev: float) -> Prediction:
    old = prediction.thermodynamics
    new = replace(
        old,
        free_energy_mev_per_atom=frozen_array(old.free_energy_mev_per_atom + amount_mev),
        internal_energy_mev_per_atom=frozen_array(old.internal_energy_mev_per_atom + amount_mev),
        zero_point_energy_mev_per_atom=old.zero_point_energy_mev_per_atom + amount_mev,
    )
    return replace(prediction, thermodynamics=new)


def touch(prediction: Prediction, crystal: Crystal, _: int) -> Prediction:
    crystal.structure.translate_sites([0], [0.1, 0.0, 0.0])
    return prediction


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (touch, "input structure was changed"),
        (lambda p, _c, _n: replace(p, method="another"), "method is 'another'"),
        (lambda p, _c, _n: replace(p, structure_digest="0" * 64), "digest is another"),
        (lambda p, _c, _n: replace(p, settings={"a": 1}), "do not give their digest"),
        (lambda p, _c, _n: replace(p, settings={"a": {1}}), "plain JSON"),
        (lambda p, _c, n: shifted(p, 1e-3 * n), "the same input"),
        (lambda p, _c, n: shifted(p, 0.1 * (n == 3)), "order and origin"),
        (lambda p, _c, n: shifted(p, 0.1 * (n == 4)), "a supercell"),
    ],
)
def test_a_predictor_that_breaks_a_rule_is_named(
    predictor: PotentialPhonons, gold_copper: Crystal, change: object, message: str
) -> None:
    own = replace(gold_copper, structure=gold_copper.structure.copy())
    with pytest.raises(ModelRefusedError, match=message):
        check_predictor(Wrong(predictor, change), own)


def with_thermo(**changes: object) -> object:
    return lambda p: replace(p, thermodynamics=replace(p.thermodynamics, **changes))


def scaled(name: str, factor: float) -> object:
    return lambda p: with_thermo(**{name: frozen_array(getattr(p.thermodynamics, name) * factor)})(
        p
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (scaled("heat_capacity_mev_per_k_per_atom", 4.0), "heat capacities leave"),
        (scaled("entropy_mev_per_k_per_atom", 1.01), "F is not U - TS"),
        (scaled("entropy_mev_per_k_per_atom", np.nan), "not finite"),
        (scaled("free_energy_mev_per_atom", 1.01), "F is not U - TS"),
        (with_thermo(zero_point_energy_mev_per_atom=1.0), "zero-point"),
        (with_thermo(dropped_weight=1.5), "no fraction"),
        (with_thermo(temperatures_k=frozen_array([300.0])), "shape"),
        (
            lambda p: replace(p, stability=replace(p.stability, lowest_frequency_thz=900.0)),
            "not in THz",
        ),
        (lambda p: replace(p, stability=replace(p.stability, criterion="mine")), "criterion"),
        (lambda p: replace(p, static_energy_ev_per_atom=float("nan")), "static energy"),
        (lambda p: replace(p, static_energy_source=None), "needs its source"),
        (lambda p: replace(p, cost=replace(p.cost, force_calls=-1)), "cost"),
    ],
)
def test_a_wrong_number_is_named(good: Prediction, change: object, message: str) -> None:
    check_prediction(good)
    with pytest.raises(ModelRefusedError, match=message):
        check_prediction(change(good))


def test_writeable_arrays_are_refused(good: Prediction) -> None:
    values = np.array(good.thermodynamics.free_energy_mev_per_atom)
    with pytest.raises(ModelRefusedError, match="can be changed"):
        check_prediction(with_thermo(free_energy_mev_per_atom=values)(good))


@pytest.mark.parametrize(
    ("factor", "n_members", "message"), [(-1.0, 3, "negative"), (1.0, 1, "one member")]
)
def test_a_spread_is_not_negative(
    good: Prediction, factor: float, n_members: int, message: str
) -> None:
    ones = frozen_array(factor * np.ones_like(good.thermodynamics.temperatures_k))
    spread = ThermodynamicsSpread(ones, ones, ones, 0.1, n_members)
    with pytest.raises(ModelRefusedError, match=message):
        check_prediction(replace(good, spread=spread))


def own_interval(good: Prediction, kind: Property, **changes: object) -> Interval:
    """Half a unit around the free energy at the first temperature of the grid."""
    value = float(good.thermodynamics.free_energy_mev_per_atom[0])
    at = Quantity(kind, float(good.thermodynamics.temperatures_k[0]))
    return replace(Interval(at, value, value - 0.5, value + 0.5, 0.9), **changes)


def test_own_intervals_keep_the_contract(good: Prediction) -> None:
    lowest = Interval(
        Quantity(Property.LOWEST_FREQUENCY),
        good.stability.lowest_frequency_thz,
        -math.inf,
        good.stability.lowest_frequency_thz,
        0.9,
    )
    own = own_interval(good, Property.FREE_ENERGY)
    check_prediction(replace(good, intervals=(own, replace(own, coverage=0.5), lowest)))


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (Property.FREE_ENERGY, {"coverage": 1.0}, "no probability"),
        (Property.FREE_ENERGY, {"value": 1e3, "lower": 900.0, "upper": 1100.0}, "lies outside"),
        (Property.FREE_ENERGY, {"quantity": Quantity(Property.FREE_ENERGY, 1.5)}, "grid"),
        (Property.HEAT_CAPACITY, {"lower": -1e3, "value": -1e3, "upper": -1e2}, "lies outside"),
        (Property.FREE_ENERGY_DIFFERENCE, {}, "two crystals"),
    ],
)
def test_a_wrong_interval_is_named(
    good: Prediction, kind: Property, changes: dict[str, object], message: str
) -> None:
    one = own_interval(good, kind, **changes)
    with pytest.raises(ModelRefusedError, match=message):
        check_prediction(replace(good, intervals=(one,)))


def test_two_intervals_of_one_quantity_are_refused(good: Prediction) -> None:
    one = own_interval(good, Property.FREE_ENERGY)
    with pytest.raises(ModelRefusedError, match="two intervals"):
        check_prediction(replace(good, intervals=(one, one)))


def test_arrays_of_wrong_shape_are_refused(good: Prediction) -> None:
    assert good.band_structure is not None
    bands = replace(
        good.band_structure, frequencies_thz=good.band_structure.frequencies_thz[:, :-1]
    )
    with pytest.raises(ModelRefusedError, match="bands"):
        check_prediction(replace(good, band_structure=bands))
    dos = SimpleNamespace(
        frequencies_thz=np.linspace(0, 9, 10), total_per_thz=np.ones(10), projected_per_thz=None
    )
    with pytest.raises(ModelRefusedError, match="integrates to"):
        check_prediction(replace(good, density_of_states=dos))


@pytest.fixture(scope="module")
def fitted(good: Prediction) -> Prediction:
    """The same prediction as a method would give it that fits its force constants."""
    forces = good.force_data
    assert forces is not None
    rng = np.random.default_rng(1)
    n_sites, n_atoms = len(forces.primitive), len(forces.supercell_numbers)
    crystal = {
        "primitive": forces.primitive,
        "supercell_matrix": forces.supercell_matrix,
        "supercell_scaled_positions": forces.supercell_scaled_positions,
        "supercell_numbers": forces.supercell_numbers,
    }
    second = harmonic_from_forces(forces).force_constants_ev_per_angstrom2
    third = np.zeros((n_sites, n_atoms, n_atoms, 3, 3, 3))
    return replace(
        good,
        force_data=None,
        force_constants=ForceConstants(**crystal, second_order_ev_per_angstrom2=second,
                                       third_order_ev_per_angstrom3=third),
        displaced_cells=DisplacedCells(
            **crystal,
            displacements_angstrom=rng.normal(size=(2, n_atoms, 3)),
            forces_ev_per_angstrom=rng.normal(size=(2, n_atoms, 3)),
            residual_forces_ev_per_angstrom=np.zeros((n_atoms, 3)),
        ),
        conductivity=heat(3 * n_sites),
        conductivity_std_w_per_m_k=frozen_array(np.ones((2, 3, 3))),
    )  # fmt: skip


def heat(n_branches: int) -> ThermalConductivity:
    """Modes that each carry the same heat."""
    every = (2, 3, n_branches)
    modes = frozen_array(np.ones((*every, 1, 1)) * np.eye(3))
    widths = np.full(every, 0.01)
    return ThermalConductivity(
        method=ConductivityMethod.RELAXATION_TIME,
        mesh=(2, 2, 2),
        temperatures_k=frozen_array([300.0, 600.0]),
        conductivity_w_per_m_k=frozen_array(modes.sum(axis=(1, 2))),
        relaxation_time_conductivity_w_per_m_k=frozen_array(modes.sum(axis=(1, 2))),
        q_points=np.zeros((3, 3)),
        weights=frozen_array([0.125, 0.5, 0.375]),
        frequencies_thz=np.ones(every[1:]),
        group_velocities_angstrom_per_ps=np.ones((*every[1:], 3)),
        heat_capacities_ev_per_k=np.ones(every),
        linewidths_thz=widths,
        isotope_linewidths_thz=np.zeros(every[1:]),
        lifetimes_ps=lifetimes_ps(widths),
        mode_conductivities_w_per_m_k=modes,
    )


def test_a_fit_keeps_the_contract(fitted: Prediction) -> None:
    check_prediction(fitted)
    check_prediction(replace(fitted, conductivity=None, conductivity_std_w_per_m_k=None))
    check_prediction(replace(fitted, displaced_cells=None))


def constants_with(**changes: object) -> object:
    return lambda p: replace(p, force_constants=replace(p.force_constants, **changes))


def cells_with(**changes: object) -> object:
    return lambda p: replace(p, displaced_cells=replace(p.displaced_cells, **changes))


def heat_with(**changes: object) -> object:
    return lambda p: replace(p, conductivity=replace(p.conductivity, **changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (constants_with(second_order_ev_per_angstrom2=np.zeros((4, 4, 3, 3))), "second-order"),
        (constants_with(third_order_ev_per_angstrom3=np.full((4, 4, 4, 3, 3, 3), 0)), "third-or"),
        (
            lambda p: constants_with(
                second_order_ev_per_angstrom2=p.force_constants.second_order_ev_per_angstrom2 + 0.01
            )(p),
            "rigid translation",
        ),
        (cells_with(forces_ev_per_angstrom=np.zeros((1, 4, 3))), "forces of cells: shape"),
        (
            lambda p: cells_with(
                displacements_angstrom=p.displaced_cells.displacements_angstrom * np.nan
            )(p),
            "displacements of cells: a value is not finite",
        ),
        (lambda p: replace(p, force_constants=None), "without force constants"),
        (
            lambda p: cells_with(
                supercell_scaled_positions=p.displaced_cells.supercell_scaled_positions[::-1]
            )(p),
            "differ in supercell",
        ),
        (lambda p: replace(p, conductivity=None), "a spread of no conductivity"),
        (heat_with(temperatures_k=frozen_array([0.0, 300.0])), "not above zero"),
        (heat_with(temperatures_k=frozen_array([300.0, 300.0])), "repeat"),
        (heat_with(conductivity_w_per_m_k=-np.ones((2, 3, 3))), "heat flows against"),
        (heat_with(conductivity_w_per_m_k=np.ones((2, 3))), "the conductivity: shape"),
        (heat_with(conductivity_w_per_m_k=np.ones((2, 3, 3))), "do not sum"),
        (heat_with(weights=frozen_array([1.0, 1.0, 1.0])), "weights of q points"),
        (lambda p: heat_with(linewidths_thz=-p.conductivity.linewidths_thz)(p), "negative"),
        (lambda p: heat_with(lifetimes_ps=p.conductivity.lifetimes_ps[:1])(p), "lifetimes"),
        (lambda p: replace(p, conductivity_std_w_per_m_k=np.ones(2)), "spread of the cond"),
        (lambda p: replace(p, conductivity_std_w_per_m_k=-np.ones((2, 3, 3))), "is negative"),
    ],
)
def test_a_wrong_fit_is_named(fitted: Prediction, change: object, message: str) -> None:
    with pytest.raises(ModelRefusedError, match=message):
        check_prediction(change(fitted))
