"""What the command line shows: documents as rich tables, and as JSON with stable fields.

What may live here: pure functions from plain documents to renderables and payloads. Nothing
here prints, queries or computes physics.
"""

from __future__ import annotations

from flows.tables.calibration import payload_calibrations, table_calibration, table_known
from flows.tables.gaussian_process import (
    payload_cell_plan,
    payload_conductivity,
    payload_fit,
    table_cell_plan,
    table_conductivity,
    table_fit,
)
from flows.tables.hull import table_hull
from flows.tables.kernels import (
    payload_kernel_fit,
    payload_learning,
    table_kernel_fit,
    table_learning,
)
from flows.tables.labelling import (
    payload_imported_cells,
    payload_labelled_cells,
    table_imported_cells,
    table_labelled_cells,
)
from flows.tables.launches import payload_launch, table_launch
from flows.tables.materials import table_failures, table_query, table_show
from flows.tables.models import (
    payload_model,
    payload_models,
    payload_potentials,
    payload_predicting,
    payload_scaled,
    payload_training,
    table_model,
    table_models,
    table_potentials,
    table_predicting,
    table_scaled,
    table_training,
)
from flows.tables.payloads import (
    payload_fields,
    payload_hull,
    payload_plan,
    payload_query,
    payload_ranking,
    payload_routing,
    payload_screen,
    payload_show,
    payload_status,
    payload_trail,
)
from flows.tables.plan import table_plan
from flows.tables.ranking import experiments_of, table_ranking
from flows.tables.routing import table_routing
from flows.tables.runs import Status, table_screen, table_status
from flows.tables.trail import table_trail

__all__ = [
    "Status",
    "experiments_of",
    "payload_calibrations",
    "payload_cell_plan",
    "payload_conductivity",
    "payload_fields",
    "payload_fit",
    "payload_hull",
    "payload_imported_cells",
    "payload_kernel_fit",
    "payload_labelled_cells",
    "payload_launch",
    "payload_learning",
    "payload_model",
    "payload_models",
    "payload_plan",
    "payload_potentials",
    "payload_predicting",
    "payload_query",
    "payload_ranking",
    "payload_routing",
    "payload_scaled",
    "payload_screen",
    "payload_show",
    "payload_status",
    "payload_trail",
    "payload_training",
    "table_calibration",
    "table_cell_plan",
    "table_conductivity",
    "table_failures",
    "table_fit",
    "table_hull",
    "table_imported_cells",
    "table_kernel_fit",
    "table_known",
    "table_labelled_cells",
    "table_launch",
    "table_learning",
    "table_model",
    "table_models",
    "table_plan",
    "table_potentials",
    "table_predicting",
    "table_query",
    "table_ranking",
    "table_routing",
    "table_scaled",
    "table_screen",
    "table_show",
    "table_status",
    "table_trail",
    "table_training",
]
