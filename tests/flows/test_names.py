"""Materials are called what people call them, and no two alike."""

from flows.names import names_of, short_names, with_names
from stores.connect import open_database


def row(name, label=None, formula="SiC"):
    return {
        "material_id": name,
        "formula_reduced": formula,
        "label": label,
        "space_group_symbol": "F-43m",
    }


def test_labels_win_and_keys_are_shortened():
    found = short_names([row("ps-0123456789abcdef", "3C"), row("ps-fedcba9876543210")])
    assert list(found.values()) == ["3C", "F-43m ps-fedcba"]


def test_two_with_one_label_are_told_apart_within_a_composition():
    same = [row("ps-0123456789abcdef", "cubic"), row("ps-fedcba9876543210", "cubic")]
    assert set(short_names(same).values()) == {"cubic ps-012345", "cubic ps-fedcba"}
    other = [row("ps-0123456789abcdef", "cubic"), row("ps-fedcba9876543210", "cubic", "ZnS")]
    assert set(short_names(other).values()) == {"cubic"}


def test_names_of_a_database(uri, names):
    with open_database(uri, read_only=True) as database:
        found = names_of(database, [names[0], "ps-nowhere"])
    assert found.pop("ps-nowhere") == "ps-nowhere"
    assert len(set(found.values())) == 2  # the other structure of the same metal is named too
    assert names[0] in found
    assert all(name in names and name[:9] in called for name, called in found.items())


def test_only_whole_keys_are_replaced():
    known = {"ps-0a": "A"}
    assert with_names("ps-0a = ps-0a; ps-0abc, zps-0a", known) == "A = A; ps-0abc, zps-0a"
