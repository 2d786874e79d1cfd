"""ASE calculators that say they are from first principles, named by import path in tests."""

import os
import signal
from pathlib import Path

from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT


class StifferEmt(EMT):
    """EMT with all energies a fifth larger, in place of electrons: frequencies rise by 9.5 %."""

    is_first_principles = True

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {name: 1.2 * value for name, value in self.results.items()}


class FailsForSilver(StifferEmt):
    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if "Ag" in atoms.get_chemical_symbols():
            raise RuntimeError("the density of silver does not converge")
        super().calculate(atoms, properties, system_changes)


class FailsForSilverSupercells(StifferEmt):
    """The primitive cell goes well, displaced supercells do not."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        if "Ag" in atoms.get_chemical_symbols() and len(atoms) > 4:
            raise RuntimeError("the density of silver does not converge")
        super().calculate(atoms, properties, system_changes)


class DiesOnce(StifferEmt):
    """Its process is killed in the call after those that left a line in the file it is given."""

    def __init__(self, log: str, calls: int, **options):
        super().__init__(**options)
        self._log, self._allowed = Path(log), calls

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        done = self._log.read_text().splitlines() if self._log.exists() else []
        if len(done) == self._allowed and "died" not in done:
            self._log.write_text("\n".join([*done, "died\n"]))
            os.kill(os.getpid(), signal.SIGKILL)
        with self._log.open("a") as stream:
            stream.write(f"{len(atoms)}\n")
        super().calculate(atoms, properties, system_changes)
