import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening import units
from screening.acoustic import gamma_mask
from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError
from screening.prediction import DensityOfStates, FloatArray, Thermodynamics
from screening.thermodynamics import (
    ThermodynamicsSettings,
    dos_thermodynamics,
    thermodynamics,
)

FORCE_SETS = Path(__file__).parents[3] / "shared" / "data" / "force_sets"
K_B = units.BOLTZMANN_MEV_PER_K
H = units.PLANCK_MEV_PER_THZ
NOT_GAMMA = np.array([False])


def einstein(
    frequency_thz: float | list[float], temperatures_k: tuple[float, ...], **settings: object
) -> Thermodynamics:
    """One atom whose three modes are given, away from the zone centre."""
    frequencies = np.broadcast_to(np.asarray(frequency_thz, dtype=float), (3,))[None]
    chosen = ThermodynamicsSettings(temperatures_k=temperatures_k, **settings)
    return thermodynamics(frequencies, np.ones(1), 1, chosen, is_gamma=NOT_GAMMA)


def toy_mesh(seed: int = 0) -> tuple[FloatArray, FloatArray, int]:
    """Frequencies and weights of a made-up crystal with two atoms."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 12.0, (40, 6)), rng.integers(1, 48, 40).astype(float), 2


def derivative(values: FloatArray, step: float) -> FloatArray:
    """Five-point derivative on a uniform grid, without the two points at either end."""
    return (values[:-4] - 8 * values[1:-3] + 8 * values[3:-1] - values[4:]) / (12 * step)


@settings(deadline=None)
@given(st.floats(0.2, 40.0), st.floats(5.0, 3000.0))
def test_all_printed_forms_of_free_energy_and_entropy_are_the_same(
    frequency_thz: float, temperature_k: float
) -> None:
    result = einstein(frequency_thz, (temperature_k,))
    x = H * frequency_thz / (K_B * temperature_k)
    n = 1.0 / np.expm1(x)
    free_energy = 3 * (H * frequency_thz / 2 + K_B * temperature_k * np.log1p(-np.exp(-x)))
    with_occupation = 3 * (H * frequency_thz / 2 - K_B * temperature_k * np.log1p(n))
    assert free_energy == pytest.approx(with_occupation, rel=1e-10, abs=1e-9)
    entropies = [
        (n + 1) * np.log1p(n) - (n * np.log(n) if n > 0 else 0.0),
        x * np.exp(-x) / -np.expm1(-x) - np.log1p(-np.exp(-x)),
    ]
    if x < 600:
        entropies.append(x / 2 / np.tanh(x / 2) - np.log(2 * np.sinh(x / 2)))
    if x < 300:
        capacity = 3 * K_B * x**2 * np.exp(x) / np.expm1(x) ** 2
        assert result.heat_capacity_mev_per_k_per_atom[0] == pytest.approx(capacity, rel=1e-10)
    assert result.free_energy_mev_per_atom[0] == pytest.approx(free_energy, rel=1e-10, abs=1e-9)
    for entropy in entropies:
        assert result.entropy_mev_per_k_per_atom[0] == pytest.approx(
            3 * K_B * entropy, rel=1e-10, abs=1e-12
        )


def test_entropy_and_heat_capacity_are_derivatives_of_the_free_energy() -> None:
    step = 0.5
    grid = tuple(float(t) for t in np.arange(20.0, 1500.0, step))
    frequencies, weights, n_atoms = toy_mesh()
    result = thermodynamics(
        frequencies,
        weights,
        n_atoms,
        ThermodynamicsSettings(temperatures_k=grid),
        is_gamma=np.zeros(40, dtype=bool),
    )
    entropy = result.entropy_mev_per_k_per_atom
    temperatures = result.temperatures_k[2:-2]
    np.testing.assert_allclose(
        -derivative(result.free_energy_mev_per_atom, step), entropy[2:-2], rtol=1e-7, atol=1e-10
    )
    capacity = result.heat_capacity_mev_per_k_per_atom[2:-2]
    np.testing.assert_allclose(
        temperatures * derivative(entropy, step), capacity, rtol=2e-6, atol=1e-9
    )
    np.testing.assert_allclose(
        derivative(result.internal_energy_mev_per_atom, step), capacity, rtol=2e-6, atol=1e-9
    )
    np.testing.assert_allclose(
        result.internal_energy_mev_per_atom,
        result.free_energy_mev_per_atom + result.temperatures_k * entropy,
        rtol=1e-12,
    )


def test_zero_temperature_is_the_exact_limit() -> None:
    frequencies, weights, n_atoms = toy_mesh()
    settings = ThermodynamicsSettings(temperatures_k=(0.0, 0.01, 0.5))
    result = thermodynamics(frequencies, weights, n_atoms, settings, is_gamma=np.zeros(40, bool))
    zero_point = H / 2 * float(weights @ frequencies.sum(axis=1)) / weights.sum() / n_atoms
    assert result.zero_point_energy_mev_per_atom == pytest.approx(zero_point, rel=1e-13)
    assert result.free_energy_mev_per_atom[0] == result.zero_point_energy_mev_per_atom
    assert result.internal_energy_mev_per_atom[0] == result.zero_point_energy_mev_per_atom
    assert result.entropy_mev_per_k_per_atom[0] == 0.0
    assert result.heat_capacity_mev_per_k_per_atom[0] == 0.0
    np.testing.assert_allclose(result.free_energy_mev_per_atom, zero_point, rtol=1e-12)


def test_high_temperature_limit_is_dulong_petit_and_classical_entropy() -> None:
    temperature_k = 1e5
    result = einstein(2.0, (temperature_k,))
    x = H * 2.0 / (K_B * temperature_k)
    assert result.heat_capacity_mev_per_k_per_atom[0] == pytest.approx(3 * K_B, rel=1e-6)
    per_mol = units.mev_to_joule_per_mol(float(result.heat_capacity_mev_per_k_per_atom[0]))
    assert per_mol == pytest.approx(3 * 8.314462618, rel=1e-6)
    classical = 3 * K_B * (np.log(1 / x) + 1)
    assert result.entropy_mev_per_k_per_atom[0] == pytest.approx(classical, rel=1e-7)
    assert result.internal_energy_mev_per_atom[0] == pytest.approx(
        3 * K_B * temperature_k, rel=1e-6
    )


def test_tiny_arguments_keep_their_digits() -> None:
    result = einstein(1e-6, (1000.0,), cutoff_thz=1e-7)
    x = H * 1e-6 / (K_B * 1000.0)
    series = 3 * K_B * (1 - np.log(x) + x**2 / 24)
    assert result.entropy_mev_per_k_per_atom[0] == pytest.approx(series, rel=1e-14)
    assert result.heat_capacity_mev_per_k_per_atom[0] == pytest.approx(3 * K_B, rel=1e-12)


def test_low_temperature_entropy_keeps_its_digits() -> None:
    result = einstein(10.0, (10.0,))
    x = H * 10.0 / (K_B * 10.0)
    assert result.entropy_mev_per_k_per_atom[0] == pytest.approx(
        3 * K_B * (x + 1) * np.exp(-x), rel=1e-12
    )


def test_a_mode_of_a_twentieth_thz_is_worth_minus_125_mev_at_300_k() -> None:
    result = einstein([0.05, 50.0, 50.0], (300.0,), cutoff_thz=0.01)
    without = einstein([0.05, 50.0, 50.0], (300.0,), cutoff_thz=0.1)
    difference = result.free_energy_mev_per_atom[0] - without.free_energy_mev_per_atom[0]
    assert difference == pytest.approx(-125.0, abs=0.5)


def test_weights_of_any_normalisation_and_split_q_points_agree() -> None:
    frequencies, weights, n_atoms = toy_mesh()
    none = np.zeros(40, dtype=bool)
    reference = thermodynamics(frequencies, weights, n_atoms, is_gamma=none)
    scaled = thermodynamics(frequencies, weights / 7.0, n_atoms, is_gamma=none)
    doubled = thermodynamics(
        np.concatenate([frequencies, frequencies]),
        np.concatenate([weights, weights]),
        n_atoms,
        is_gamma=np.zeros(80, dtype=bool),
    )
    for other in (scaled, doubled):
        np.testing.assert_allclose(
            other.free_energy_mev_per_atom, reference.free_energy_mev_per_atom, rtol=1e-12
        )


def test_acoustic_modes_at_the_zone_centre_are_neither_summed_nor_dropped() -> None:
    frequencies = np.array([[-1e-4, 0.0, 2e-4, 4.0, 5.0, 6.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    result = thermodynamics(frequencies, np.array([1.0, 63.0]), 2, is_gamma=np.array([True, False]))
    assert result.dropped_weight == 0.0
    assert result.imaginary_weight == 0.0
    assert result.valid
    expected = H / 2 * (15.0 + 63 * 21.0) / 64 / 2
    assert result.zero_point_energy_mev_per_atom == pytest.approx(expected, rel=1e-13)


def test_an_imaginary_optical_mode_at_the_zone_centre_is_dropped_and_counted() -> None:
    frequencies = np.array([[-3.0, 0.0, 0.01, 0.02, 5.0, 6.0]])
    result = thermodynamics(frequencies, np.ones(1), 2, is_gamma=np.array([True]))
    assert result.dropped_weight == pytest.approx(1 / 6)
    assert result.imaginary_weight == pytest.approx(1 / 6)
    assert not result.valid


@pytest.mark.parametrize(("n_low", "valid"), [(1, True), (2, False)])
def test_validity_follows_the_dropped_weight(n_low: int, valid: bool) -> None:
    frequencies = np.full((500, 3), 5.0)
    frequencies.ravel()[:n_low] = 0.05
    result = thermodynamics(frequencies, np.ones(500), 1, is_gamma=np.zeros(500, dtype=bool))
    assert result.dropped_weight == pytest.approx(n_low / 1500)
    assert result.imaginary_weight == 0.0
    assert result.valid is valid


def test_policies_differ_as_stated() -> None:
    modes, grid = [-1.0, 4.0, 6.0], (0.0, 300.0, 1e5)
    drop = einstein(modes, grid, low_mode_policy="drop")
    half = einstein(modes, grid, low_mode_policy="half_mean_optical")
    scaled = einstein(modes, grid, low_mode_policy="renormalise")
    explicit = einstein([2.5, 4.0, 6.0], grid)
    np.testing.assert_allclose(
        half.entropy_mev_per_k_per_atom, explicit.entropy_mev_per_k_per_atom, rtol=1e-13
    )
    np.testing.assert_allclose(
        scaled.free_energy_mev_per_atom, 1.5 * drop.free_energy_mev_per_atom, rtol=1e-13
    )
    limits = [r.heat_capacity_mev_per_k_per_atom[-1] / K_B for r in (drop, half, scaled)]
    assert limits == pytest.approx([2.0, 3.0, 3.0], rel=1e-6)
    for result in (drop, half, scaled):
        assert result.dropped_weight == pytest.approx(1 / 3)
        assert not result.valid


def test_half_mean_optical_takes_small_fractions_of_the_highest_frequency_for_zero() -> None:
    result = einstein([0.3, 20.0, 40.0], (300.0,), low_mode_policy="half_mean_optical")
    assert result.cutoff_thz == pytest.approx(0.4)
    assert result.zero_point_energy_mev_per_atom == pytest.approx(H / 2 * (15.0 + 20.0 + 40.0))


def test_half_mean_optical_replaces_the_acoustic_modes_too() -> None:
    frequencies = np.array([[0.0, 0.0, 0.0, 4.0, 5.0, 6.0]])
    settings = ThermodynamicsSettings(low_mode_policy="half_mean_optical")
    result = thermodynamics(frequencies, np.ones(1), 2, settings, is_gamma=np.array([True]))
    assert result.zero_point_energy_mev_per_atom == pytest.approx(H / 4 * (15.0 + 7.5))
    assert result.dropped_weight == 0.0
    assert result.valid


@pytest.mark.parametrize("policy", ["drop", "half_mean_optical", "renormalise"])
def test_a_crystal_of_imaginary_modes_only_is_finite_and_not_valid(policy: str) -> None:
    result = einstein(-2.0, (0.0, 300.0), low_mode_policy=policy)
    assert np.all(result.free_energy_mev_per_atom == 0.0)
    assert result.imaginary_weight == 1.0
    assert not result.valid


@settings(deadline=None)
@given(st.integers(0, 1000))
def test_free_energy_falls_and_heat_capacity_rises_with_temperature(seed: int) -> None:
    frequencies, weights, n_atoms = toy_mesh(seed)
    result = thermodynamics(frequencies, weights, n_atoms, is_gamma=np.zeros(40, dtype=bool))
    assert np.all(np.diff(result.free_energy_mev_per_atom) <= 0.0)
    assert np.all(np.diff(result.entropy_mev_per_k_per_atom) >= 0.0)
    assert np.all(np.diff(result.heat_capacity_mev_per_k_per_atom) >= -1e-15)
    assert result.heat_capacity_mev_per_k_per_atom[-1] <= 3 * K_B


def test_results_cannot_be_changed() -> None:
    result = einstein(5.0, (0.0, 300.0))
    with pytest.raises(ValueError, match="read-only"):
        result.free_energy_mev_per_atom[0] = 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_frequencies_are_refused(value: float) -> None:
    frequencies, weights, n_atoms = toy_mesh()
    frequencies[7, 3] = value
    with pytest.raises(NonFiniteInputError):
        thermodynamics(frequencies, weights, n_atoms, is_gamma=np.zeros(40, dtype=bool))


def test_shapes_and_weights_are_checked() -> None:
    frequencies, weights, n_atoms = toy_mesh()
    none = np.zeros(40, dtype=bool)
    with pytest.raises(InconsistentDataError):
        thermodynamics(frequencies, weights, 3, is_gamma=none)
    with pytest.raises(InconsistentDataError):
        thermodynamics(frequencies, weights[:-1], n_atoms, is_gamma=none)
    with pytest.raises(InconsistentDataError):
        thermodynamics(frequencies, weights, n_atoms, is_gamma=none[:1])
    with pytest.raises(InconsistentDataError):
        thermodynamics(frequencies, -weights, n_atoms, is_gamma=none)
    with pytest.raises(NonFiniteInputError):
        thermodynamics(frequencies, weights * np.nan, n_atoms, is_gamma=none)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperatures_k": ()},
        {"temperatures_k": (300.0, 100.0)},
        {"temperatures_k": (-1.0, 100.0)},
        {"temperatures_k": (float("nan"),)},
        {"temperatures_k": (1e-300,)},
        {"low_mode_policy": "ignore"},
        {"cutoff_thz": 0.0},
        {"cutoff_thz": float("nan")},
        {"max_dropped_weight": 2.0},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        ThermodynamicsSettings(**wrong)


def histogram(frequencies: FloatArray, weights: FloatArray, width: float) -> DensityOfStates:
    """Density of states with bins centred on multiples of ``width``."""
    n_bins = int(frequencies.max() / width) + 3
    edges = (np.arange(n_bins + 1) - 0.5) * width
    counts = np.repeat(weights / weights.sum(), frequencies.shape[1])
    total, _ = np.histogram(frequencies.ravel(), edges, weights=counts)
    return DensityOfStates(np.arange(n_bins) * width, total / width, np.empty((0, n_bins)))


def test_a_single_bin_gives_the_thermodynamics_of_its_centre() -> None:
    grid = np.arange(0.0, 10.01, 0.5)
    density = np.where(grid == 6.0, 3 / 0.5, 0.0)
    result = dos_thermodynamics(DensityOfStates(grid, density, np.empty((0, grid.size))), 1)
    exact = einstein(6.0, ThermodynamicsSettings().temperatures_k)
    for name in ("free_energy_mev_per_atom", "entropy_mev_per_k_per_atom"):
        np.testing.assert_allclose(getattr(result, name), getattr(exact, name), rtol=1e-12)


def test_a_fine_density_of_states_agrees_with_its_modes() -> None:
    frequencies, weights, n_atoms = toy_mesh()
    exact = thermodynamics(frequencies, weights, n_atoms, is_gamma=np.zeros(40, dtype=bool))
    result = dos_thermodynamics(histogram(frequencies, weights, 1e-4), n_atoms)
    np.testing.assert_allclose(
        result.free_energy_mev_per_atom, exact.free_energy_mev_per_atom, rtol=1e-5, atol=1e-4
    )
    np.testing.assert_allclose(
        result.heat_capacity_mev_per_k_per_atom[10:],
        exact.heat_capacity_mev_per_k_per_atom[10:],
        rtol=1e-5,
    )


def test_imaginary_weight_of_a_density_of_states_is_reported() -> None:
    grid = np.linspace(-2.0, 8.0, 101)
    density = np.where(grid < -0.5, 0.5, np.where(grid > 3.0, 0.5, 0.0))
    density *= 3.0 / np.trapezoid(density, grid)
    result = dos_thermodynamics(DensityOfStates(grid, density, np.empty((0, 101))), 1)
    assert result.imaginary_weight == pytest.approx(1.5 / 6.5, abs=0.02)
    assert not result.valid


def test_a_wrong_density_of_states_is_refused() -> None:
    grid = np.linspace(0.0, 10.0, 101)
    good = np.full(101, 0.3)
    empty = np.empty((0, 101))
    with pytest.raises(InconsistentDataError, match="integrates to"):
        dos_thermodynamics(DensityOfStates(grid, good, empty), 2)
    with pytest.raises(InconsistentDataError, match="negative"):
        dos_thermodynamics(DensityOfStates(grid, np.where(grid < 1, -0.1, 0.33), empty), 1)
    with pytest.raises(InconsistentDataError, match="ascend"):
        dos_thermodynamics(DensityOfStates(grid[::-1], good, empty), 1)
    with pytest.raises(InconsistentDataError, match="match"):
        dos_thermodynamics(DensityOfStates(grid, good[:-1], empty), 1)
    with pytest.raises(NonFiniteInputError):
        dos_thermodynamics(DensityOfStates(grid, good * np.nan, empty), 1)


@pytest.fixture
def codata_2018() -> Iterator[None]:
    """Let phonopy use our release of the constants; its own are of 1986 to 2006."""
    from phonopy.physical_units import get_physical_units, set_physical_units

    before = get_physical_units()
    set_physical_units(
        KB_J=K_B * 1e-3 * units.EV_TO_JOULE,
        PlanckConstant=H * 1e-15,
        Avogadro=units.AVOGADRO_PER_MOL,
        AMU=1.66053906660e-27,
        EV=units.EV_TO_JOULE,
    )
    yield
    names = ("KB_J", "PlanckConstant", "Avogadro", "SpeedOfLight", "AMU", "EV", "Me")
    set_physical_units(**{name: getattr(before, name) for name in names})


def phonopy_reference(file: Path) -> tuple[tuple[FloatArray, ...], Thermodynamics]:
    """Free energy, entropy and heat capacity per atom by phonopy and by us, same forces."""
    import phonopy
    from phonopy.physical_units import get_physical_units

    phonon = phonopy.load(str(file), log_level=0)
    phonon.run_mesh([9, 9, 9], is_gamma_center=True)
    settings = ThermodynamicsSettings(temperatures_k=tuple(float(t) for t in range(10, 1501, 10)))
    phonon.run_thermal_properties(
        temperatures=settings.temperatures_k, cutoff_frequency=0.1, exclude_gamma_acoustic=True
    )
    theirs = phonon.thermal_properties
    scale = 1e3 / get_physical_units().EvTokJmol / len(phonon.primitive)
    reference = (
        np.array(theirs.free_energy) * scale,
        np.array(theirs.entropy) * scale / 1e3,
        np.array(theirs.heat_capacity) * scale / 1e3,
    )
    ours = thermodynamics(
        np.array(phonon.mesh.frequencies),
        phonon.mesh.weights,
        len(phonon.primitive),
        settings,
        is_gamma=gamma_mask(phonon.mesh.qpoints),
    )
    return reference, ours


CRYSTALS = ["Al2O3", "MgB2", "MgO", "NaCl", "TiO2-anatase", "ZnO"]


@pytest.mark.usefixtures("codata_2018")
@pytest.mark.parametrize("crystal", CRYSTALS)
def test_phonopy_agrees_on_real_forces(crystal: str) -> None:
    file = FORCE_SETS / f"{crystal}.yaml.xz"
    if not file.exists():
        pytest.skip(f"reference data not found: {file}")
    (free_energy, entropy, capacity), ours = phonopy_reference(file)
    np.testing.assert_allclose(ours.free_energy_mev_per_atom, free_energy, rtol=1e-10)
    np.testing.assert_allclose(ours.entropy_mev_per_k_per_atom, entropy, rtol=1e-10)
    np.testing.assert_allclose(ours.heat_capacity_mev_per_k_per_atom, capacity, rtol=1e-10)


@pytest.mark.parametrize("crystal", CRYSTALS)
def test_older_constants_of_phonopy_change_no_digit_that_matters(crystal: str) -> None:
    """Boltzmann's constant differs by 5.8e-7; x by 6.7e-7, which the exponentials multiply."""
    file = FORCE_SETS / f"{crystal}.yaml.xz"
    if not file.exists():
        pytest.skip(f"reference data not found: {file}")
    (free_energy, entropy, capacity), ours = phonopy_reference(file)
    warm = ours.temperatures_k >= 300.0
    assert np.abs(ours.free_energy_mev_per_atom - free_energy).max() < 1e-3
    np.testing.assert_allclose(ours.entropy_mev_per_k_per_atom[warm], entropy[warm], rtol=2e-6)
    np.testing.assert_allclose(
        ours.heat_capacity_mev_per_k_per_atom[warm], capacity[warm], rtol=2e-6
    )


def test_published_thermodynamics_follow_from_published_frequencies() -> None:
    file = FORCE_SETS.parent / "phonondb_pbe.json.gz"
    if not file.exists():
        pytest.skip(f"reference data not found: {file}")
    settings = ThermodynamicsSettings(temperatures_k=(300.0, 1000.0))
    for record in json.loads(gzip.decompress(file.read_bytes())):
        frequencies = np.array(record["frequencies_THz"])
        found = thermodynamics(
            frequencies,
            np.array(record["weights"]),
            frequencies.shape[1] // 3,
            settings,
            is_gamma=gamma_mask(np.array(record["qpoints"])),
        )
        for index, temperature in enumerate((300, 1000)):
            for values, key, rounding in (
                (found.free_energy_mev_per_atom, f"free_energy_{temperature}K_meV_atom", 1e-4),
                (found.entropy_mev_per_k_per_atom, f"entropy_{temperature}K_meV_K_atom", 1e-6),
                (
                    found.heat_capacity_mev_per_k_per_atom,
                    f"heat_capacity_{temperature}K_meV_K_atom",
                    1e-6,
                ),
            ):
                assert values[index] == pytest.approx(record[key], abs=rounding)
        assert found.valid
