"""A database that counts and factories for what builders read."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure

from screening.prediction import (
    Cost,
    Prediction,
    Stability,
    Thermodynamics,
    ThermodynamicsSpread,
    Verdict,
    frozen_array,
)
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from stores.documents.prediction import PredictionDocument
from stores.documents.structure import StructureDocument

GRID_K = tuple(float(t) for t in range(0, 1501, 100))


COLLECTIONS = {
    "StructureDocument": "structures",
    "PredictionDocument": "predictions",
    "DecisionDocument": "decisions",
    "FailureDocument": "failures",
}


class Counting:
    """A collection that counts the documents written to it."""

    def __init__(self, store):
        self.store = store
        self.n_written = 0

    def update(self, docs, key=None):
        self.n_written += len(docs) if isinstance(docs, list) else 1
        self.store.update(docs, key)

    def __getattr__(self, name):
        return getattr(self.store, name)


class CountingDatabase:
    """The collections that builders know."""

    def __init__(self, database):
        for name in (*COLLECTIONS.values(), "vibrational", "polymorphs", "hulls"):
            setattr(self, name, Counting(getattr(database, name)))

    def put(self, *documents):
        for document in documents:
            store = getattr(self, COLLECTIONS[type(document).__name__])
            store.update([document.to_store()])

    def reset_counts(self):
        for store in vars(self).values():
            store.n_written = 0

    @property
    def n_written(self):
        return sum(store.n_written for store in vars(self).values())


@pytest.fixture
def db(database):
    return CountingDatabase(database)


def cell(formula):
    species = [str(e) for e, n in Composition(formula).items() for _ in range(int(n))]
    sites = [[i / len(species), 0.0, 0.0] for i in range(len(species))]
    return Structure(Lattice.cubic(4.0 * len(species)), species, sites)


@pytest.fixture
def make_structure():
    def make(name, formula="TiO2", energy=None, source="PBE", **options):
        structure = cell(formula)
        crystal = SimpleNamespace(
            structure=structure,
            digest=name.encode().hex().rjust(64, "0"),
            material_id=name,
            space_group_number=1,
            space_group_symbol="P1",
            formula=structure.composition.reduced_formula,
            chemsys=structure.composition.chemical_system,
            n_atoms=len(structure),
            prototype="",
            notes=(),
        )
        return StructureDocument.from_crystal(
            crystal,
            source=f"{name}.cif",
            static_energy_ev_per_atom=energy,
            static_energy_source=None if energy is None else source,
            **options,
        )

    return make


@pytest.fixture
def make_prediction():
    def make(structure, slope=1e-4, /, *, std=None, valid=True, shift_mev=0.0, **changes):
        t = np.array(GRID_K)
        spread = std and ThermodynamicsSpread(
            *(frozen_array(0 * t + std) for _ in range(3)), 0.1, 3
        )
        fields = {
            "method": "potential-phonons",
            "method_version": 1,
            "tier": 1,
            "model": "chgnet:0.3.0",
            "model_digest": "b" * 64,
            "structure_digest": structure.structure_digest,
            "settings": {},
            "settings_digest": "c" * 64,
            "structure": structure.structure.to_pymatgen(),
            "thermodynamics": Thermodynamics(
                temperatures_k=frozen_array(t),
                free_energy_mev_per_atom=frozen_array(50 + shift_mev - slope * t**2 / 2),
                entropy_mev_per_k_per_atom=frozen_array(slope * t),
                heat_capacity_mev_per_k_per_atom=frozen_array(slope * t),
                internal_energy_mev_per_atom=frozen_array(50 + slope * t**2 / 2),
                zero_point_energy_mev_per_atom=50.0,
                low_mode_policy="drop",
                cutoff_thz=0.1,
                dropped_weight=0.0,
                imaginary_weight=0.0,
                valid=valid,
            ),
            "stability": Stability(
                Verdict.STABLE, "mesh", 1.0, frozen_array([0, 0, 0.5]), "mesh", {}
            ),
            "cost": Cost(1.0, 1.0, 1.0, 4),
            "static_energy_ev_per_atom": -8.0,
            "static_energy_source": "chgnet:0.3.0",
            "spread": spread or None,
        }
        return PredictionDocument.from_prediction(
            Prediction(**fields | changes), structure.material_id
        )

    return make


@pytest.fixture
def make_einstein():
    """Predictions of solids whose frequencies are all the same."""

    def make(crystal, frequency_thz, tier=1):
        frequencies = np.full((1, 3 * len(crystal.structure)), frequency_thz)
        settings = ThermodynamicsSettings(temperatures_k=tuple(map(float, range(0, 1501, 10))))
        return Prediction(
            method="potential-phonons" if tier == 1 else "dft-phonons",
            method_version=1,
            tier=tier,
            model="soft" if tier == 1 else "dft:PBE",
            model_digest=str(tier) * 64,
            structure_digest=crystal.digest,
            settings={"relaxation": None},
            settings_digest="c" * 64,
            structure=crystal.structure,
            thermodynamics=thermodynamics(
                frequencies,
                np.ones(1),
                len(crystal.structure),
                settings,
                is_gamma=np.zeros(1, dtype=bool),
            ),
            stability=Stability(
                Verdict.STABLE, "mesh", frequency_thz, frozen_array([0, 0, 0.5]), "mesh", {}
            ),
            cost=Cost(1.0, 1.0, 0.5, 3),
        )

    return make
