"""The text a user types, and import paths."""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pytest

from screening.calculators import Committee, ForceCalculator, load_calculator
from screening.calculators.specification import parse_call, split_members
from screening.errors import ModelRefusedError, SettingError

EMT = "ase.calculators.emt.EMT"
LENNARD_JONES = "ase.calculators.lj.LennardJones"


def test_import_does_nothing_heavy() -> None:
    code = (
        "import sys, screening.calculators; "
        "print([m for m in ('torch', 'ase', 'chgnet', 'mace', 'vesin') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("a", ("a",)),
        (" a , b ", ("a", "b")),
        ("a.B(x=1, y=(2, 3)),c", ("a.B(x=1, y=(2, 3))", "c")),
        ("a.B(x='),(\\'')", ("a.B(x='),(\\'')",)),
        ('a.B(x="\\\\"),b', ('a.B(x="\\\\")', "b")),
    ],
)
def test_commas_in_brackets_and_quotes_do_not_split(text: str, members: tuple[str, ...]) -> None:
    assert split_members(text) == members


@pytest.mark.parametrize("text", ["", "  ", "a,,b", "a,", "a.B(", "a.B('x)", "x" * 5000])
def test_unreadable_text_is_refused(text: str) -> None:
    with pytest.raises(SettingError):
        load_calculator(text)


@pytest.mark.parametrize(
    "text",
    [
        "a.B(1)",
        "a.B(**{'x': 1})",
        "a.B(x=__import__('os').system('true'))",
        "a.B(x=open('/etc/passwd'))",
        "a.B(x=y)",
        "a.B()()",
        "a['b']",
        "lambda: 0",
        "a.B(x=1) if 1 else 2",
        "(" * 500 + "a" + ")" * 500,
        "a.B(x=[i for i in (1, 2)])",
    ],
)
def test_only_literals_behind_keywords(text: str) -> None:
    with pytest.raises(ModelRefusedError):
        parse_call(text)


@pytest.mark.parametrize(
    "path",
    [
        "nonsense",
        "no.such.module.Calculator",
        "ase.calculators.emt.Missing",
        "ase.Atoms",
        "ase.calculators.emt.parameters",
        "os.getcwd",
        "os.system(command='true')",
        "subprocess.run(args='true', shell=True)",
        "builtins.eval(source='1')",
        "ase.build.bulk(name='Cu')",
        f"{LENNARD_JONES}(sigma=1e999)",
        "chgnet:9.9",
    ],
)
def test_paths_that_name_no_calculator_are_refused(path: str) -> None:
    with pytest.raises(ModelRefusedError):
        load_calculator(path)


def test_a_refused_path_is_never_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    module = types.ModuleType("fake_module")
    module.Thing = type("Thing", (), {"__init__": lambda _: called.append(1)})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fake_module", module)
    with pytest.raises(ModelRefusedError):
        load_calculator("fake_module.Thing")
    assert called == []


def test_constructor_errors_are_named() -> None:
    with pytest.raises(ModelRefusedError, match="TypeError"):
        load_calculator("ase.calculators.mixing.SumCalculator(nope=1)")


def test_function_that_returns_a_calculator(monkeypatch: pytest.MonkeyPatch) -> None:
    from ase.calculators.lj import LennardJones

    def factory(sigma: float = 1.0) -> object:
        return LennardJones(sigma=sigma)

    def broken() -> object:
        return 3

    module = types.ModuleType("fake_factory")
    for function in (factory, broken):
        function.__module__ = "fake_factory"
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "fake_factory", module)
    calculator = load_calculator("fake_factory.factory(sigma=2.0)")
    assert calculator.name == "fake_factory.factory(sigma=2.0)"
    with pytest.raises(ModelRefusedError, match="int"):
        load_calculator("fake_factory.broken")


def test_ase_calculator_gives_what_ase_gives() -> None:
    from ase.build import bulk

    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    calculator = load_calculator(EMT)
    assert isinstance(calculator, ForceCalculator)
    assert calculator.members == ()
    copies = np.stack([atoms.positions, atoms.positions + 0.01])
    found = calculator.forces(atoms.cell.array, copies, atoms.numbers)
    energy, forces, stress = calculator.energy_forces_stress(
        atoms.cell.array, atoms.positions, atoms.numbers
    )
    from ase.calculators import emt

    atoms.calc = emt.EMT()
    np.testing.assert_allclose(found[0], atoms.get_forces(), atol=1e-12)
    np.testing.assert_allclose(found[1], found[0], atol=1e-10)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-12)
    np.testing.assert_allclose(stress, atoms.get_stress(voigt=False), atol=1e-12)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-12)


def test_one_instance_serves_cells_of_any_size() -> None:
    from ase.build import bulk

    calculator = load_calculator(EMT)
    for atoms in (bulk("Cu"), bulk("Al", cubic=True), bulk("Cu") * (2, 2, 2)):
        found = calculator.forces(atoms.cell.array, atoms.positions[None], atoms.numbers)
        assert found.shape == (1, len(atoms), 3)


def test_digest_depends_on_path_and_options_only() -> None:
    one = load_calculator(f"{LENNARD_JONES}(sigma=2.0, rc=6.0)")
    same = load_calculator(f"{LENNARD_JONES}(rc=6.0, sigma=2.0)")
    other = load_calculator(f"{LENNARD_JONES}(rc=6.0, sigma=2.5)")
    assert one.digest == same.digest
    assert len({one.digest, other.digest, load_calculator(EMT).digest}) == 3
    assert one.name == same.name == f"{LENNARD_JONES}(rc=6.0, sigma=2.0)"


def test_committee_is_the_mean_of_its_members() -> None:
    from ase.build import bulk

    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=1)
    spec = f"{LENNARD_JONES}(sigma=2.0, rc=6.0), {EMT}"
    committee = load_calculator(spec)
    assert isinstance(committee, Committee)
    assert isinstance(committee, ForceCalculator)
    args = (atoms.cell.array, atoms.positions, atoms.numbers)
    one, two = (member.energy_forces_stress(*args) for member in committee.members)
    found = committee.energy_forces_stress(*args)
    for mean, first, second in zip(found, one, two, strict=True):
        np.testing.assert_allclose(mean, (np.array(first) + np.array(second)) / 2, rtol=1e-14)
    assert committee.energy(*args) == pytest.approx(found[0], rel=1e-14)
    batch = committee.forces(args[0], atoms.positions[None], atoms.numbers)
    np.testing.assert_allclose(batch[0], found[1], rtol=1e-13, atol=1e-14)
    reverse = load_calculator(f"{EMT},{LENNARD_JONES}(sigma=2.0, rc=6.0)")
    assert committee.digest == reverse.digest != committee.members[0].digest


def test_committee_of_one_calculator_twice_is_refused() -> None:
    with pytest.raises(SettingError, match="different"):
        load_calculator(f"{EMT},{EMT}")
