"""What is said of the calibration that a screen rests on."""

from types import SimpleNamespace

import pytest

from flows import calibrating
from flows.calibrating import calibration_note, export_calibrations, known_calibrations
from screening.uncertainty.shipped import shipped_calibrations
from stores.connect import open_database

SHIPPED = shipped_calibrations()[0]
CODE = SHIPPED.reference_family.partition("@")[0]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (SHIPPED.reference_family, ""),
        (f"{CODE}@{'0' * 12}/relaxed", "but perhaps other settings"),
        ("dft-phonons/1/vasp:PBE@00/relaxed", "but from another source"),
    ],
)
def test_a_note_says_where_the_reference_differs(monkeypatch, wanted, said):
    monkeypatch.setattr(calibrating, "family_of", lambda _: wanted)
    note = calibration_note(SHIPPED, SimpleNamespace())
    assert note.endswith(said)
    assert (SHIPPED.reference_family in note) == (wanted in note) == bool(said)


def test_without_a_better_method_the_note_names_what_was_calibrated_against():
    note = calibration_note(SHIPPED, None)
    assert SHIPPED.reference_family in note
    assert "no better method" in note


def test_two_of_the_same_families_get_two_files(uri, tmp_path):
    with open_database(uri) as database:
        known = [one.calibration for one in known_calibrations(database)]
    written = export_calibrations([SHIPPED, SHIPPED], tmp_path)
    assert [one.calibration_id for one in known].count(SHIPPED.calibration_id) == 1
    assert len(set(written)) == 2
    assert SHIPPED.calibration_id[:12] in written[1].name
