"""Reference entropies on disk: what is stored, how it is read, and how it is made again.

    python benchmarks/entropy_data.py --make [--only SET] [--folder FOLDER]

makes every set from its seed in a few minutes. Lengths are in sigma (Lennard-Jones) or angstrom
(iron), in whole numbers of 1e-5: labels of the stored positions differ from those of the relaxed
ones by less than 1e-3 k_B. Shares of atoms are whole numbers of 1e-4. Hessians are not stored.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from entropy_configurations import (
    BCC_IRON,
    FCC_LENNARD_JONES,
    Labelled,
    Lattice,
    cluster_minima,
    crystal_minima,
)

__all__ = ["FOLDER", "SETS", "ClusterSet", "CrystalSet", "read_set", "write_set"]

FOLDER = Path(__file__).resolve().parent / "data"
RESOLUTION, SHARE_RESOLUTION = 1e-5, 1e-4
DEFECTS = ("V1", "I1", "V2", "I2", "V3", "I3", "V4", "I4", "I2", "I3", "I4", "I3", "I4")
DAMAGE = tuple(f"F{count}" for count in range(2, 13))
STRAINS = (-0.01, 0.01, 0.02, 0.03)  # beside none


@dataclass(frozen=True)
class ClusterSet:
    """Minima of a Lennard-Jones cluster."""

    n_atoms: int
    n_minima: int
    seed: int

    def make(self) -> Iterable[Labelled]:
        """Find them."""
        return cluster_minima(self.n_atoms, self.n_minima, self.seed)


@dataclass(frozen=True)
class CrystalSet:
    """Minima of a crystal with defects, after the crystal without any."""

    lattice: Lattice
    repeats: int
    kinds: tuple[str, ...]
    n_minima: int
    seed: int
    strains: tuple[float, ...] = (0.0,)

    def make(self) -> Iterator[Labelled]:
        """Find them."""
        chosen = self.lattice, self.repeats
        bulk = tuple(crystal_minima(*chosen, ("bulk",), 1, self.seed, self.strains))
        yield from bulk
        yield from crystal_minima(
            *chosen, self.kinds, self.n_minima, self.seed, self.strains, known=bulk
        )


SETS: dict[str, ClusterSet | CrystalSet] = {
    "lj13": ClusterSet(13, 330, 1),
    "lj38": ClusterSet(38, 830, 2),
    "lj_fcc_108": CrystalSet(FCC_LENNARD_JONES, 3, DEFECTS, 60, 3),
    "lj_fcc_256": CrystalSet(FCC_LENNARD_JONES, 4, DEFECTS, 500, 3),
    "lj_fcc_256_strained": CrystalSet(FCC_LENNARD_JONES, 4, DEFECTS, 20, 3, STRAINS),
    "lj_fcc_500": CrystalSet(FCC_LENNARD_JONES, 5, DEFECTS, 32, 4),
    "lj_fcc_256_damaged": CrystalSet(FCC_LENNARD_JONES, 4, DAMAGE, 132, 5),
    "bcc_fe_128": CrystalSet(BCC_IRON, 4, DEFECTS, 60, 9),
    "bcc_fe_250": CrystalSet(BCC_IRON, 5, DEFECTS, 1300, 9),
    "bcc_fe_250_strained": CrystalSet(BCC_IRON, 5, DEFECTS, 20, 9, STRAINS),
    "bcc_fe_432": CrystalSet(BCC_IRON, 6, DEFECTS, 24, 10),
    "bcc_fe_250_damaged": CrystalSet(BCC_IRON, 5, DAMAGE, 66, 11),
}
"""Every set by the name of its file."""


def write_set(path: Path, found: list[Labelled]) -> None:
    """Write labelled configurations to a file."""
    positions = np.concatenate([one.positions for one in found])
    shares = np.concatenate([one.site_log_determinants for one in found])
    np.savez_compressed(
        path,
        position_ticks=np.rint(positions / RESOLUTION).astype(np.int32),
        share_ticks=np.rint(shares / SHARE_RESOLUTION).astype(np.int32),
        n_atoms=np.array([len(one.positions) for one in found], dtype=np.int32),
        edge=np.array([0.0 if one.edge is None else one.edge for one in found]),
        energy=np.array([one.energy for one in found]),
        log_determinant=np.array([one.log_determinant for one in found]),
        softest=np.array([one.softest for one in found]),
        n_modes=np.array([one.n_modes for one in found], dtype=np.int32),
        inertia=np.array([one.inertia for one in found]),
        kind=np.array([one.kind for one in found]),
        parent=np.array([one.parent for one in found], dtype=np.int32),
        strain=np.array([one.strain for one in found]),
        n_sites=np.array([one.n_sites for one in found], dtype=np.int32),
        seed=np.array([one.seed for one in found], dtype=np.int32),
    )


def read_set(name: str, folder: Path = FOLDER) -> list[Labelled]:
    """Read a set of :data:`SETS`.

    Parameters
    ----------
    name, folder
        Its name, and where the files lie.
    """
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        stored: dict[str, Any] = {key: file[key] for key in file.files}
    ends = np.cumsum(stored["n_atoms"])[:-1]
    places = np.split(stored["position_ticks"] * RESOLUTION, ends)
    shares = np.split(stored["share_ticks"] * SHARE_RESOLUTION, ends)
    return [
        Labelled(
            positions=positions,
            edge=float(stored["edge"][k]) or None,
            energy=float(stored["energy"][k]),
            log_determinant=float(stored["log_determinant"][k]),
            site_log_determinants=shares[k],
            softest=float(stored["softest"][k]),
            n_modes=int(stored["n_modes"][k]),
            inertia=tuple(stored["inertia"][k].tolist()),
            kind=str(stored["kind"][k]),
            parent=int(stored["parent"][k]),
            strain=float(stored["strain"][k]),
            n_sites=int(stored["n_sites"][k]),
            seed=int(stored["seed"][k]),
        )
        for k, positions in enumerate(places)
    ]


def main() -> None:
    """Make the sets."""
    options = argparse.ArgumentParser(description="Make the stored reference entropies again")
    options.add_argument("--make", action="store_true", required=True)
    options.add_argument("--only", choices=tuple(SETS), default=None, help="one set")
    options.add_argument("--folder", type=Path, default=FOLDER, help="where the files go")
    chosen = options.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    for name in SETS if chosen.only is None else (chosen.only,):
        started = time.monotonic()
        found = list(SETS[name].make())
        path = chosen.folder / f"{name}.npz"
        write_set(path, found)
        spread = np.std([0.5 * one.log_determinant for one in found])
        taken = time.monotonic() - started
        size = f"{path.stat().st_size // 1000} kB"
        print(
            f"{name}: {len(found)} minima, sd {spread:.3f} k_B, {size}, {taken:.1f} s", flush=True
        )


if __name__ == "__main__":
    main()
