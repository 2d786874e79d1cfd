"""The shape of the code: who imports whom, where each heavy library enters, how long things get."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("screening", "stores", "flows")
MODULES = sorted(
    path.relative_to(ROOT).as_posix()
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
)

MAY_IMPORT = {
    "screening": {"screening"},
    "stores": {"screening", "stores"},
    "flows": {"screening", "stores", "flows"},
}
OUTSIDE_THE_WHEEL = {"tests", "benchmarks", "notebooks", "examples"}

DOORS = {
    "torch": ("screening/calculators/*", "screening/predictors/*", "screening/network_*/*"),
    "e3nn": ("screening/calculators/*", "screening/network_potential/*"),
    "alignn": ("screening/network_dos/*",),
    "jarvis": ("screening/network_dos/*",),
    "chgnet": ("screening/calculators/*", "screening/predictors/*"),
    "mace": (
        "screening/calculators/*",
        "screening/predictors/*",
        "screening/network_potential/*",
    ),
    "gpaw": ("screening/calculators/gpaw.py",),
    "vesin": (
        "screening/calculators/*",
        "screening/descriptors/*",
        "screening/network_*/*",
    ),
    "sklearn": ("screening/random_forest/*", "screening/linear_entropy/*"),
    "mpmath": ("screening/descriptors/*",),
    "spglib": ("screening/symmetry_finder.py",),
    "seekpath": ("screening/*",),
    "symfc": ("screening/*",),
    "phono3py": (
        "screening/conductivity*.py",
        "screening/systematic_third_order.py",
        "stores/exporters/phono3py_files.py",
    ),
    # files of phonopy are read and written where files are: at the border of the database
    "phonopy": ("screening/*", "stores/importers*", "stores/exporters/*"),
    "pymongo": ("stores/*",),
    "bson": ("stores/*",),
    "mongomock_ng": ("stores/*",),
    "maggma": ("stores/*",),
    "emmet": ("stores/exporters/*",),
    "mp_api": ("stores/importers*",),
    "optimade": ("stores/importers*", "stores/api/*"),
    "pandas": ("stores/exporters/*",),
    "pyarrow": ("stores/exporters/*",),
    "zstandard": ("screening/packed_arrays.py",),
    "fastapi": ("stores/api/*",),
    "uvicorn": ("stores/api/*",),
    "jobflow": ("flows/*",),
    "fireworks": ("flows/launch/fireworks.py",),
    "jobflow_remote": ("flows/launch/remote.py",),
    "atomate2": ("flows/makers/vasp*.py",),
    "typer": ("flows/cli*",),
    "rich": ("flows/cli*", "flows/progress.py", "flows/tables/*"),
    "matplotlib": ("flows/plots/*",),
}
"""Heavy or foreign library, and the only files that may import it."""

NEVER = {"pickle", "dill", "cloudpickle", "shelve", "marshal", "matcalc"}
"""Loaders that run code, and a peer that only benchmarks compare with."""

SLOW_TO_IMPORT = {
    "alignn",
    "torch",
    "sklearn",
    "mpmath",
    "chgnet",
    "mace",
    "matplotlib",
    "pandas",
    "emmet",
    "mp_api",
    "atomate2",
}
"""What costs a second or more: imported where it is used, never by importing a package."""

WRITES_OPERATORS = {
    "stores/query*.py": "compiles typed filters to criteria",
    "stores/connect.py": "declares indexes",
    "stores/sqlite*.py": "implements the operators for SQLite",
    "stores/pipeline.py": "implements aggregation for SQLite",
    "stores/codec.py": "reads and writes MongoDB's extended JSON, whose type tags look alike",
    "stores/builders/*.py": "aggregations, of fields that the code names itself",
}
OPERATOR = re.compile(r"\$[a-zA-Z]+")

SAYS_A_NEXT_STEP = (
    "screening/conductivity*.py",
    "screening/repeated_cell.py",
    "screening/systematic_third_order.py",
    "screening/atom_order.py",
    "screening/descriptors/*",
    "screening/hessians.py",
    "screening/linear_entropy/*",
    "screening/network_dos/*",
    *(
        f"screening/network_potential/{name}.py"
        for name in ("labelled_cells", "rattling", "settings", "soft_displacements", "training")
    ),
    "screening/predictors/linear_entropy.py",
    "screening/predictors/random_forest.py",
    "screening/random_forest/*",
    "screening/random_packing.py",
    "screening/zone_centre_modes.py",
    *(
        f"screening/gaussian_process/{name}.py"
        for name in (
            *("checks", "coordinate*", "derivative_*", "design", "displacements", "learning"),
            *("linear_residual", "propagation", "symmetrised_kernel"),
        )
    ),
    "stores/importers/displaced_*.py",
    "stores/importers/phono3py_*.py",
    "stores/importers/labelled_frames.py",
    "stores/labelled_cells.py",
    "stores/training_cells.py",
    "flows/cell_*.py",
    "flows/gathered_cells.py",
    "flows/labell*.py",
    "flows/potential_*.py",
    "flows/kernels.py",
    "flows/learning_curves.py",
)
"""Where users bring numbers of their own: every error tells them what to do."""

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"), filename=module)


def imported(nodes: Iterator[ast.AST], module: str) -> set[str]:
    """Return the top-level names that these nodes import."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            root = module.partition("/")[0] if node.level else (node.module or "")
            names.add(root.partition(".")[0])
    return names


