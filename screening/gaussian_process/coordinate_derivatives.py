"""Derivatives of the energy by phonon coordinates, and force constants of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.errors import TooLargeError, WrongShapeError
from screening.gaussian_process.coordinates import PhononCoordinates
from screening.prediction import FloatArray

__all__ = [
    "dynamical_matrices",
    "second_order_from_coordinates",
    "second_order_from_dynamical_matrices",
    "second_order_to_coordinates",
    "third_order_from_coordinates",
    "third_order_to_coordinates",
]

_MAX_CUBES = 2**27  # numbers of a full third derivative: 1 GiB


def second_order_to_coordinates(
    coordinates: PhononCoordinates, second_order_ev_per_angstrom2: FloatArray
) -> FloatArray:
    """Second derivatives of the energy by the coordinates.

    Parameters
    ----------
    coordinates
        The basis.
    second_order_ev_per_angstrom2
        Compact force constants in eV/Å², shape (site, atom, 3, 3).

    Returns
    -------
    ndarray
        In eV/Å²/amu, shape (coordinate, coordinate): one block per wave vector.
    """
    _check_compact(coordinates, second_order_ev_per_angstrom2, 2)
    full = second_order_ev_per_angstrom2[coordinates.sites[:, None], coordinates.images]
    basis = _cartesian(coordinates)
    return np.asarray(np.einsum("pia,ijab,qjb->pq", basis, full, basis, optimize=True))


def second_order_from_coordinates(
    coordinates: PhononCoordinates, derivatives: FloatArray
) -> FloatArray:
    """Compact force constants in eV/Å², shape (site, atom, 3, 3), of second derivatives.

    Of a subspace of coordinates, force constants that act in it alone are made.
    """
    basis = _cartesian(coordinates, inverse=True)
    rows = basis[:, coordinates.firsts]
    return np.asarray(np.einsum("psa,pq,qjb->sjab", rows, derivatives, basis, optimize=True))


def third_order_to_coordinates(
    coordinates: PhononCoordinates, third_order_ev_per_angstrom3: FloatArray
) -> FloatArray:
    """Third derivatives of the energy by the coordinates.

    Parameters
    ----------
    coordinates
        The basis; `cell_periodic` makes it small.
    third_order_ev_per_angstrom3
        Compact force constants in eV/Å³, shape (site, atom, atom, 3, 3, 3).

    Returns
    -------
    ndarray
        In eV/Å³/amu^(3/2), shape (coordinate, coordinate, coordinate).

    Raises
    ------
    TooLargeError
        If it does not fit into memory.
    """
    _check_compact(coordinates, third_order_ev_per_angstrom3, 3)
    _check_cube(coordinates)
    basis = _cartesian(coordinates)
    n, n_atoms = coordinates.n_coordinates, len(coordinates.sites)
    found = np.zeros((n, n, n))
    for atom in range(n_atoms):  # one atom at a time: the full third order is never held
        images = coordinates.images[atom]
        row = third_order_ev_per_angstrom3[coordinates.sites[atom]][images][:, images]
        half = np.einsum("jkabc,rkc->jabr", row, basis, optimize=True)
        inner = np.einsum("jabr,qjb->aqr", half, basis, optimize=True)
        found += np.einsum("pa,aqr->pqr", basis[:, atom], inner, optimize=True)
    return found


def third_order_from_coordinates(
    coordinates: PhononCoordinates, derivatives: FloatArray
) -> FloatArray:
    """Compact force constants in eV/Å³, shape (site, atom, atom, 3, 3, 3).

    Raises
    ------
    TooLargeError
        If they do not fit into memory.
    """
    _check_cube(coordinates)
    basis = _cartesian(coordinates, inverse=True)
    rows = basis[:, coordinates.firsts]
    first = np.einsum("psa,pqr->saqr", rows, derivatives, optimize=True)
    second = np.einsum("saqr,qjb->sjabr", first, basis, optimize=True)
    return np.asarray(np.einsum("sjabr,rkc->sjkabc", second, basis, optimize=True))


def dynamical_matrices(
    coordinates: PhononCoordinates, second_order_ev_per_angstrom2: FloatArray
) -> NDArray[np.complex128]:
    """Dynamical matrices at the wave vectors of the coordinates.

    Parameters
    ----------
    coordinates
        The basis.
    second_order_ev_per_angstrom2
        Compact force constants in eV/Å², shape (site, atom, 3, 3).

    Returns
    -------
    ndarray
        In eV/Å²/amu, shape (q, 3 site, 3 site). As in `Harmonic`, phases are those of the cells
        and not of the atoms.
    """
    derivatives = second_order_to_coordinates(coordinates, second_order_ev_per_angstrom2)
    n = 3 * len(coordinates.primitive)
    found = np.empty((len(coordinates.q_points), n, n), dtype=np.complex128)
    for index, real in enumerate(coordinates.self_opposite):
        mine = coordinates.q_indices == index
        block = derivatives[np.ix_(mine, mine)]
        found[index] = block if real else block[:n, :n] + 1j * block[:n, n:]
    return found


def second_order_from_dynamical_matrices(
    coordinates: PhononCoordinates, matrices: NDArray[np.complex128]
) -> FloatArray:
    """Compact force constants in eV/Å², shape (site, atom, 3, 3).

    Parameters
    ----------
    coordinates
        The basis.
    matrices
        As `dynamical_matrices` returns them.
    """
    derivatives = np.zeros((coordinates.n_coordinates,) * 2)
    for index, (block, real) in enumerate(zip(matrices, coordinates.self_opposite, strict=True)):
        mine = np.flatnonzero(coordinates.q_indices == index)
        parts = (
            block.real if real else np.block([[block.real, block.imag], [-block.imag, block.real]])
        )
        derivatives[np.ix_(mine, mine)] = parts
    return second_order_from_coordinates(coordinates, derivatives)


def _cartesian(coordinates: PhononCoordinates, *, inverse: bool = False) -> FloatArray:
    """Displacements of unit coordinates or, inverse, their weights, shape (coordinate, atom, 3)."""
    shaped = coordinates.transformation.reshape(coordinates.n_coordinates, -1, 3)
    roots = np.sqrt(coordinates.masses_amu)[:, None]
    return np.asarray(shaped * roots if inverse else shaped / roots)


def _check_compact(coordinates: PhononCoordinates, values: FloatArray, order: int) -> None:
    n_atoms = len(coordinates.sites)
    shape = (len(coordinates.primitive), *(n_atoms,) * (order - 1), *(3,) * order)
    if np.shape(values) != shape:
        raise WrongShapeError(
            f"shape {np.shape(values)} where {shape} is needed",
            subject="force constants",
            hint="Give the compact form: first atoms are the primitive cell's sites",
        )


def _check_cube(coordinates: PhononCoordinates) -> None:
    size = coordinates.n_coordinates**3
    if size > _MAX_CUBES:
        raise TooLargeError(
            f"third derivatives by {coordinates.n_coordinates} coordinates are {size:.1e} numbers",
            subject="coordinates",
            hint="Take the cell-periodic coordinates, or a smaller supercell",
        )
