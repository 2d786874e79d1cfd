"""Random crystals held by springs without tension: Hessians that are known exactly."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from pymatgen.core import Element, Structure

from screening.anharmonic import ForceConstants
from screening.descriptors.image_bonds import atomic_numbers, fold_onto_pairs, image_bonds
from screening.harmonic import Harmonic, harmonic_from_force_constants
from screening.hessians import ZoneCentreHessian, on_site_from_sum_rule
from screening.prediction import FloatArray
from screening.random_forest import RandomForestSettings, train_force_constants
from screening.random_packing import random_crystals
from screening.zone_centre_modes import mesh_thermodynamics

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


def spring_harmonic(structure: Structure) -> Harmonic:
    """Phonons of the same springs, with every image told apart."""
    supercell = structure * (2, 2, 2)
    size = len(supercell)
    blocks = spring_hessian(supercell).reshape(size, 3, size, 3).swapaxes(1, 2)
    return harmonic_from_force_constants(
        ForceConstants(
            primitive=structure,
            supercell_matrix=np.diag([2, 2, 2]),
            supercell_scaled_positions=supercell.frac_coords,
            supercell_numbers=atomic_numbers(supercell),
            second_order_ev_per_angstrom2=blocks[::8],  # the images of an atom stand together
        )
    )


@cache
def mesh_crystals(count: int) -> tuple[ZoneCentreHessian, ...]:
    """Random cells that also know the thermodynamics of all wave vectors."""
    return tuple(
        replace(one, thermodynamics=mesh_thermodynamics(spring_harmonic(one.structure), 12.0))
        for one in spring_crystals(count)
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


@cache
def trained_on_meshes(count: int = 30):
    """Train a model whose intervals hold sums over all wave vectors."""
    settings = RandomForestSettings(variant="tensor_ridge", **QUICK)
    return train_force_constants(mesh_crystals(count), settings, "meshes")
