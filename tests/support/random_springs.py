"""Random crystals held by springs without tension: Hessians that are known exactly."""

from __future__ import annotations

from functools import cache

import numpy as np
from pymatgen.core import Element, Structure

from screening.descriptors.image_bonds import fold_onto_pairs, image_bonds
from screening.hessians import ZoneCentreHessian, on_site_from_sum_rule
from screening.prediction import FloatArray
from screening.random_forest import RandomForestSettings, train_force_constants
from screening.random_packing import random_crystals

REACH_ANGSTROM = 5.0


def spring_hessian(structure: Structure) -> FloatArray:
    """Hessian in eV/Å² at the zone centre of springs that only depend on distance and elements."""
    bonds = image_bonds(structure, REACH_ANGSTROM)
    charges = np.array([Element(site.specie.symbol).X for site in structure])
    stiffness = 30.0 * np.exp(-bonds.distances_angstrom / 1.1)
    stiffness *= 0.5 * (1.0 + np.cos(np.pi * bonds.distances_angstrom / REACH_ANGSTROM))
    stiffness *= 0.5 + np.abs(charges[bonds.first] - charges[bonds.second])
    units = bonds.directions
    blocks = fold_onto_pairs(
        bonds, -stiffness[:, None, None] * units[:, :, None] * units[:, None, :]
    )
    size = 3 * len(structure)
    return on_site_from_sum_rule(blocks.swapaxes(1, 2).reshape(size, size))


@cache
def spring_crystals(
    count: int, seed: int = 0, composition: str = "Na3 Cl3", volume_angstrom3: float = 125.0
) -> tuple[ZoneCentreHessian, ...]:
    """Random cells with their Hessians."""
    return tuple(
        ZoneCentreHessian(f"crystal-{index:03d}", one, spring_hessian(one), 0.0, "springs")
        for index, one in enumerate(random_crystals(composition, volume_angstrom3, count, seed))
    )


def turned(structure: Structure, seed: int = 0) -> tuple[Structure, FloatArray]:
    """Turn a crystal; also return the rotation, to be applied to vectors from the left."""
    from scipy.spatial.transform import Rotation

    rotation = Rotation.random(random_state=seed).as_matrix()
    lattice = structure.lattice.matrix @ rotation.T
    return Structure(lattice, structure.species, structure.frac_coords), rotation


def turned_hessian(hessian: FloatArray, rotation: FloatArray) -> FloatArray:
    """Turn both sides of a Hessian."""
    whole = np.kron(np.eye(len(hessian) // 3), rotation)
    return np.asarray(whole @ hessian @ whole.T)


QUICK = {
    "n_folds": 4,
    "n_inner_folds": 2,
    "n_members": 2,
    "n_trees": 8,
    "n_jobs": 1,
    "max_features": 0.3,
    "ridge_strengths": (1e-4, 1e-2),
}


@cache
def trained_on_springs(variant: str = "tensor_ridge", count: int = 30, **changes: object):
    """Train a model in about a second; the same one for all who ask."""
    settings = RandomForestSettings(variant=variant, **(QUICK | changes))
    return train_force_constants(spring_crystals(count), settings, "springs")
