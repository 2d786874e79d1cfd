"""What is far from all calibrated crystals is out of the domain."""

import math

import numpy as np
import pytest
from calibrated_crystals import FORMULAS, crystal, modes, sample

from screening.uncertainty.domain import fit_domain

RNG = np.random.default_rng(0)


def halides(count=28):
    return [
        sample(f"{a}{b}", crystal(a, b, volume=RNG.uniform(30, 60)), modes(RNG.uniform(6, 12)))
        for a, b in FORMULAS[:count]
    ]


def domain_of(samples):
    return fit_domain(
        np.array([one.domain_features for one in samples]), [one.composition for one in samples]
    )


def test_calibrated_crystals_are_inside():
    domain = domain_of(halides())
    novelties = [domain.novelty(features) for features in domain.features]
    assert max(novelties) <= 1.0


@pytest.mark.parametrize("count", [3, 8, 15, 40])
def test_an_exchangeable_crystal_is_novel_once_in_as_many_as_were_calibrated(count):
    novel = []
    for _ in range(300):
        features = RNG.normal(size=(count + 1, 7))
        domain = fit_domain(features[:-1], [str(index) for index in range(count)])
        novel.append(domain.novelty(features[-1]) > 1.0)
    expected = 1.0 / (count + 1)
    assert np.mean(novel) == pytest.approx(expected, abs=0.05 + 3.0 * math.sqrt(expected / 300))


def test_a_metal_is_novel_among_halides():
    metal = sample("CuAl", crystal("Cu", "Al", "cesium-chloride", 26.0), modes(8.0))
    assert domain_of(halides()).novelty(metal.domain_features) > 1.0


def test_hydrogen_is_novel_among_halides():
    light = sample("BH", crystal("B", "H", "zincblende", 12.0), modes(60.0))
    assert domain_of(halides()).novelty(light.domain_features) > 1.5


def test_novelty_grows_with_the_distance():
    domain = domain_of(halides())
    away = RNG.normal(size=7)
    centre = domain.features.mean(axis=0)
    found = [domain.novelty(centre + x * away) for x in (0.0, 1.0, 2.0, 4.0)]
    assert found == sorted(found)
    assert found[3] == pytest.approx(2.0 * found[2])


def test_polymorphs_of_one_composition_are_no_domain():
    features = RNG.normal(size=(5, 7))
    assert fit_domain(features, ["ZnS"] * 5).novelty(features[0]) == math.inf
    assert fit_domain(features[:0], []).novelty(features[0]) == math.inf
    assert math.isfinite(fit_domain(features, ["ZnS"] * 4 + ["ZnO"]).novelty(features[0]))


def test_the_order_of_the_crystals_does_not_matter():
    features, names = RNG.normal(size=(12, 7)), [f"c{i // 2}" for i in range(12)]
    order = RNG.permutation(12)
    one = fit_domain(features, names)
    other = fit_domain(features[order], [names[i] for i in order])
    assert one.reach == pytest.approx(other.reach)
    assert one.novelty(np.ones(7)) == pytest.approx(other.novelty(np.ones(7)))


def test_a_direction_in_which_nothing_varied_does_not_make_all_novel():
    features = RNG.normal(size=(30, 7))
    features[:, 6] = 0.0
    slightly = np.zeros(7)
    slightly[6] = 0.2
    assert fit_domain(features, [str(i) for i in range(30)]).novelty(slightly) <= 1.0
