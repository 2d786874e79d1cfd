"""Born charges and dielectric constant from ph.x, by density functional perturbation theory.

References
----------
S. Baroni, S. de Gironcoli, A. Dal Corso and P. Giannozzi, Rev. Mod. Phys. 73, 515 (2001).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from screening.calculators.interface import DielectricResponse
from screening.errors import CalculatorFailedError
from screening.prediction import FloatArray

__all__ = ["field_response", "is_metal", "phonon_input"]

_LEAST_GAP_EV = 0.05
_EDGES = re.compile(r"highest occupied, lowest unoccupied level \(ev\):\s+(\S+)\s+(\S+)")
_NUMBER = r"([-+0-9.Ee*NnAa]+)"
_ROW = rf"\(\s*{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}\s*\)"
_DIELECTRIC = re.compile(rf"Dielectric constant in cartesian axis\s+{_ROW}\s+{_ROW}\s+{_ROW}")
_ATOM = re.compile(rf"atom\s+(\d+)\s+(\w+)\S*\s+Ex\s+{_ROW}\s+Ey\s+{_ROW}\s+Ez\s+{_ROW}")
_CHARGES = "Effective charges (d Force / dE) in cartesian axis"


def phonon_input() -> str:
    """Return an input of ph.x that asks for the response to a field at Gamma, nothing else."""
    return (
        "response to a field\n"
        "&inputph prefix='crystal' outdir='.' epsil=.true. zeu=.true. trans=.false."
        " tr2_ph=1e-14 /\n"
        "0 0 0\n"
    )


def is_metal(output: str) -> bool:
    """Whether the bands that pw.x printed have no gap above the highest occupied one.

    Fixed occupations fill the lowest bands at every wave vector: in a metal some of them are
    then higher than the lowest empty one.
    """
    edges = _EDGES.search(output)
    if edges is None:
        return True
    return float(edges[2]) - float(edges[1]) < _LEAST_GAP_EV


def field_response(output: str, symbols: Sequence[str]) -> DielectricResponse:
    """Read what ph.x printed.

    Parameters
    ----------
    output
        Its standard output.
    symbols
        Elements in the order of the input, which the output must repeat.

    Raises
    ------
    CalculatorFailedError
        If a tensor is missing or the atoms are others.
    """
    dielectric = _DIELECTRIC.search(output)
    atoms = list(_ATOM.finditer(output.rpartition(_CHARGES)[2]))
    if dielectric is None or [match[2] for match in atoms] != list(symbols):
        raise CalculatorFailedError(
            f"its output lacks the dielectric constant or Born charges of {', '.join(symbols)}",
            subject="ph.x",
        )
    charges = np.array([_tensor(match.groups()[2:]) for match in atoms])
    # the sum over all atoms, zero but for the finite mesh of wave vectors, moves nothing
    return DielectricResponse(_tensor(dielectric.groups()), charges - charges.mean(axis=0))


def _tensor(numbers: Sequence[str]) -> FloatArray:
    try:
        return np.array([float(text) for text in numbers]).reshape(3, 3)
    except ValueError as error:
        raise CalculatorFailedError(f"printed no number: {error}", subject="ph.x") from error
