import json
from dataclasses import replace

import numpy as np
import pytest
from pretended_spectra import debye_mesh, pair_of, scaled

from screening.errors import ModelCorruptError, SettingError, TrainingSetError
from screening.network_potential.softening import (
    CompositionWeights,
    FrequencyScale,
    fit_frequency_scale,
    frequency_scale_of,
    with_frequency_scale,
)
from screening.trained_model import TrainedModel


def soft_pairs(factors):
    """Crystals whose prediction must be multiplied by these factors, two to a composition."""
    meshes = [debye_mesh(6.0 + index, seed=index) for index in range(len(factors))]
    return [
        pair_of(f"m{index}", f"X{index // 2}", mesh, scaled(mesh, 1.0 / factor))
        for index, (mesh, factor) in enumerate(zip(meshes, factors, strict=True))
    ]


@pytest.fixture
def model():
    return TrainedModel(
        method="mace-potential",
        name="tiny",
        elements=(11, 17),
        arrays={"w": np.ones(3)},
        state={"architecture": {"channels": 4}, "frequency_scale": None},
        card={},
        training_set_digest="0" * 64,
        n_training_samples=4,
    )


def test_a_known_factor_is_recovered_exactly():
    scale = fit_frequency_scale(soft_pairs([1.35] * 6), "springs")
    assert scale.factor == pytest.approx(1.35, rel=1e-13)
    assert scale.rms_before > 0.5
    assert scale.rms_after == pytest.approx(0.0, abs=1e-6)
    assert scale.std == pytest.approx(0.0, abs=1e-12)
    assert (scale.n_crystals, scale.n_compositions, scale.left_out_weight) == (6, 3, 0.0)
    assert scale.compositions == tuple(sorted({one.group for one in soft_pairs([1.35] * 6)}))


def test_identical_spectra_need_no_scale():
    scale = fit_frequency_scale(soft_pairs([1.0] * 4), "springs")
    assert scale.factor == 1.0
    assert scale.rms_before == scale.rms_after == 0.0


def test_spread_over_compositions_is_the_uncertainty():
    rng = np.random.default_rng(3)
    factors = np.repeat(1.2 + 0.1 * rng.normal(size=20), 2)
    scale = fit_frequency_scale(soft_pairs(factors), "springs", n_resamples=400)
    assert scale.factor == pytest.approx(1.2, abs=0.08)
    assert scale.std == pytest.approx(factors.std() / np.sqrt(20), rel=0.5)
    again = fit_frequency_scale(soft_pairs(factors), "springs", n_resamples=400)
    assert again == scale


def test_polymorphs_of_one_composition_count_once():
    mesh, other = debye_mesh(8.0, 0), debye_mesh(8.0, 1)
    many = [pair_of(f"a{i}", "A", mesh, scaled(mesh, 1 / 1.5)) for i in range(9)]
    one = [pair_of("b", "B", other, other)]
    factor = fit_frequency_scale(many + one, "springs").factor
    assert factor == fit_frequency_scale(many[:1] + one, "springs").factor


def test_modes_that_no_factor_repairs_take_no_part():
    mesh = debye_mesh(8.0, 0)
    predicted = mesh.frequencies_thz / 1.25
    predicted[5] = -3.0
    scale = fit_frequency_scale(
        [pair_of("a", "A", mesh, replace(mesh, frequencies_thz=predicted))], "springs"
    )
    assert scale.factor == pytest.approx(1.25, rel=1e-13)
    assert scale.left_out_weight == pytest.approx(
        mesh.weights[5] * 6 / (6 - 3 * mesh.weights[0]), rel=1e-12
    )
    assert scale.std is None  # one composition


def test_nothing_to_fit_is_refused():
    mesh = debye_mesh(8.0, 0)
    for pairs in ([], [pair_of("a", "A", mesh, scaled(mesh, -1.0))]):
        with pytest.raises(TrainingSetError):
            fit_frequency_scale(pairs, "springs")
    with pytest.raises(SettingError):
        fit_frequency_scale([pair_of("a", "A", mesh, scaled(mesh, 0.2))], "springs")


def test_energies_and_force_constants_go_with_the_square():
    """Frequencies of force constants times s**2 are s times the frequencies."""
    scale = fit_frequency_scale(soft_pairs([1.3] * 4), "springs")
    matrix = np.array([[3.0, -1.0], [-1.0, 2.0]])
    before, after = (np.sqrt(np.linalg.eigvalsh(x)) for x in (matrix, scale.energy_factor * matrix))
    np.testing.assert_allclose(after, 1.3 * before, rtol=1e-12)


def test_it_travels_with_the_model_and_changes_its_digest(model):
    scale = fit_frequency_scale(soft_pairs([1.3, 1.2, 1.4, 1.1]), "springs")
    corrected = with_frequency_scale(model, scale)
    assert frequency_scale_of(model) is None
    assert frequency_scale_of(corrected) == scale
    assert corrected.digest != model.digest
    assert with_frequency_scale(corrected, None).digest == model.digest
    assert FrequencyScale.from_dict(json.loads(json.dumps(scale.as_dict()))) == scale
    assert f"{scale.factor:.4f}" in scale.note


@pytest.mark.parametrize(
    ("key", "value"),
    [("factor", "soft"), ("factor", 9.0), ("factor", float("nan")), ("kind", "guess"), ("std", -1)],
)
def test_a_damaged_scale_is_refused(model, key, value):
    scale = fit_frequency_scale(soft_pairs([1.3] * 2), "springs")
    state = {"frequency_scale": {**scale.as_dict(), key: value}}
    with pytest.raises(ModelCorruptError):
        frequency_scale_of(replace(model, state=state))
    del state["frequency_scale"]["factor"]
    with pytest.raises(ModelCorruptError):
        frequency_scale_of(replace(model, state=state))


def test_resampled_weights_keep_compositions_together():
    rows = CompositionWeights.of(["A", "B", "A", "C"])
    assert rows.weights.tolist() == [0.5, 1.0, 0.5, 1.0]
    for weights in rows.resampled(20, seed=1):
        assert weights[0] == weights[2]
        assert weights.sum() == pytest.approx(3.0)
