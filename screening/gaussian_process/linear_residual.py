"""How much of the forces of displaced cells harmonic force constants cannot explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from screening.errors import WrongShapeError
from screening.prediction import FloatArray

__all__ = ["LinearResidual", "linear_residual"]

_MAX_HELD_OUT = 8
_EIGENVALUE_CUTOFF = 1e-12


@dataclass(frozen=True)
class LinearResidual:
    """How much of the forces the best harmonic force constants leave.

    Attributes
    ----------
    n_equations, n_unknowns
        Independent force components and force constants.
    n_determined
        Combinations of force constants that the displacements reach.
    residual
        Root mean square of what is left per degree of freedom over that of the forces: 0 for a
        harmonic crystal, 1 for forces that have nothing to do with the displacements. NaN where
        there are no more equations than unknowns.
    held_out
        Error on cells left out over the root mean square of their forces, 1 for no prediction;
        NaN for a single cell.
    of_cells
        Root mean square of what is left of the forces of each cell over that of its forces.
    """

    n_equations: int
    n_unknowns: int
    n_determined: int
    residual: float
    held_out: float
    of_cells: tuple[float, ...]

    @property
    def meaningful(self) -> bool:
        """Whether there are more equations than combinations to determine."""
        return self.n_equations > self.n_determined


def linear_residual(design: FloatArray, forces_ev_per_angstrom: FloatArray) -> LinearResidual:
    """Fit forces linearly and tell what is left, also on cells left out.

    Parameters
    ----------
    design
        As in `check_cells`.
    forces_ev_per_angstrom
        Forces without the residual ones in eV/Å, shape (cell, atom, 3). Their net force, which
        no translation-invariant force constants explain, is taken away.

    Raises
    ------
    WrongShapeError
        If the two have different numbers of rows.
    """
    n_cells, n_atoms = forces_ev_per_angstrom.shape[:2]
    if design.shape[0] != forces_ev_per_angstrom.size:
        raise WrongShapeError(
            f"a design of {design.shape[0]} rows for {forces_ev_per_angstrom.size} forces",
            subject="design",
            hint="Take the design of the same displaced cells",
        )
    forces = forces_ev_per_angstrom - forces_ev_per_angstrom.mean(axis=1, keepdims=True)
    rows, target = design.reshape(n_cells, n_atoms * 3, -1), forces.reshape(n_cells, -1)
    gram = np.einsum("kri,krj->ij", rows, rows, optimize=True)
    moment = np.einsum("kri,kr->i", rows, target)
    constants, rank = _solve(gram, moment)
    n_equations = 3 * (n_atoms - 1) * n_cells
    wrong = ((target - rows @ constants) ** 2).sum(axis=1)
    given = (target**2).sum(axis=1)
    residual = np.nan
    if n_equations > rank and target.any():
        freedom = (n_equations - rank) / n_equations
        residual = float(np.sqrt(wrong.sum() / freedom / given.sum()))
    held_out = _held_out(rows, target, gram, moment)
    of_cells = np.sqrt(wrong / np.where(given > 0, given, 1.0))
    return LinearResidual(
        n_equations, design.shape[1], rank, residual, held_out, tuple(of_cells.tolist())
    )


def _held_out(rows: FloatArray, target: FloatArray, gram: FloatArray, moment: FloatArray) -> float:
    """Relative error on cells that the fit does not know; each of the first few in turn."""
    n_cells = len(rows)
    if n_cells == 1 or not target.any():
        return float(np.nan)
    chosen = range(min(n_cells, _MAX_HELD_OUT))
    wrong = total = 0.0
    for cell in chosen:
        own = rows[cell]
        constants, _ = _solve(gram - own.T @ own, moment - own.T @ target[cell])
        wrong += float(((target[cell] - own @ constants) ** 2).sum())
        total += float((target[cell] ** 2).sum())
    return float(np.sqrt(wrong / total)) if total else float(np.nan)


def _solve(gram: FloatArray, moment: FloatArray) -> tuple[FloatArray, int]:
    """Least solution of normal equations, and their rank."""
    values, vectors = np.linalg.eigh(gram)
    kept = values > _EIGENVALUE_CUTOFF * values.max(initial=0.0)
    inverse = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    return vectors @ (inverse * (vectors.T @ moment)), int(kept.sum())
