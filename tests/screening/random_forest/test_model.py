from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from random_springs import QUICK, spring_crystals, trained_on_springs, turned, turned_hessian

from screening.errors import (
    ElementNotInModelError,
    ModelCorruptError,
    ModelRefusedError,
    OutOfDomainError,
    SettingError,
)
from screening.harmonic import frequencies_at, harmonic_from_force_constants
from screening.hessians import (
    atomic_masses_amu,
    without_translations,
    zone_centre_frequencies_thz,
)
from screening.random_forest import RandomForestSettings, train_force_constants
from screening.random_forest.curves import curves_of
from screening.random_forest.model import RandomForestForceConstants

CRYSTALS = [one.structure for one in spring_crystals(40)]
NEW = CRYSTALS[30]


@pytest.fixture(scope="module", params=["tensor_ridge", "rf_frame"])
def model(request):
    return RandomForestForceConstants.from_trained(trained_on_springs(request.param))


def test_hessians_are_those_of_springs_it_never_saw():
    found = RandomForestForceConstants.from_trained(trained_on_springs())
    for one in CRYSTALS[30:]:
        hessian = found.hessian_members(one)[0]
        truth = spring_crystals(40)[CRYSTALS.index(one)].hessian_ev_per_angstrom2
        assert np.abs(hessian - truth).mean() < 0.02


def test_predictions_turn_with_the_crystal(model):
    rotated, rotation = turned(NEW)
    before, after = model.hessians([NEW, rotated])
    np.testing.assert_allclose(after, turned_hessian(before, rotation), atol=1e-8)
    one, other = model.spectrum(NEW), model.spectrum(rotated)
    np.testing.assert_allclose(other.frequencies_thz[3:], one.frequencies_thz[3:], atol=1e-8)


def test_a_model_survives_its_numbers(model):
    again = RandomForestForceConstants.from_trained(
        replace(trained_on_springs(), state=model.state(), arrays=model.arrays())
    )
    np.testing.assert_array_equal(again.hessians([NEW])[0], model.hessians([NEW])[0])
    assert again.calibration == model.calibration
    assert again.state() == model.state()


def test_elements_never_seen_are_named(model):
    other = NEW.copy()
    other.replace(0, "Br")
    with pytest.raises(ElementNotInModelError, match="never saw Br") as refused:
        model.check(other)
    assert "Na, Cl" in refused.value.hint


def test_strange_crystals_are_refused(model):
    squeezed = NEW.copy()
    squeezed.scale_lattice(0.4 * NEW.volume)
    for one in (squeezed, Structure(Lattice.cubic(3.0), ["Na"], [[0, 0, 0]])):
        with pytest.raises(OutOfDomainError) as refused:
            model.hessians([one])
        assert refused.value.hint
    assert model.check(CRYSTALS[0]) < 1.0


def test_pairs_of_elements_never_seen_are_refused(model):
    kinds = dict.fromkeys([(11, 17), (17, 17)], "tensor_ridge")
    fewer = replace(model, hessian_model=replace(model.hessian_model, choice=kinds))
    with pytest.raises(OutOfDomainError, match="pairs of Na-Na"):
        fewer.check(NEW)


@pytest.mark.parametrize("name", ["ridge/11-17", "novelty/cell/weights", "novelty/atom/17/mean"])
@pytest.mark.parametrize(
    "spoil", [lambda x: x * np.nan, lambda x: x[:-1], lambda x: x.astype(str), lambda x: x * 1j]
)
def test_arrays_with_wrong_numbers_are_refused(name, spoil):
    whole = trained_on_springs()
    arrays = dict(whole.arrays) | {name: spoil(whole.arrays[name])}
    with pytest.raises(ModelCorruptError):
        RandomForestForceConstants.from_trained(replace(whole, arrays=arrays))


def test_processes_are_no_part_of_a_model():
    one, other = (
        train_force_constants(
            spring_crystals(12),
            RandomForestSettings(variant="rf_frame", **(QUICK | {"n_jobs": count})),
            "x",
        )
        for count in (1, 2)
    )
    assert one.digest == other.digest


def test_cells_of_another_size_have_no_zone_centre():
    found = RandomForestForceConstants.from_trained(trained_on_springs())
    found.check_size(NEW)
    assert found.check(NEW * (2, 1, 1)) == pytest.approx(found.check(NEW), rel=1e-6)
    with pytest.raises(OutOfDomainError, match="12 sites in the cell, 6 to 6") as refused:
        found.check_size(NEW * (2, 1, 1))
    assert "--mesh" in refused.value.hint


