"""Options of a routed screen: what goes together, and what the fallback takes over."""

import json
from dataclasses import replace

import pytest

from flows.asking import RoutingOptions, fallback_step, work_of
from flows.ladder import read_ladder
from screening.errors import SettingError
from screening.settings import ScreeningSettings

EMT = "ase.calculators.emt.EMT"
DFT = "pretended_dft.StifferEmt"


def test_without_a_question_it_is_a_plain_screen(small):
    assert work_of(RoutingOptions(), EMT, small) is None


@pytest.mark.parametrize(
    "options",
    [
        {"tolerance": 5.0},
        {"at": "300"},
        {"alpha": 0.1},
        {"fallback": (DFT,)},
        {"max_dft": 3},
        {"budget_hours": 2.0},
    ],
)
def test_options_of_a_question_need_one(small, options):
    with pytest.raises(SettingError, match="without a question") as caught:
        work_of(RoutingOptions(**options), EMT, small)
    assert next(iter(options)).split("_")[0] in caught.value.message


@pytest.mark.parametrize("options", [{"max_dft": 3}, {"budget_hours": 2.0}])
def test_a_budget_needs_something_to_spend_it_on(small, options):
    with pytest.raises(SettingError, match="without a better method"):
        work_of(RoutingOptions(("stability",), **options), EMT, small)


@pytest.mark.parametrize(
    "options",
    [
        {"questions": ("free-energy",)},  # no tolerance
        {"questions": ("free-energy",), "tolerance": 0.0},
        {"questions": ("stability",), "tolerance": 5.0},
        {"questions": ("free-energy within 5", "free-energy within 10")},
        {"questions": ("why",)},
        {"questions": ("stability",), "at": "warm"},
        {"questions": ("stability",), "fallback": (DFT,), "budget_hours": -1.0},
        {"questions": ("free-energy",), "tolerance": [5.0, 10.0]},
        {"questions": ("stability",), "alpha": 0.5},
    ],
)
def test_contradictions_are_refused_before_anything_is_computed(small, options):
    with pytest.raises(SettingError):
        work_of(RoutingOptions(**options), EMT, small)


def test_what_is_given_twice_is_refused_by_its_name(small):
    with pytest.raises(SettingError, match="given 2 times") as caught:
        work_of(RoutingOptions(("free-energy",), tolerance=[5.0, 10.0]), EMT, small)
    assert caught.value.subject == "--tolerance"
    work = work_of(RoutingOptions(("free-energy",), tolerance=[5.0], at=["500"]), EMT, small)
    assert work.questions[0].text == "free_energy at 500 K within 5 meV/atom"
    assert work_of(RoutingOptions(tolerance=[], at=[]), EMT, small) is None


def test_temperatures_are_refused_by_the_option_they_came_from(small):
    with pytest.raises(SettingError) as caught:
        work_of(RoutingOptions(("free-energy",), tolerance=5.0, at="foo"), EMT, small)
    assert caught.value.subject == "--at"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999", '"wide"'])
def test_a_number_that_is_none_is_refused_in_words(small, tmp_path, value):
    file = tmp_path / "dft.json"
    file.write_text(f'{{"phonons": {{"displacement_angstrom": {value}}}}}')
    with pytest.raises(SettingError) as caught:
        fallback_step(DFT, file, small)
    assert "http" not in caught.value.message


def test_everything_that_was_typed_arrives(small):
    options = RoutingOptions(
        ("free-energy", "order"),
        tolerance=5.0,
        at="300,1000",
        alpha=0.2,
        fallback=(DFT,),
        max_dft=3,
        budget_hours=1.5,
    )
    work = work_of(options, EMT, small)
    assert [question.text for question in work.questions] == [
        "free_energy at 300, 1000 K within 5 meV/atom",
        "order from 300 to 1000 K",
    ]
    assert (work.alpha, work.budget.max_calculations, work.budget.core_hours) == (0.2, 3, 1.5)
    assert [step.tier for step in read_ladder(work.ladder).steps] == [1, 3]


def test_the_fallback_takes_over_all_that_its_file_does_not_change(small, tmp_path):
    phonons = replace(small.phonons, displacement_angstrom=0.03, adaptive=True)
    settings = replace(small, phonons=phonons)
    file = tmp_path / "dft.json"
    file.write_text(json.dumps({"relaxation": None, "phonons": {"supercell": {"max_atoms": 32}}}))
    plain = fallback_step(DFT, file, settings)
    found = ScreeningSettings.from_dict(plain["settings"])
    assert found.relaxation is None
    assert found.phonons.supercell == replace(small.phonons.supercell, max_atoms=32)
    assert found.phonons.displacement_angstrom is None  # its own, not the potential's
    assert not found.phonons.adaptive
    assert found.thermodynamics == settings.thermodynamics


def test_settings_of_vasp_stand_apart(small, tmp_path):
    file = tmp_path / "vasp.json"
    file.write_text(json.dumps({"vasp": {"encut_ev": 520}}))
    assert fallback_step("vasp", file, small)["vasp"] == {"encut_ev": 520}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"colour": 1}', '{"phonons": {"colour": 1}}'])
def test_a_bad_file_is_refused(small, tmp_path, text):
    file = tmp_path / "bad.json"
    file.write_text(text)
    with pytest.raises(SettingError):
        fallback_step(DFT, file, small)
