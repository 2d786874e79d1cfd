"""Maker of phonons from a few displaced cells: one flow per material, one job per cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker

from flows.jobs import displaced_cell_job
from flows.resources import resource_for, tagged

__all__ = ["GaussianProcessMaker"]


@dataclass
class GaussianProcessMaker(Maker):
    """Force constants of one material, learned from cells with all atoms displaced.

    The first job relaxes the crystal where the settings say so, computes the forces of the
    first cells and fits. Each further job computes one more cell, until the target of the
    settings is within its tolerance or the allowed number of cells is reached; the last one
    writes the prediction. Force calls from first principles are remembered in the database, so
    that a flow that was killed and is submitted again repeats none. A job that fails writes the
    reason to ``failures``; a material that failed is left alone until ``phonoscreen retry``.

    Parameters
    ----------
    name
        Name of the flow.
    calculator
        As :func:`screening.calculators.load_calculator` reads it, usually from first principles.
    settings
        Plain settings of the science, :meth:`screening.settings.ScreeningSettings.as_dict`, with
        ``few_cells``; without them the defaults of `screening.few_cells.FewCellSettings`.
    model_digest, settings_digest
        SHA-256 of program and potentials that the prediction is expected from, and of the
        settings with the weights of the prior; a worker that has others refuses. Empty for any.
    """

    name: str = "phonons from a few displaced cells"
    calculator: str = "gpaw"
    settings: dict[str, Any] = field(default_factory=dict)
    model_digest: str = ""
    settings_digest: str = ""

    def make(self, database_uri: str, material_id: str) -> Flow:
        """Return the flow that predicts one material; its output is the outcome and a detail."""
        first = displaced_cell_job(
            database_uri,
            material_id,
            self.calculator,
            {"few_cells": {}} | self.settings,
            expected=[self.model_digest, self.settings_digest],
        )
        flow = Flow([first], output=first.output, name=self.name)
        return tagged(flow, resource_for(self.calculator))
