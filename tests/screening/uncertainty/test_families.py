"""What errs alike has one name, and only that."""

import pytest

from screening.uncertainty.families import method_family

POTENTIAL = {
    "method": "potential-phonons",
    "method_version": 1,
    "tier": 1,
    "model": "chgnet:0.3.0",
    "model_digest": "0123456789abcdef",
    "settings": {"relaxation": {"max_force": 0.01}, "phonons": {"mesh": 20}},
}


def named(**changes):
    return method_family(**{**POTENTIAL, **changes})


def test_a_mesh_makes_no_other_family():
    assert named(settings={**POTENTIAL["settings"], "phonons": {"mesh": 40}}) == named()


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "another"},
        {"method_version": 2},
        {"model": "mace"},
        {"model_digest": "f" * 16},
        {"settings": {"relaxation": None}},
    ],
)
def test_weights_version_and_relaxation_make_another_family(changes):
    assert named(**changes) != named()


def test_first_principles_are_named_without_a_digest():
    dft = {"method": "dft-phonons", "tier": 3, "model": "gpaw:PBE"}
    assert named(**dft) == named(**dft, model_digest="f" * 16) == "dft-phonons/1/gpaw:PBE"


def test_given_forces_are_one_family():
    assert named(method="given-forces", tier=3, model="a") == "given-forces"
    assert named(method="given-forces", tier=3, model="b") == "given-forces"
