"""The benchmark of force constants on made-up sets, and its pure parts."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from screening.gaussian_process.fit import fit_force_constants
from stores.exporters.displaced_cells import write_displaced_cells

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
SIXTEEN_ATOMS = 2 * np.eye(3, dtype=np.int64)


@pytest.fixture(scope="module")
def modules():
    """The modules of the benchmark by name; at the end of the path, as when it is run."""
    path = list(sys.path)
    sys.path.append(BENCHMARKS)
    yield importlib.import_module
    sys.path[:] = path


@pytest.fixture(scope="module")
def cells(modules):
    return modules("gaussian_process_cost").rocksalt_cells(SIXTEEN_ATOMS, 16)


@pytest.fixture(scope="module")
def case(modules, cells):
    return modules("gaussian_process_cases").make_case("made up", cells)


@pytest.fixture(scope="module")
def fit(modules, case):
    few = modules("gaussian_process_cases").some_cells(case.cells, np.arange(2))
    return fit_force_constants(few, case.settings, basis=case.basis)


@pytest.mark.parametrize(
    ("n_cells", "held_out"), [(100, 40), (300, 60), (20, 10), (12, 6), (3, 1), (2, 1)]
)
def test_held_out_cells_are_in_no_draw(modules, n_cells, held_out):
    split = modules("gaussian_process_cases").divide(n_cells, 5, 5, seed=3)
    assert len(split.held_out) == held_out
    drawn = set(np.concatenate(split.draws).tolist())
    assert not drawn & set(split.held_out.tolist())
    assert drawn <= set(range(n_cells))
    for draw in split.draws:
        assert len(set(draw.tolist())) == len(draw)
    first = [int(draw[0]) for draw in split.draws]
    assert len(set(first)) == len(first)  # the draws of a single cell are different cells


def test_draws_of_a_large_set_have_no_cell_in_common(modules):
    split = modules("gaussian_process_cases").divide(100, 5, 5, seed=0)
    drawn = np.concatenate(split.draws).tolist()
    assert len(drawn) == len(set(drawn)) == 25


def test_least_squares_finds_force_constants_exactly(modules, case, fit):
    reference = modules("gaussian_process_reference")
    amplitudes = fit.sample(1, seed=4)[0]
    known = tuple(
        one.allowed(case.basis.project(one.order, values))
        for one, values in zip(
            case.basis.orders,
            (amplitudes.second_order_ev_per_angstrom2, amplitudes.third_order_ev_per_angstrom3),
            strict=True,
        )
    )
    moves = case.cells.displacements_angstrom
    held_out = modules("gaussian_process_measures").held_out_of(case, np.arange(len(moves)))
    forces = held_out.predicted(known)
    solved = reference.LeastSquares(case.basis, moves, forces)
    assert solved.determined()
    assert not solved.determined(equations_per_unknown=1e3)
    assert solved.n_unknowns == case.basis.n_unknowns
    for found, expected in zip(solved.amplitudes(), known, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-7 * np.abs(expected).max())
    assert solved.noise(solved.amplitudes()) < 1e-7
    harmonic = solved.amplitudes(highest_order=2)
    assert not harmonic[1].any()
    few = reference.LeastSquares(case.basis, moves[:1], forces[:1])
    assert few.determined() == (case.basis.n_unknowns <= 3 * 15)


def test_forces_of_compact_force_constants_are_those_of_the_basis(modules, case, fit):
    measures = modules("gaussian_process_measures")
    moves = case.cells.displacements_angstrom[:3]
    found = measures.forces_of(fit.force_constants, case.basis, moves)
    expected = fit.predict_forces(moves)[0] - case.cells.residual_forces_ev_per_angstrom
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_worst_draw_is_missing_where_a_needed_one_is(modules):
    worst = modules("gaussian_process_figures").worst
    assert worst([1.0, -3.0, 2.0], all_needed=True) == 3.0
    assert worst([1.0, None], all_needed=True) is None
    assert worst([1.0, None], all_needed=False) == 1.0
    assert worst([], all_needed=False) is None


def learning(modules, case, errors, within):
    """Measures with given errors of FC2, all else good, and a coverage."""
    learned = modules("gaussian_process_learning")
    one = modules("gaussian_process_measures").Measures
    measures = [
        one(
            learned.OURS,
            n_cells,
            draw,
            fc2_percent=error,
            fc3_percent=1.0,
            rmse_mev_per_angstrom=0.1,
            kappa_percent=-1.0,
            within_2=within,
        )
        for n_cells in (1, 2, 3)
        for draw, error in enumerate(errors)
    ]
    split = modules("gaussian_process_cases").divide(100, len(errors), 3, seed=0)
    reference = modules("gaussian_process_reference").Reference(
        "made up", None, 1e-4, None, None, 0.0, None, "", 0.0
    )
    return learned.Learning(case, split, reference, 40.0, 2.0, 0.1, tuple(measures))


class Named:
    """A case of which only the name matters."""

    def __init__(self, formula, n_cells=100):
        self.key = (formula, 64, n_cells)
        self.name = f"{formula} 64"


@pytest.mark.parametrize(
    ("named", "errors", "within", "missed"),
    [
        (Named("NaCl"), [0.1] * 5, 0.9, []),
        (Named("NaCl"), [0.1] * 4 + [0.3], 0.9, ["NaCl 64, 2 cells: FC2, worst of 5"]),
        (Named("NaCl"), [0.1] * 4, 0.9, ["NaCl 64: draws"]),
        (Named("MgO"), [0.1] * 4 + [0.3], 0.9, ["MgO 64, 3 cells: FC2, worst of 5"]),
        (Named("NaCl"), [0.1] * 5, 0.999, ["  the same from above"]),
        (
            Named("ZnO"),
            [50.0] * 2,
            0.5,
            ["ZnO 64: frequencies within 2 sigma, all draws and numbers"],
        ),
        (Named("NaCl", 99), [50.0] * 5, 0.9, []),
    ],
)
def test_requirements_hang_on_formula_atoms_and_cells(modules, named, errors, within, missed):
    figures = modules("gaussian_process_figures")
    found = figures.learning_figures(learning(modules, named, errors, within))
    assert [one.name for one in found if one.met is False] == missed


def test_a_required_number_of_cells_that_was_not_measured_is_missed(modules):
    figures = modules("gaussian_process_figures")
    found = learning(modules, Named("MgO"), [0.1] * 5, 0.9)
    found = replace(found, measures=tuple(x for x in found.measures if x.n_cells != 3))
    missed = [one.name for one in figures.learning_figures(found) if one.met is False]
    assert missed == [f"MgO 64, 3 cells: {x}, worst of 0" for x in ("FC2", "FC3", "kappa(300 K)")]


def test_the_whole_benchmark_runs_on_any_folder(modules, cells, tmp_path, monkeypatch, capsys):
    data = tmp_path / "data"
    write_displaced_cells(data / "third_order" / "made up", cells)
    broken = "displacements:\n- displacement: [1, 2\n  forces:\n"
    (data / "third_order" / "made up but broken.yaml").write_text(broken)
    report = tmp_path / "report.json"
    arguments = ["--quick", "--only", "made up", "--data", str(data), "--json", str(report)]
    arguments += ["--plots", str(tmp_path / "plots")]
    monkeypatch.setattr(sys, "argv", ["gaussian_process.py", *arguments])
    module = modules("gaussian_process")
    code = module.main()
    content = json.loads(report.read_text())
    figures = {one["name"]: one for one in content["figures"]}
    assert figures["sets of displaced cells used"]["value"] == 1
    assert figures["  files that cannot be used"]["value"] == 1
    assert any(name.startswith("  REFUSED made up but broken.yaml: ") for name in figures)
    ours = [x for x in content["learning"]["NaCl 16 made up"] if x["method"] == "Gaussian process"]
    assert [(x["n_cells"], x["draw"]) for x in ours] == [
        (count, draw) for count in (1, 2, 3) for draw in range(2)
    ]
    required = [one["name"] for one in content["figures"] if one["required"]]
    assert required == [
        "sets of displaced cells used",
        "NaCl 16: frequencies within 2 sigma, all draws and numbers",
        "  the same from above",
    ]
    assert code == int(any(one["met"] is False for one in content["figures"]))
    assert [path.suffix for path in (tmp_path / "plots").iterdir()] == [".png"]
    printed = capsys.readouterr().out
    assert "faithful RBF" in printed
    assert "refused" in printed