def test_supercells_with_pairs_never_seen_have_no_force_constants():
    """Cells of one sodium each never show how two of them act on each other."""
    whole = RandomForestForceConstants.from_trained(trained_on_springs())
    kinds = {(11, 17): "tensor_ridge"}
    found = replace(whole, hessian_model=replace(whole.hessian_model, choice=kinds))
    salt = Structure(Lattice.cubic(3.3), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert len(found.force_constants(salt, np.eye(3, dtype=np.int64)).supercell_numbers) == 2
    with pytest.raises(OutOfDomainError, match="pairs of Na-Na, Cl-Cl"):
        found.force_constants(salt, np.diag([2, 2, 2]))


def test_no_block_is_left_zero_because_no_model_answers_for_it():
    whole = RandomForestForceConstants.from_trained(trained_on_springs()).hessian_model
    part = replace(whole, choice={(11, 17): "tensor_ridge"})
    with pytest.raises(OutOfDomainError, match="pairs of Na-Na, Cl-Cl"):
        part.hessians(NEW)
    kept = part.known_part(NEW).reshape(-1, len(NEW), 3, len(NEW), 3)
    every = whole.hessians(NEW).reshape(kept.shape)
    sodium, chlorine = (np.flatnonzero(np.array(NEW.atomic_numbers) == z) for z in (11, 17))
    assert not np.any(kept[:, sodium[0], :, sodium[1]])
    np.testing.assert_array_equal(
        kept[:, sodium[0], :, chlorine[0]], every[:, sodium[0], :, chlorine[0]]
    )


def test_members_that_disagree_as_hardly_any_before_are_refused():
    found = RandomForestForceConstants.from_trained(trained_on_springs())
    spectrum = found.spectrum(NEW)
    temperatures = found.calibration.temperatures_k
    found.check_agreement(curves_of(spectrum, temperatures), NEW)
    members = spectrum.member_frequencies_thz.copy()
    members[0, 3] = 1e-6 + 0.101  # one mode nearly free
    members[0, 4:8] *= 0.05
    soft = replace(spectrum, member_frequencies_thz=members)
    with pytest.raises(OutOfDomainError, match="members disagree more than 98% of those"):
        found.check_agreement(curves_of(soft, temperatures), NEW)


def test_force_constants_of_a_supercell_have_the_learned_zone_centre():
    found = RandomForestForceConstants.from_trained(trained_on_springs())
    constants = found.force_constants(NEW, np.diag([2, 1, 2]))
    harmonic = harmonic_from_force_constants(constants)
    hessian = np.exp(2.0 * found.correction.mean_change) * found.hessians([NEW])[0]
    expected = zone_centre_frequencies_thz(without_translations(hessian), atomic_masses_amu(NEW))
    frequencies = frequencies_at(harmonic, np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.5]]))
    np.testing.assert_allclose(frequencies[0, 3:], expected[3:], atol=1e-6)
    assert np.abs(frequencies[0, :3]).max() < 1e-3 < np.abs(frequencies[1, :3]).min()


def test_force_constants_away_from_the_centre_are_those_of_springs():
    """Only sums over images were learned; the springs of each image are found all the same."""
    from random_springs import spring_hessian

    found = RandomForestForceConstants.from_trained(trained_on_springs())
    constants = found.force_constants(NEW, np.diag([2, 2, 2]))
    supercell = Structure(
        2.0 * NEW.lattice.matrix,
        constants.supercell_numbers,
        constants.supercell_scaled_positions,
    )
    truth = spring_hessian(supercell).reshape(48, 3, 48, 3).swapaxes(1, 2)
    blocks = constants.second_order_ev_per_angstrom2
    firsts = [int(np.argmin(np.abs(truth - one).sum(axis=(1, 2, 3)))) for one in blocks]
    assert np.abs(blocks - truth[firsts]).max() < 0.1
    assert np.abs(truth).max() > 3.0


def test_a_forest_has_no_dispersion():
    found = RandomForestForceConstants.from_trained(trained_on_springs("rf_frame"))
    with pytest.raises(SettingError, match="no dispersion"):
        found.force_constants(NEW, np.eye(3, dtype=np.int64))


def test_a_model_of_another_method_is_refused():
    other = replace(trained_on_springs(), method="linear-descriptor-entropy")
    with pytest.raises(ModelRefusedError):
        RandomForestForceConstants.from_trained(other)


@pytest.mark.parametrize(
    "spoil",
    [
        {"state": {}},
        {"state": {"settings": {"variant": "none"}}},
        {"arrays": {}},
        {"choice": [[11, 17, "neural"]]},
        {"choice": [[11, 17]]},
        {"calibration": {}},
        {"choice": []},
        {"choice": [[11, 17, "tensor_ridge"], [17, 99, "tensor_ridge"]]},
        {"correction": {"coefficients": [float("nan")], "low": 0, "high": 0, "mean_change": 0}},
        {"correction": {"coefficients": [], "low": 0, "high": 0, "mean_change": 0}},
        {"settings": {"n_members": 3}},
    ],
)
def test_a_model_with_missing_numbers_is_refused(spoil):
    whole = trained_on_springs()
    state = dict(whole.state) | {key: one for key, one in spoil.items() if key != "arrays"}
    broken = replace(
        whole,
        state=spoil.get("state", state),
        arrays=spoil.get("arrays", whole.arrays),
    )
    with pytest.raises(ModelCorruptError):
        RandomForestForceConstants.from_trained(broken)
