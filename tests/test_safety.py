"""No unsafe loader anywhere: what reads data must not be able to run it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("screening", "stores", "flows", "benchmarks", "examples", "tests")

FORBIDDEN_CALLS = {
    "eval",
    "exec",
    "compile",
    "__import__",
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "cPickle.load",
    "dill.load",
    "dill.loads",
    "cloudpickle.load",
    "cloudpickle.loads",
    "joblib.load",
    "shelve.open",
    "marshal.load",
    "marshal.loads",
    "pandas.read_pickle",
    "pd.read_pickle",
    "yaml.load",
    "yaml.load_all",
    "yaml.unsafe_load",
    "yaml.unsafe_load_all",
    "yaml.full_load",
    "phonopy.load",
    "read_phonopy_yaml",
    "loadfn",
    "os.system",
    "os.popen",
}
FORBIDDEN_NAMES = {"MontyDecoder", "UnsafeLoader", "FullLoader", "YAML_UNSAFE"}

EXCEPTIONS = {
    ("stores/importers/phonopy_yaml.py", "yaml.load"): (
        "the loader is CSafeLoader (SafeLoader without the C library), checked below"
    ),
    ("screening/calculators/mace.py", "torch.load without weights_only=True"): (
        "MACE models are pickled modules; only bytes whose SHA-256 is known or was given by the "
        "user come here"
    ),
}
"""Places that are allowed, each with its reason."""

TRUSTED_ROOMS = {
    "tests": {
        "pickle.loads": "bytes that the same test has just made",
        "phonopy.load": "phonopy itself is the reference, on data that the tests name",
        "yaml.load": "reference data that the tests name, with a safe loader",
        "MontyDecoder": "jobs that the same test has just made",
    },
    "benchmarks": {"phonopy.load": "phonopy itself is the peer, on data that the user names"},
}
"""What code that never meets outside data may do."""


def _files() -> list[Path]:
    files = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return [path for path in files if path != Path(__file__)]


def _dotted(node: ast.expr) -> str:
    """Return a.b.c of a call's target, or nothing."""
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value)
        return f"{head}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _keyword(call: ast.Call, name: str) -> object:
    for keyword in call.keywords:
        if keyword.arg == name and isinstance(keyword.value, ast.Constant):
            return keyword.value.value
    return None


def _faults(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of everything unsafe in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from ((node.lineno, name) for name in _unsafe_call(node))
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_NAMES:
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield from (
                (node.lineno, alias.name) for alias in node.names if alias.name in FORBIDDEN_NAMES
            )


def _unsafe_call(call: ast.Call) -> Iterator[str]:
    name = _dotted(call.func)
    if name in FORBIDDEN_CALLS or any(name.endswith(f".{f}") for f in FORBIDDEN_CALLS if "." in f):
        yield name
    if name.endswith("torch.load") and _keyword(call, "weights_only") is not True:
        yield "torch.load without weights_only=True"
    if _keyword(call, "allow_pickle") is True:
        yield "allow_pickle=True"
    if _keyword(call, "shell") is True:
        yield "shell=True"
    if name.endswith("extractall"):
        yield "extractall"


def test_no_module_has_an_unsafe_loader():
    found = []
    used = set()
    for path in _files():
        relative = path.relative_to(ROOT).as_posix()
        for line, name in _faults(ast.parse(path.read_text(encoding="utf-8"))):
            if (relative, name) in EXCEPTIONS:
                used.add((relative, name))
            elif name not in TRUSTED_ROOMS.get(relative.split("/")[0], {}):
                found.append(f"{relative}:{line}: {name}")
    assert not found, "\n".join(found)
    assert used == set(EXCEPTIONS), "an exception that nothing uses any more"


@pytest.mark.parametrize(
    "code",
    [
        "eval('1')",
        "import pickle\npickle.loads(b'')",
        "import yaml\nyaml.load('a', Loader=yaml.SafeLoader)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "from monty.json import MontyDecoder",
        "import monty.json\nmonty.json.MontyDecoder().decode('{}')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import tarfile\ntarfile.open('x').extractall()",
        "import phonopy\nphonopy.load('x.yaml')",
    ],
)
def test_the_check_sees_what_it_is_made_for(code):
    assert list(_faults(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "import yaml\nyaml.safe_load('a')",
        "import torch\ntorch.load('x', weights_only=True)",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "model.eval()",
        "import re\nre.compile('a')",
        "import json\njson.load(open('x'))",
    ],
)
def test_the_check_lets_safe_code_pass(code):
    assert not list(_faults(ast.parse(code)))


def test_the_yaml_loader_in_use_is_a_safe_one():
    import yaml

    from stores.importers import phonopy_yaml

    allowed = {yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)}
    assert phonopy_yaml._Loader in allowed


def test_the_cif_reader_in_use_has_no_code_in_it():
    """Releases of pymatgen before 2025.10.7 evaluate text of CIF files."""
    from importlib.metadata import version

    year, month, day = (int(part) for part in version("pymatgen").split(".")[:3])
    assert (year, month, day) >= (2025, 10, 7)
