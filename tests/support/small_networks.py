"""Small networks with random weights, and cells to try them on."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

ELEMENTS = (8, 11, 14, 17, 22, 30, 38)


def network(**changes: Any) -> Any:
    """Build a module of blocks that are known, for O, Na, Si, Cl, Ti, Zn and Sr."""
    from screening.network_potential.network import build_network, set_atomic_energies
    from screening.network_potential.settings import MaceArchitecture

    settings = {
        "elements": ELEMENTS,
        "channels": 4,
        "cutoff_angstrom": 3.6,
        "n_bessel": 5,
        "radial_mlp": (8, 8),
        "mlp_channels": 4,
    } | changes
    found = build_network(MaceArchitecture(**settings), 6.0, 100.0, seed=3)
    set_atomic_energies(found, np.linspace(-3.0, 1.0, len(ELEMENTS)))
    return found


def unusual_network(**changes: Any) -> Any:
    """Build a module of mace with settings of its own, for Na and Cl."""
    from screening.calculators.mace_package import import_mace

    import_mace()
    import e3nn
    import torch
    from e3nn import o3
    from mace import modules

    block = modules.interaction_classes[
        changes.pop("block", "RealAgnosticResidualInteractionBlock")
    ]
    kind = changes.pop("kind", "ScaleShiftMACE")
    heads = changes.get("heads")
    settings = {
        "r_max": 3.6,
        "num_bessel": 4,
        "num_polynomial_cutoff": 5,
        "max_ell": 1,
        "num_interactions": 2,
        "num_elements": 2,
        "interaction_cls": block,
        "interaction_cls_first": block,
        "hidden_irreps": o3.Irreps("2x0e+2x1o"),
        "MLP_irreps": o3.Irreps("2x0e"),
        "gate": torch.nn.functional.silu,
        "atomic_energies": np.zeros((len(heads), 2)) if heads else np.zeros(2),
        "avg_num_neighbors": 6.0,
        "atomic_numbers": [11, 17],
        "correlation": 2,
        "radial_MLP": [8],
    } | changes
    if kind == "ScaleShiftMACE":
        ones, zeros = ([1.0] * len(heads), [0.0] * len(heads)) if heads else (1.0, 0.0)
        settings |= {"atomic_inter_scale": ones, "atomic_inter_shift": zeros}
    before = torch.get_default_dtype(), e3nn.get_optimization_defaults()["jit_script_fx"]
    torch.set_default_dtype(torch.float64)
    e3nn.set_optimization_defaults(jit_script_fx=False)  # compiling takes seconds
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            return getattr(modules, kind)(**settings)
    finally:
        torch.set_default_dtype(before[0])
        e3nn.set_optimization_defaults(jit_script_fx=before[1])


def _displaced(atoms: Atoms, atom: int, step: tuple[float, float, float]) -> Atoms:
    atoms.positions[atom] += step
    return atoms


def cells() -> dict[str, tuple[Atoms, int]]:
    """Cells by name, each with the order of its group."""
    salt = bulk("NaCl", "rocksalt", 5.6, cubic=True)
    blende = bulk("ZnO", "zincblende", 4.6, cubic=True)
    wurtzite = bulk("ZnO", "wurtzite", 3.25, 5.2)
    perovskite = crystal(
        ["Sr", "Ti", "O"], [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0)], spacegroup=221,
        cellpar=[3.9] * 3 + [90] * 3,
    )  # fmt: skip
    strained = bulk("NaCl", "rocksalt", 5.6) * (2, 2, 1)
    strained.set_cell(strained.cell.array @ [[1.03, 0, 0], [0, 0.99, 0.02], [0, 0, 1]], True)
    crooked = Atoms(
        "NaClSiO2", cell=[[4.1, 0.2, 0], [0.7, 4.6, -0.4], [-1.0, 0.5, 5.2]], pbc=True,
        scaled_positions=[
            [0, 0, 0], [0.5, 0.48, 0.1], [0.1, 0.55, 0.5], [0.55, 0.1, 0.55], [0.8, 0.7, 0.75],
        ],
    )  # fmt: skip
    rattled = salt * (2, 1, 1)
    rattled.rattle(0.05, seed=1)
    return {
        "rocksalt": (_displaced(salt * (2, 2, 2), 0, (0.03, 0, 0)), 8),
        "rocksalt moved across": (_displaced(salt * (2, 2, 2), 9, (0, 0.02, 0.02)), 4),
        "zincblende": (_displaced(blende * (2, 2, 2), 3, (0.02, 0.02, 0.02)), 6),
        "wurtzite": (_displaced(wurtzite * (3, 3, 2), 1, (0, 0, 0.03)), 6),
        "perovskite": (_displaced(perovskite * (2, 2, 2), 2, (0, 0, 0.03)), 8),
        "whole supercell": (salt * (2, 1, 1), 128),
        "primitive": (bulk("NaCl", "rocksalt", 5.6), 48),
        "diamond": (bulk("Si", "diamond", 5.4), 48),
        "strained": (strained, 8),
        "crooked": (crooked, 1),
        "rattled": (rattled, 1),
    }
