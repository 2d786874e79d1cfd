"""What all documents have in common, and a frozen list of their fields.

A change of a schema must be a visible change of the list below, of ``SCHEMA_VERSION``, and a
new file in ``golden``: one document of every released version, which must stay readable.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

import stores.documents as room
from stores.documents import (
    DecisionDocument,
    FailureDocument,
    ForceDocument,
    HullDocument,
    LabelledCellsDocument,
    LaunchDocument,
    ModelDocument,
    PhononDocument,
    PolymorphsDocument,
    PredictionDocument,
    StructureDocument,
    VibrationalDocument,
)

GOLDEN = Path(__file__).parent / "golden"

FIELDS = {
    StructureDocument: """material_id structure_digest formula_reduced chemsys elements n_elements
        n_atoms volume_angstrom3_per_atom space_group_number space_group_symbol prototype label
        structure sources duplicate_of duplicates parent_id parent_relation repairs
        static_energy_ev_per_atom static_energy_source other_energies notes""",
    PredictionDocument: """prediction_id material_id structure_digest formula_reduced tier settings
        model_settings structure static_energy_ev_per_atom static_energy_source thermodynamics
        spread intervals stability spectral_properties force_constants thermal_conductivity
        relaxation cost warnings""",
    PhononDocument: """prediction_id material_id structure_digest structure supercell_matrix
        n_supercell_atoms n_displacements n_displaced_cells has_born_charges has_energies
        has_third_order conductivity_method conductivity_mesh has_conductivity_std segment_starts
        band_labels forces_blob force_constants_blob displaced_cells_blob conductivity_blob
        density_of_states_blob band_structure_blob""",
    DecisionDocument: """decision_id prediction_id material_id composition question alpha outcome
        reason detail answer tier next_tier is_reference intervals spent_seconds
        expected_core_hours""",
    VibrationalDocument: """material_id formula_reduced chemsys elements n_elements n_atoms
        space_group_number space_group_symbol prototype label prediction_id n_predictions method
        tier model verdict criterion lowest_frequency_thz lowest_frequency_std_thz
        thermodynamics_valid dropped_weight imaginary_weight zero_point_energy_mev_per_atom
        free_energy_300k_mev_per_atom free_energy_300k_std_mev_per_atom
        free_energy_300k_lower_mev_per_atom free_energy_300k_upper_mev_per_atom
        entropy_300k_mev_per_k_per_atom heat_capacity_300k_mev_per_k_per_atom
        free_energy_1000k_mev_per_atom free_energy_1000k_std_mev_per_atom
        entropy_1000k_mev_per_k_per_atom heat_capacity_1000k_mev_per_k_per_atom
        thermal_conductivity_300k_w_per_m_k thermal_conductivity_300k_std_w_per_m_k
        thermal_conductivity_prediction_id static_energy_ev_per_atom static_energy_source warnings
        input_digest""",
    PolymorphsDocument: """composition_key formula_reduced chemsys elements n_polymorphs
        material_ids temperatures_k tie_mev_per_atom reference_id lowest_300k_id energy_kind
        energy_source polymorphs excluded candidate_ids candidates first_transition_temperature_k
        crossings lowest_probability not_comparable flags input_digest""",
    HullDocument: """chemsys elements n_elements available reason detail temperatures_k energy_kind
        energy_source material_ids stable_300k_ids phases excluded flags input_digest""",
    ModelDocument: """model_id name version kind model_digest atomic_numbers training_set_digest
        n_training_samples metrics calibration weights_blob state card notes""",
    FailureDocument: """failure_id material_id subject stage method tier prediction_id code message
        reason cause next_step attempts""",
    ForceDocument: """force_id kind calculator calculator_digest material_id prediction_id formula
        n_atoms wall_seconds cpu_seconds blob""",
    LabelledCellsDocument: """labelled_cells_id material_id structure_digest formula_reduced chemsys
        elements n_elements n_cells n_cell_atoms calculator calculator_digest settings
        settings_digest has_energies has_stresses mean_force_ev_per_angstrom
        largest_force_ev_per_angstrom wall_seconds pairs blob""",
    LaunchDocument: """launch_id engine queue name purpose material_ids keys n_jobs state""",
}
HEAD = ["schema_version", "last_updated", "provenance"]
KINDS = pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)

UNITS = (
    "_k",
    "_thz",
    "_ghz",
    "_angstrom",
    "_gpa",
    "_seconds",
    "_core_hours",
    "_angstrom3_per_atom",
    "_ev_per_atom",
    "_mev_per_atom",
    "_mev_per_k_per_atom",
    "_ev_per_angstrom",
    "_w_per_m_k",
)
DIMENSIONLESS = {
    "alpha",
    "atomic_fraction",
    "coverage",
    "dropped_weight",
    "fractional_coordinates",
    "imaginary_weight",
    "lowest_frequency_q_point",
    "lowest_probability",
    "negative_fraction",
    "negative_fraction_ends",
    "probability_below_reference",
    "volume_ratio",
}
IN_THE_UNIT_OF_THE_QUANTITY = {"lower", "upper", "value"}


def models(kind, seen=None):
    """Return a model and all models inside it."""
    seen = {} if seen is None else seen
    if kind not in seen:
        seen[kind] = None
        for field in kind.model_fields.values():
            for part in parts(field.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    models(part, seen)
    return list(seen)


def parts(annotation):
    """Return all types that an annotation is made of."""
    inside = get_args(annotation)
    return [annotation] if not inside else [p for one in inside for p in parts(one)]


@KINDS
def test_fields_are_frozen(kind):
    assert list(kind.model_fields) == HEAD + FIELDS[kind].split()


@KINDS
def test_every_field_says_what_it_is(kind):
    for model in models(kind):
        for name, field in model.model_fields.items():
            assert field.description, (model, name)
            assert field.description.endswith("."), (model, name)


@KINDS
def test_every_number_says_its_unit(kind):
    for model in models(kind):
        for name, field in model.model_fields.items():
            if float in parts(field.annotation):
                named = name.endswith(UNITS) or name in DIMENSIONLESS | IN_THE_UNIT_OF_THE_QUANTITY
                assert named, (model, name)


@KINDS
def test_absence_is_explained(kind):
    for model in models(kind):
        for name, field in model.model_fields.items():
            if type(None) in parts(field.annotation):
                assert "none " in (field.description or ""), (model, name)
            if name != "last_updated":
                assert field.is_required(), (model, name)


@KINDS
def test_key_and_indexes_are_fields(kind):
    module = sys.modules[kind.__module__]
    assert module.KEY == kind.KEY
    assert module.INDEXED_FIELDS == kind.INDEXED_FIELDS
    assert len(set(kind.INDEXED_FIELDS)) == len(kind.INDEXED_FIELDS)
    for path in (kind.KEY, *kind.INDEXED_FIELDS):
        model = [kind]
        for name in path.split("."):
            owner = next(m for m in model if hasattr(m, "model_fields"))
            model = parts(owner.model_fields[name].annotation)


@KINDS
def test_every_released_version_stays_readable(kind):
    for version in range(1, kind.SCHEMA_VERSION + 1):
        stored = json.loads((GOLDEN / f"{kind.__name__}_v{version}.json").read_text("utf-8"))
        document = kind.load(stored)
        assert document.schema_version == kind.SCHEMA_VERSION
        assert kind.load(document.to_store()) == document
        if version == kind.SCHEMA_VERSION:
            assert document.content_digest == stored["content_digest"]


@KINDS
def test_every_flipped_leaf_of_a_golden_document_is_detected(kind):
    from screening.errors import CorruptDataError

    path = GOLDEN / f"{kind.__name__}_v{kind.SCHEMA_VERSION}.json"
    stored = json.loads(path.read_text("utf-8"))
    for name in set(stored) - {"_id", "last_updated", "content_digest"}:
        for value in ("flipped", None, 12345, [], {}):
            if stored[name] != value:
                with pytest.raises(CorruptDataError):
                    kind.load(stored | {name: value})


def test_all_documents_are_listed():
    listed = {name for name in room.__all__ if name.endswith("Document")} - {"Document"}
    assert listed == {kind.__name__ for kind in FIELDS}
    assert sorted(room.__all__) == room.__all__
    for name in room.__all__:
        assert getattr(room, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = room.NothingDocument


def test_importing_the_package_loads_no_document():
    code = "import sys, stores.documents; print('pydantic' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
