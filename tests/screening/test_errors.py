import pickle
from collections import Counter

import pytest

from screening import errors
from screening.errors import ERROR_CODES, ScreeningError


def classes() -> list[type[ScreeningError]]:
    found, waiting = [], [ScreeningError]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if kind.__module__.startswith(errors.__name__):
            found.append(kind)
    return found


def test_codes_are_unique_and_belong_to_one_class() -> None:
    codes = Counter(vars(kind)["code"] for kind in classes() if vars(kind).get("code"))
    assert set(codes.values()) == {1}
    assert set(codes) == set(ERROR_CODES)
    assert all(ERROR_CODES[code].code == code for code in ERROR_CODES)


def test_every_leaf_has_a_code_in_capitals() -> None:
    for kind in classes():
        if not kind.__subclasses__():
            assert kind.code.replace("_", "").isalnum(), kind
            assert kind.code == kind.code.upper(), kind


def test_the_tree_in_the_module_docstring_is_complete() -> None:
    tree = errors.__doc__ or ""
    drawn = {
        words[0]: words[1] if len(words) > 1 and words[1].isupper() else ""
        for line in tree.splitlines()
        if (words := line.strip(" │├└─").split()) and words[0].endswith("Error")
    }
    assert drawn == {kind.__name__: kind.code for kind in classes()}


def test_the_tree_is_drawn_as_the_classes_inherit() -> None:
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip(" │├└─").split(" ")[0]
        if not name.endswith("Error"):
            continue
        depth = (line.index(name) - 4) // 4
        parents[depth:] = [name]
        if depth:
            assert getattr(errors, name).__bases__[0].__name__ == parents[depth - 1]


def test_public_names_are_the_classes() -> None:
    assert set(errors.__all__) == {kind.__name__ for kind in classes()} | {"ERROR_CODES"}


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_errors_cross_processes_whole(kind: type[ScreeningError]) -> None:
    error = kind("it broke", subject="NaCl.cif", hint="Mend it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.message, again.subject, again.hint) == ("it broke", "NaCl.cif", "Mend it")
    assert str(again) == "NaCl.cif: it broke. Mend it"


def test_message_without_subject_or_hint_stands_alone() -> None:
    assert str(ScreeningError("it broke")) == "it broke"
    assert str(ScreeningError("it broke", hint="Mend it")) == "it broke. Mend it"


def test_every_class_says_when_it_happens() -> None:
    assert all(kind.__doc__ for kind in classes())
