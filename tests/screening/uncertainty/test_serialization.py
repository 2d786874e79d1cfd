"""A calibration read back is the same one; anything else is refused."""

import copy
import json
import math

import pytest
from calibrated_crystals import calibrate, pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.errors import InconsistentDataError
from screening.quantities import Property, Quantity
from screening.uncertainty.calibration import Calibration
from screening.uncertainty.risk import LowestFrequencies
from screening.uncertainty.serialization import (
    FORMAT,
    calibration_as_dict,
    calibration_from_dict,
)

QUANTITIES = (
    Quantity(Property.FREE_ENERGY, 300.0),
    Quantity(Property.LOWEST_FREQUENCY),
    Quantity(Property.FREE_ENERGY_DIFFERENCE, 300.0),
)
KNOWN = LowestFrequencies((1.0 / 3.0,), ("MgO",), (-2.0 / 3.0,), ("BaTiO3",))
PAIRS = pairs(12, prototypes=("rocksalt", "zincblende"))
FITTED = calibrate(PAIRS, *QUANTITIES, known_verdicts=KNOWN)
PLAIN = FITTED.as_dict()


def paths(value, path=()):
    """All places in a nested value."""
    yield path
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else items:
        yield from paths(inner, (*path, key))


PATHS = list(paths(PLAIN))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, -1, "1.0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def changed(path, value):
    found = copy.deepcopy(PLAIN)
    if not path:
        return value
    place = found
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return found


def test_a_calibration_survives_json():
    again = Calibration.from_dict(json.loads(json.dumps(PLAIN, allow_nan=False)))
    assert again.as_dict() == PLAIN
    assert again.calibration_id == FITTED.calibration_id


def test_a_calibration_read_back_answers_the_same():
    again = calibration_from_dict(json.loads(json.dumps(PLAIN)))
    for cheap, _ in PAIRS:
        for quantity in QUANTITIES[:2]:
            assert again.interval(cheap, quantity, 0.1) == FITTED.interval(cheap, quantity, 0.1)
        assert again.novelty(cheap) == FITTED.novelty(cheap)
        assert again.stability(cheap, 0.3) == FITTED.stability(cheap, 0.3)
    one, two = PAIRS[0][0], PAIRS[1][0]
    assert again.difference(one, two, QUANTITIES[2], 0.1) == FITTED.difference(
        one, two, QUANTITIES[2], 0.1
    )


@pytest.mark.parametrize("count", [0, 1, 2])
def test_small_calibrations_survive_too(count):
    small = calibrate(pairs(count), *QUANTITIES)
    again = Calibration.from_dict(json.loads(json.dumps(small.as_dict(), allow_nan=False)))
    assert again.as_dict() == small.as_dict()
    cheap = PAIRS[0][0]
    assert again.interval(cheap, QUANTITIES[0], 0.1) == small.interval(cheap, QUANTITIES[0], 0.1)


def test_nothing_is_infinite():
    def numbers(value):
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from numbers(inner)
        elif isinstance(value, float):
            yield value

    for fitted in (FITTED, calibrate([], *QUANTITIES), calibrate(PAIRS[:1], *QUANTITIES)):
        assert all(math.isfinite(number) for number in numbers(calibration_as_dict(fitted)))


def read(values):
    """Return the calibration, or None where it is refused; any other error is a failure."""
    try:
        return calibration_from_dict(values)
    except InconsistentDataError:
        return None


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(PATHS), JSON)
def test_a_changed_value_is_refused_or_is_a_calibration(path, value):
    found = read(changed(path, value))
    assert found is None or read(found.as_dict()).as_dict() == found.as_dict()


@pytest.mark.parametrize("value", [1.7e308, -1.7e308, 10**308, 123456789.123456789, 1e-300])
def test_huge_numbers_stay_finite_and_the_same(value):
    found = read(changed(("correction", "log_scales", 0), value))
    assert math.isfinite(found.as_dict()["correction"]["log_scales"][0])
    assert read(found.as_dict()).as_dict() == found.as_dict()


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([path for path in PATHS if path]))
def test_a_missing_value_is_refused_unless_it_is_one_of_any_number(path):
    values = copy.deepcopy(PLAIN)
    place = values
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    if read(values) is not None:
        assert path[0] in {"tables", "shares", "skipped", "material_ids"} or path[1] == "prior"


@settings(deadline=None, max_examples=100)
@given(JSON)
def test_any_other_json_is_refused(value):
    with pytest.raises(InconsistentDataError, match="format"):
        calibration_from_dict(value)


@pytest.mark.parametrize(
    "path",
    [
        ("correction", "log_scales", 0),
        ("correction", "features", 0, 0),
        ("correction", "prior", "noise"),
        ("domain", "reach"),
        ("tables", QUANTITIES[0].name, "scores", 0),
        ("shares", QUANTITIES[2].name),
        ("lowest_frequencies", "stable_thz", 0),
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf, True, "1.0", None, 10**400, [1.0]])
def test_what_is_no_finite_number_is_refused(path, value):
    with pytest.raises(InconsistentDataError, match="cannot be read"):
        calibration_from_dict(changed(path, value))


@pytest.mark.parametrize(
    "path",
    [
        ("correction", "log_scales"),
        ("correction", "compositions"),
        ("correction", "features"),
        ("correction", "features", 0),
        ("domain", "compositions"),
        ("tables", QUANTITIES[0].name, "scores"),
        ("tables", QUANTITIES[0].name, "classes"),
        ("lowest_frequencies", "unstable_compositions"),
    ],
)
def test_lists_that_do_not_match_are_refused(path):
    value = PLAIN
    for key in path:
        value = value[key]
    with pytest.raises(InconsistentDataError, match="cannot be read"):
        calibration_from_dict(changed(path, value[:-1]))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("domain", "reach"), -1.0),
        (("tables", QUANTITIES[0].name, "scores", 0), -1.0),
        (("correction", "prior", "noise"), 0.0),
        (("correction", "prior", "surprise"), 1.0),
        (("skipped",), {"reason": -1}),
        (("cheap_family",), None),
        (("material_ids",), "abc"),
    ],
)
def test_what_makes_no_sense_is_refused(path, value):
    with pytest.raises(InconsistentDataError, match="cannot be read"):
        calibration_from_dict(changed(path, value))


def test_another_version_of_the_format_is_refused():
    with pytest.raises(InconsistentDataError, match="phonoscreen calibration 1"):
        calibration_from_dict(changed(("format",), FORMAT.replace("1", "2")))
