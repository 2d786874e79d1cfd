"""Maker of phonons from first principles: one flow per material, one job per displacement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker

from flows.jobs import prepare_phonons_job
from flows.resources import Resource, tagged

__all__ = ["DftPhononMaker"]


@dataclass
class DftPhononMaker(Maker):
    """Finite displacements of one material with forces from first principles.

    A first job relaxes the crystal where the settings say so; it is followed by jobs of
    displaced supercells side by side, and by one that predicts from all forces. Every force
    call is remembered in the database, so that a flow that was killed and is submitted again
    repeats none. Where a job fails, the last one writes the reason to ``failures``; a material
    that failed is left alone until ``phonoscreen retry``.

    Parameters
    ----------
    name
        Name of the flow.
    calculator
        A calculator from first principles, as :func:`screening.calculators.load_calculator`
        reads it.
    settings
        Plain settings of the science, :meth:`screening.settings.ScreeningSettings.as_dict`;
        empty for the defaults.
    displacements_per_job
        Displaced supercells per job, computed one after the other.
    model_digest
        SHA-256 of program and potentials that the prediction is expected from; a worker that has
        others refuses. Empty for any.
    """

    name: str = "phonons from first principles"
    calculator: str = "gpaw"
    settings: dict[str, Any] = field(default_factory=dict)
    displacements_per_job: int = 1
    model_digest: str = ""

    def make(self, database_uri: str, material_id: str) -> Flow:
        """Return the flow that predicts one material; its output is the outcome and a detail."""
        first = prepare_phonons_job(
            database_uri,
            material_id,
            self.calculator,
            dict(self.settings),
            self.displacements_per_job,
            self.model_digest,
        )
        return tagged(Flow([first], output=first.output, name=self.name), Resource.DFT)
