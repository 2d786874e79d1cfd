"""What errs alike has one name, and only that."""

import pytest

from screening.uncertainty.families import closeness, method_family

POTENTIAL = {
    "method": "potential-phonons",
    "method_version": 1,
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


def test_settings_of_a_first_principles_code_make_another_family():
    dft = {"method": "dft-phonons", "model": "gpaw:PBE", "settings": {"relaxation": None}}
    assert named(**dft) == "dft-phonons/1/gpaw:PBE@0123456789ab/as-given"
    assert named(**dft) != named(**dft, model_digest="f" * 16)


def test_given_forces_are_named_by_their_source():
    assert named(method="given-forces", model="PhononDB-PBE") == "given-forces/PhononDB-PBE"


def test_only_the_same_functional_may_stand_for_another():
    gpaw = named(method="dft-phonons", model="gpaw:PBE")
    other = named(method="dft-phonons", model="gpaw:PBE", model_digest="f" * 16)
    espresso = named(method="dft-phonons", model="espresso:PBE")
    given = named(method="given-forces", model="PhononDB-PBE")
    local = named(method="dft-phonons", model="gpaw:LDA")
    unknown = named(method="given-forces", model="somebody")
    found = [closeness(one, gpaw) for one in (gpaw, other, espresso, given, local, unknown)]
    assert found == [3, 2, 1, 1, 0, 0]