def at_import(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Walk what runs when a module is imported: not functions, not type-checking blocks."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
            continue
        yield statement
        for field in ("body", "orelse", "finalbody", "handlers"):
            for child in getattr(statement, field, []):
                yield from at_import(child.body if hasattr(child, "body") else [child])
                yield child


def functions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def strings(module: str) -> Iterator[str]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def declared(module: str) -> list[str] | None:
    """Return ``__all__`` or None."""
    for statement in tree(module).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(name, ast.Name) and name.id == "__all__" for name in targets):
                assert statement.value is not None
                return list(ast.literal_eval(statement.value))
    return None


def top_level_names(module: str) -> set[str]:
    """Return every name that the module's top level binds, or loads on first use."""
    defined = [node.name for node in tree(module).body if isinstance(node, ast.FunctionDef)]
    lazy = "__getattr__" in defined  # then the type-checking block lists what it can load
    names: set[str] = set(defined)
    for node in ast.walk(tree(module)) if lazy else at_import(tree(module).body):
        if isinstance(node, ast.Assign):
            names |= {name.id for target in node.targets for name in _names(target)}
        elif isinstance(node, ast.AnnAssign):
            names |= {name.id for name in _names(node.target)}
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return names


def _names(target: ast.AST) -> Iterator[ast.Name]:
    return (node for node in ast.walk(target) if isinstance(node, ast.Name))


def published_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by alphabet: the order that ruff keeps."""
    if name.isupper():
        return 0, name
    return (1 if name[:1].isupper() else 2), name


def test_every_package_is_seen() -> None:
    assert {module.partition("/")[0] for module in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module: str) -> None:
    package = module.partition("/")[0]
    ours = imported(ast.walk(tree(module)), module) & (set(PACKAGES) | OUTSIDE_THE_WHEEL)
    assert ours <= MAY_IMPORT[package]


@pytest.mark.parametrize("module", MODULES)
def test_a_heavy_library_comes_in_through_its_door(module: str) -> None:
    for library in imported(ast.walk(tree(module)), module) & set(DOORS):
        assert any(fnmatch(module, door) for door in DOORS[library]), library


@pytest.mark.parametrize("module", MODULES)
def test_nothing_that_runs_code_from_data_is_imported(module: str) -> None:
    assert not imported(ast.walk(tree(module)), module) & NEVER


@pytest.mark.parametrize("module", [name for name in MODULES if name.endswith("__init__.py")])
def test_a_package_door_imports_nothing_slow(module: str) -> None:
    assert not imported(at_import(tree(module).body), module) & SLOW_TO_IMPORT


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    script = f"import sys, {package}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = SLOW_TO_IMPORT | {"phonopy", "pymatgen", "ase", "jobflow", "maggma", "scipy"}
    assert not set(result.stdout.split()) & heavy


@pytest.mark.parametrize("module", MODULES)
def test_operators_are_written_where_queries_are_compiled(module: str) -> None:
    if any(fnmatch(module, pattern) for pattern in WRITES_OPERATORS):
        return
    assert not [text for text in strings(module) if OPERATOR.fullmatch(text)]


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("screening/")])
def test_screening_reads_no_environment_for_its_science(module: str) -> None:
    """Two doors touch it, to keep a foreign loader safe and a foreign library silent."""
    if module not in {"screening/calculators/mace_package.py", "screening/symmetry_finder.py"}:
        text = (ROOT / module).read_text(encoding="utf-8")
        assert not re.search(r"\b(environ|getenv)\b", text)


@pytest.mark.parametrize("module", MODULES)
def test_published_names_are_declared_sorted_and_real(module: str) -> None:
    public = {
        statement.name
        for statement in tree(module).body
        if isinstance(statement, ast.FunctionDef | ast.ClassDef)
        and not statement.name.startswith("_")
        and not any(".command(" in ast.unparse(mark) for mark in statement.decorator_list)
    }  # what typer registers is called by its name on the command line
    names = declared(module)
    if names is None:
        assert not public, f"{module} has public names and no __all__"
        return
    assert names == sorted(names, key=published_order)
    assert len(names) == len(set(names))
    assert public <= set(names)
    assert set(names) <= top_level_names(module)


@pytest.mark.parametrize(
    "module", [one for one in MODULES if any(fnmatch(one, name) for name in SAYS_A_NEXT_STEP)]
)
def test_errors_over_given_numbers_say_a_next_step(module: str) -> None:
    without = {
        node.lineno
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and not any(word.arg == "hint" for word in node.exc.keywords)
    }
    assert not without


@pytest.mark.parametrize("module", MODULES)
def test_modules_and_functions_stay_short(module: str) -> None:
    assert len((ROOT / module).read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES
    too_long = {node.name: lines_of(node) for node in functions(module)}
    assert not {name: n for name, n in too_long.items() if n > MAX_FUNCTION_LINES}


@pytest.mark.parametrize("module", MODULES)
def test_modules_open_with_what_may_live_there(module: str) -> None:
    text = tree(module)
    assert not text.body or ast.get_docstring(text)


@pytest.mark.parametrize("folder", ["", *PACKAGES, *sorted(OUTSIDE_THE_WHEEL)])
def test_nothing_that_a_merge_left_lies_about(folder: str) -> None:
    within = "*" if not folder else "**/*"
    found = (ROOT / folder).glob(within)
    assert not [path.name for path in found if path.suffix in {".orig", ".rej"}]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_ship_their_types(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
