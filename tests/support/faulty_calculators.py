"""ASE calculators with a fault each, named by import path in the tests of the flows."""

import os
import signal
import time

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT


class _Faulty(EMT):
    """EMT until the crystal holds silver, whose forces are spoiled."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        if "Ag" in atoms.get_chemical_symbols():
            self.spoil()

    def spoil(self):
        raise NotImplementedError


class NanForSilver(_Faulty):
    def spoil(self):
        self.results["forces"] = np.full_like(self.results["forces"], np.nan)


class HugeForSilver(_Faulty):
    def spoil(self):
        self.results["forces"] = self.results["forces"] + 1e12


class RaisesForSilver(_Faulty):
    def spoil(self):
        raise RuntimeError("no silver today")


class KillsForSilver(_Faulty):
    """Ends its process as the kernel does when memory runs out."""

    def spoil(self):
        os.kill(os.getpid(), signal.SIGKILL)


class HangsForSilver(_Faulty):
    def spoil(self):
        time.sleep(3600)


class SaddlePoint(Calculator):
    """Harmonic wells turned upside down: every mode is imaginary."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        fractions = atoms.get_scaled_positions(wrap=False)
        moves = (fractions - np.round(fractions * 8) / 8) @ atoms.cell.array
        mean = moves.mean(axis=0)
        self.results = {
            "energy": -float(np.sum((moves - mean) ** 2)),
            "forces": 2.0 * (moves - mean),
            "stress": np.zeros(6),
        }
