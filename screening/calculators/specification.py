"""From the text a user types to a calculator.

    phonoscreen                          the small MACE that is installed with the project: default
    chgnet                               packaged weights 0.3.0 (also chgnet:r2scan)
    mace:/path/file.psm                  a potential that was trained here; @SHA256 if wanted
    mace:/path/file.psm#4                a committee of four potentials, drawn around it from the
                                         posterior of its last layer ('train mace --last-layer');
                                         their mean is the potential itself
    mace:medium@0123456789abcdef         a published model, downloaded once, with its SHA-256
    mace:/path/file.model@0123456789abcdef  a file, with the start of its SHA-256
    ase.calculators.lj.LennardJones(rc=8.0, smooth=True)
    mace:FILE@SHA256#NAME                one head of a model that has several
    gpaw(ecut_ev=500)                    density functional theory in plane waves
    espresso(pseudo_dir='/path', born=True)  the same with the pw.x and ph.x installed
    phonoscreen,chgnet                   a committee: the mean of its members

Arguments are literals behind keywords: the text is parsed, never evaluated.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import Any

from screening.calculators.committee import joined
from screening.calculators.interface import ForceCalculator
from screening.errors import ModelRefusedError, SettingError
from screening.shipped_models import INSTALLED, SHIPPED_MODELS

__all__ = [
    "DEFAULT_CALCULATOR",
    "is_first_principles",
    "load_calculator",
    "parse_call",
    "runs_no_code",
    "split_members",
]

DEFAULT_CALCULATOR = INSTALLED
"""What computes where nobody says: it is installed with the project and works offline."""

_MAX_LENGTH = 4000
_SOLVE_FOR_ELECTRONS = {
    "chgnet": False,
    "mace": False,
    INSTALLED: False,
    "gpaw": True,
    "espresso": True,
}
_SHIPPED = "|".join(map(re.escape, (INSTALLED, *SHIPPED_MODELS["mace"])))
_PLAIN = re.compile(
    rf"{INSTALLED}|mace:({_SHIPPED})|chgnet(:[\w.]+)?|mace:[^@#]+\.psm(@\w+)?(#\d+)?"
)
_OPENING, _CLOSING = "([{", ")]}"


def load_calculator(spec: str) -> ForceCalculator:
    """Load the calculator that a specification names.

    Parameters
    ----------
    spec
        ``phonoscreen``, ``chgnet``, ``mace:FILE.psm``, ``mace:FILE.psm#4``,
        ``mace:FILE@SHA256``, ``mace:NAME@SHA256``, ``gpaw(key=value)``,
        ``espresso(key=value)``, ``module.path.Class(key=value)`` or several of them with commas
        between.

    Raises
    ------
    SettingError
        If the text cannot be read.
    ModelRefusedError
        If it names nothing usable, a file without its digest, or asks for a committee of a
        potential that carries no last layer.
    ModelUnavailableError
        If a package must be installed or a model downloaded first.
    ExecutableMissingError, PseudopotentialMissingError
        If a density functional code or its pseudopotentials are not installed.
    ModelCorruptError
        If a file does not have the digest given.
    """
    return joined([_load_one(part) for part in split_members(spec)])


def _load_one(spec: str) -> ForceCalculator:
    """Load a single calculator."""
    family, colon, rest = spec.partition(":")
    if family == "chgnet" and "(" not in spec:
        from screening.calculators.chgnet import DEFAULT_VERSION, load_chgnet

        return load_chgnet(rest if colon else DEFAULT_VERSION)
    if family == "mace" or spec.partition("#")[0] == INSTALLED:
        from screening.calculators.mace import load_mace_or_samples

        named = rest if colon else spec
        return load_mace_or_samples(INSTALLED if spec == "mace" else named)
    path, options = parse_call(spec)
    if path == "gpaw":
        from screening.calculators.gpaw import load_gpaw

        return load_gpaw(options)
    if path == "espresso":
        from screening.calculators.espresso import load_espresso

        return load_espresso(options)
    from screening.calculators.ase import load_ase

    return load_ase(path, options)


def runs_no_code(spec: str) -> bool:
    """Say whether a specification may be read from a file: nothing it names can run code.

    Such are the potentials that are installed and files of plain numbers. An import path is code,
    and so is a pickled network: these are for people to type, with a digest where there is one.

    Examples
    --------
    >>> runs_no_code("phonoscreen,chgnet"), runs_no_code("mace:net.model@0123456789abcdef")
    (True, False)
    """
    return all(_PLAIN.fullmatch(one) is not None for one in split_members(spec))


@cache
def is_first_principles(spec: str) -> bool:
    """Say whether a calculator solves for the electrons; only those of ASE are loaded for it.

    Parameters
    ----------
    spec
        As `load_calculator` reads it; a committee does if all its members do.

    Raises
    ------
    SettingError, ModelRefusedError, ModelUnavailableError
        If the text cannot be read, or the class it names cannot be used.

    Examples
    --------
    >>> is_first_principles("gpaw(ecut_ev=400)"), is_first_principles("chgnet,gpaw")
    (True, False)
    """
    return all(_solves_for_electrons(part) for part in split_members(spec))


def _solves_for_electrons(spec: str) -> bool:
    family = re.split(r"[:(#]", spec, maxsplit=1)[0].strip()
    known = _SOLVE_FOR_ELECTRONS.get(family)
    return _load_one(spec).is_first_principles if known is None else known


def split_members(spec: str) -> tuple[str, ...]:
    """Split at commas outside brackets and quotes.

    Raises
    ------
    SettingError
        If the text is empty, too long, or brackets do not match.

    Examples
    --------
    >>> split_members("chgnet, a.B(x=(1, 2), y=',')")
    ('chgnet', "a.B(x=(1, 2), y=',')")
    """
    if not isinstance(spec, str) or not spec.strip() or len(spec) > _MAX_LENGTH:
        raise SettingError(
            f"needs a text of 1 to {_MAX_LENGTH} characters",
            subject="calculator",
            hint="For example: chgnet",
        )
    parts, start, depth, quote, escaped = [], 0, 0, "", False
    for index, letter in enumerate(spec):
        if quote:
            quote = quote if escaped or letter != quote else ""
            escaped = letter == "\\" and not escaped
        elif letter in "'\"":
            quote = letter
        elif letter in _OPENING:
            depth += 1
        elif letter in _CLOSING:
            depth -= 1
        elif letter == "," and depth == 0:
            parts.append(spec[start:index])
            start = index + 1
    parts.append(spec[start:])
    members = tuple(part.strip() for part in parts)
    if depth or quote or not all(members):
        raise SettingError(f"cannot read {spec!r}", subject="calculator")
    return members


def parse_call(spec: str) -> tuple[str, dict[str, Any]]:
    """Read ``a.b.C(key=literal)`` without evaluating anything.

    Returns
    -------
    tuple
        The dotted path and the keyword arguments.

    Raises
    ------
    ModelRefusedError
        If the text is anything else.

    Examples
    --------
    >>> parse_call("a.b.C(x=1.5, mode={'name': 'pw'})")
    ('a.b.C', {'x': 1.5, 'mode': {'name': 'pw'}})
    """
    try:
        node = ast.parse(spec, mode="eval").body
        if isinstance(node, ast.Call):
            if node.args or any(keyword.arg is None for keyword in node.keywords):
                raise ValueError("arguments must be key=value")  # noqa: TRY301 - one refusal
            options = {str(item.arg): ast.literal_eval(item.value) for item in node.keywords}
            return _dotted(node.func), options
        return _dotted(node), {}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise ModelRefusedError(
            f"cannot read {spec!r}: {error}",
            subject="calculator",
            hint="Use chgnet, mace:FILE@SHA256, mace:NAME@SHA256 or "
            "package.module.Class(key=literal)",
        ) from error


def _dotted(node: ast.expr) -> str:
    """Return the dotted path of a chain of attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    raise ValueError("not a dotted path")
