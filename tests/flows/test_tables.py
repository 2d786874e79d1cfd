"""Tables and payloads say what the documents say, in any width, with stable names."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from rich.console import Console, RenderableType

from flows import tables
from flows.events import MaterialEvent, Outcome
from flows.run import ScreenReport
from screening.errors import ElementNotInModelError, SettingError
from screening.prediction import (
    Cost,
    Prediction,
    Stability,
    ThermodynamicsSpread,
    Verdict,
    frozen_array,
)
from screening.predictors.assembly import _SINGLE_CELL
from screening.predictors.linear_entropy import _ZONE_CENTRE
from screening.predictors.random_forest import _NO_INTERVALS, _ZONE_CENTRE_ONLY
from screening.random_forest.calibration import INTERVALS_HOLD
from screening.ranking import Candidate, rank_polymorphs
from screening.structure import canonical_crystal
from screening.thermodynamics import ThermodynamicsSettings, thermodynamics
from stores.documents import (
    FailureDocument,
    PolymorphsDocument,
    PredictionDocument,
    Provenance,
    StructureDocument,
    VibrationalDocument,
)

ZONE_CENTRE_WARNINGS = (_ZONE_CENTRE_ONLY, _ZONE_CENTRE)
MESH_WARNINGS = (_SINGLE_CELL, *_NO_INTERVALS.values(), *INTERVALS_HOLD.values())
GRID = ThermodynamicsSettings(temperatures_k=(0.0, 300.0, 1000.0))


def einstein(frequency_thz: float) -> Any:
    frequencies = np.full((1, 3), frequency_thz)
    return thermodynamics(frequencies, np.ones(1), 1, GRID, is_gamma=np.array([False]))


def rendered(table: RenderableType, width: int = 200) -> str:
    console = Console(width=width, record=True, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.fixture
def ranking() -> dict[str, Any]:
    """Two tied phases that cross, one far away, one with imaginary modes."""
    phases = {"alpha": (0.0, 6.0), "beta [b]": (4.0, 5.9), "far": (90.0, 6.0), "soft": (1.0, -2.0)}
    candidates = [
        Candidate(
            material_id=f"ps-{label[0] * 16}",
            label=label,
            space_group_symbol="I4_1/amd",
            formula="Sn",
            static_energy_ev_per_atom=None,
            static_energy_source=None,
            potential_energy_ev_per_atom=energy / 1000.0,
            potential_energy_source="emt",
            thermodynamics=einstein(frequency),
            verdict=Verdict.STABLE,
            method="einstein",
        )
        for label, (energy, frequency) in phases.items()
    ]
    return PolymorphsDocument.from_ranking(
        rank_polymorphs(candidates),
        composition_key="Sn",
        elements=["Sn"],
        prediction_ids={one.material_id: "0" * 64 for one in candidates},
        input_digest="0" * 64,
        provenance=Provenance.now(method="polymorphs", method_version=1),
    ).to_store()


@pytest.fixture
def structure() -> dict[str, Any]:
    crystal = canonical_crystal(
        Structure.from_spacegroup("Fd-3m", Lattice.cubic(6.489), ["Sn"], [[0, 0, 0]])
    )
    return StructureDocument.from_crystal(
        crystal, source="Sn-alpha.cif", label="alpha", notes=("experiment: stable below 286 K",)
    ).to_store()


@pytest.fixture
def prediction(structure: dict[str, Any]) -> dict[str, Any]:
    stable = {"phonoscreen": Verdict.STABLE}
    result = einstein(5.0)
    zeros = np.zeros(3)
    return PredictionDocument.from_prediction(
        Prediction(
            method="potential_phonons",
            method_version=1,
            tier=1,
            model="emt",
            model_digest="0" * 64,
            structure_digest=structure["structure_digest"],
            settings={},
            settings_digest="0" * 64,
            structure=Structure(Lattice.cubic(3), ["Sn"], [[0, 0, 0]]),
            thermodynamics=result,
            stability=Stability(
                Verdict.STABLE, "phonoscreen", 0.5, frozen_array(zeros), "mesh", stable
            ),
            cost=Cost(1.0, 1.0, 0.5, 3),
            spread=ThermodynamicsSpread(
                frozen_array([1.0, 1.5, 2.5]), frozen_array(zeros), frozen_array(zeros), 0.2, 3
            ),
            warnings=("the model is soft",),
        ),
        structure["material_id"],
    ).to_store()


@pytest.fixture
def summary(structure: dict[str, Any], prediction: dict[str, Any]) -> dict[str, Any]:
    shared = ("material_id", "formula_reduced", "chemsys", "elements", "n_elements", "n_atoms")
    about = ("space_group_number", "space_group_symbol", "prototype", "label")
    curves = prediction["thermodynamics"]
    return VibrationalDocument.build(
        provenance=Provenance.now(method="vibrational", method_version=1),
        **{name: structure[name] for name in (*shared, *about)},
        prediction_id=prediction["prediction_id"],
        n_predictions=1,
        method="potential_phonons",
        tier=1,
        model="emt",
        verdict="stable",
        criterion="phonoscreen",
        lowest_frequency_thz=0.5,
        lowest_frequency_std_thz=0.2,
        thermodynamics_valid=True,
        dropped_weight=0.0,
        imaginary_weight=0.0,
        zero_point_energy_mev_per_atom=curves["zero_point_energy_mev_per_atom"],
        free_energy_300k_mev_per_atom=curves["free_energy_mev_per_atom"][1],
        free_energy_300k_std_mev_per_atom=1.5,
        free_energy_300k_lower_mev_per_atom=None,
        free_energy_300k_upper_mev_per_atom=None,
        entropy_300k_mev_per_k_per_atom=curves["entropy_mev_per_k_per_atom"][1],
        heat_capacity_300k_mev_per_k_per_atom=curves["heat_capacity_mev_per_k_per_atom"][1],
        free_energy_1000k_mev_per_atom=curves["free_energy_mev_per_atom"][2],
        free_energy_1000k_std_mev_per_atom=2.5,
        thermal_conductivity_300k_w_per_m_k=None,
        thermal_conductivity_300k_std_w_per_m_k=None,
        thermal_conductivity_prediction_id=None,
        entropy_1000k_mev_per_k_per_atom=curves["entropy_mev_per_k_per_atom"][2],
        heat_capacity_1000k_mev_per_k_per_atom=curves["heat_capacity_mev_per_k_per_atom"][2],
        static_energy_ev_per_atom=None,
        static_energy_source=None,
        warnings=("the model is soft",),
        input_digest="0" * 64,
    ).to_store()


@pytest.fixture
def failure(structure: dict[str, Any]) -> dict[str, Any]:
    error = ElementNotInModelError("no Sn in this model", hint="Use another model")
    return FailureDocument.from_error(
        error, stage="predict", material_id=structure["material_id"]
    ).to_store()


def rows_of(text: str, word: str) -> list[str]:
    return [line for line in text.splitlines() if word in line]


class TestRankingTable:
    def test_order_ties_and_reasons(self, ranking: dict[str, Any]) -> None:
        text = rendered(tables.table_ranking([ranking]))
        firsts = [line.split() for line in text.splitlines() if "I4_1/amd" in line]
        assert firsts[0][:3] == ["Sn", "1=", "alpha"]
        assert firsts[1][:2] == ["2=", "beta"]
        assert firsts[2][:2] == ["3", "far"]
        assert firsts[3][:2] == ["-", "soft"]
        assert ranking["excluded"][0]["detail"] in rows_of(text, "soft")[0]
        assert "90.0" in rows_of(text, "far")[0]

    def test_brackets_in_names_are_no_markup(self, ranking: dict[str, Any]) -> None:
        assert "beta [b]" in rendered(tables.table_ranking([ranking]))

    def test_transition_is_noted_where_it_begins(self, ranking: dict[str, Any]) -> None:
        crossing = next(one for one in ranking["crossings"] if one["between_lowest"])
        expected = f"beta [b] above {crossing['temperature_k']:.0f} K"
        assert expected in rows_of(rendered(tables.table_ranking([ranking])), "alpha")[0]

    def test_experiment_and_lowest_frequency(
        self, ranking: dict[str, Any], summary: dict[str, Any]
    ) -> None:
        known = summary | {"material_id": "ps-" + "a" * 16}
        said = tables.experiments_of(
            [{"material_id": "ps-" + "a" * 16, "notes": ["experiment: stable below 286 K"]}]
        )
        table = tables.table_ranking([ranking], materials=[known], experiments=said)
        line = rows_of(rendered(table), "alpha")[0]
        assert "stable below 286 K" in line
        assert "0.50" in line
        assert "experiment" not in rendered(tables.table_ranking([ranking]))

    def test_notes_of_the_import_are_not_experiment(self) -> None:
        documents = [
            {"material_id": "a", "notes": ["citation: x", "experiment: stable", "forces kept"]},
            {"material_id": "b", "notes": ["forces kept"]},
            {"material_id": "c", "notes": []},
        ]
        assert tables.experiments_of(documents) == {"a": "stable"}

    def test_a_temperature_off_the_grid_is_a_dash(self, ranking: dict[str, Any]) -> None:
        text = rendered(tables.table_ranking([ranking], temperatures_k=[450.0]))
        assert "+" not in "".join(rows_of(text, "I4_1/amd"))

    @pytest.mark.parametrize("width", [50, 60, 80, 100, 120, 160])
    def test_every_width_shows_phase_and_energy(self, ranking: dict[str, Any], width: int) -> None:
        said = {"ps-" + "a" * 16: "a long note that says what experiment has found about it"}
        text = rendered(tables.table_ranking([ranking], experiments=said, width=width), width)
        assert all(len(line) <= width for line in text.splitlines())
        assert "…" not in text
        assert "90.0" in rows_of(text, "far")[0]

    def test_no_rankings(self) -> None:
        assert "formula" in rendered(tables.table_ranking([]))


class TestMaterialTables:
    def test_query(self, summary: dict[str, Any]) -> None:
        line = rows_of(rendered(tables.table_query([summary])), summary["material_id"])[0]
        free = summary["free_energy_300k_mev_per_atom"]
        assert f"{free:.1f} " in line
        invalid = summary | {"thermodynamics_valid": False}
        line = rows_of(rendered(tables.table_query([invalid])), summary["material_id"])[0]
        assert f"{free:.1f}*" in line

    @pytest.mark.parametrize("said", ZONE_CENTRE_WARNINGS)
    def test_query_marks_sums_of_the_zone_centre_whichever_method_made_them(
        self, summary: dict[str, Any], said: str
    ) -> None:
        free = summary["free_energy_300k_mev_per_atom"]
        sums = summary | {"material_id": "other", "warnings": [said]}
        text = rendered(tables.table_query([summary, sums]))
        assert f"{free:.1f} Γ" in rows_of(text, "other")[0]
        assert "Γ" not in rows_of(text, summary["material_id"])[0]
        assert text.count("zone centre alone") == 1

    @pytest.mark.parametrize("said", MESH_WARNINGS)
    def test_query_marks_no_sum_over_a_mesh(self, summary: dict[str, Any], said: str) -> None:
        """Not even of a cell, or by a model, of which the zone centre alone is known."""
        text = rendered(tables.table_query([summary | {"warnings": [said]}]))
        assert "Γ" not in text

    def test_query_names_several_models_in_any_terminal(self, summary: dict[str, Any]) -> None:
        other = summary | {"model": "ldml:salts"}
        assert "ldml:salts" in rendered(tables.table_query([summary, other], width=80), 80)
        narrow = rendered(tables.table_query([other, other], width=80), 80)
        assert "ldml:salts" not in narrow
        assert "a wider terminal shows" in narrow

    def test_query_and_show_have_the_interval_where_there_is_one(
        self, structure: dict[str, Any], summary: dict[str, Any]
    ) -> None:
        assert "interval" not in rendered(tables.table_query([summary]))
        ends = dict(zip(("lower", "upper"), (-12.34, 5.67), strict=True))
        sure = {f"free_energy_300k_{end}_mev_per_atom": value for end, value in ends.items()}
        text = rendered(tables.table_query([summary, summary | sure]))
        assert "interval" in text
        assert "-12.3 to 5.7" in text
        shown = rendered(tables.table_show(structure, summary=summary | sure))
        assert "interval -12.3 to 5.7" in shown

    def test_show(
        self,
        structure: dict[str, Any],
        summary: dict[str, Any],
        prediction: dict[str, Any],
        failure: dict[str, Any],
    ) -> None:
        text = rendered(
            tables.table_show(
                structure, summary=summary, prediction=prediction, failures=[failure]
            ),
            100,
        )
        for expected in ("Sn-alpha.cif", "stable below 286 K", "the model is soft", "0.50 THz"):
            assert expected in text
        assert "ELEMENT_NOT_IN_MODEL" in text
        assert f"{prediction['thermodynamics']['free_energy_mev_per_atom'][2]:.2f}" in text

    def test_show_says_the_conductivity_with_its_uncertainty(
        self, structure: dict[str, Any], summary: dict[str, Any], prediction: dict[str, Any]
    ) -> None:
        learned = prediction | {
            "thermal_conductivity": {
                "temperatures_k": [100.0, 300.0],
                "conductivity_w_per_m_k": [41.26, 12.34],
                "conductivity_std_w_per_m_k": [3.31, 0.456],
                "method": "rta",
            }
        }
        known = summary | {
            "thermal_conductivity_300k_w_per_m_k": 12.34,
            "thermal_conductivity_300k_std_w_per_m_k": 0.456,
            "thermal_conductivity_prediction_id": summary["prediction_id"],
        }
        text = rendered(tables.table_show(structure, summary=known, prediction=learned), 100)
        assert "12.3 ± 0.456 W/m/K at 300 K\n" in re.sub(" +\n", "\n", text)
        assert ["100", "41.3", "3.31"] in [line.split() for line in text.splitlines()]
        assert "relaxation times" in text
        other = known | {"thermal_conductivity_prediction_id": "ab" * 32}
        assert "(prediction abababababab)" in rendered(tables.table_show(structure, summary=other))
        learned["thermal_conductivity"]["conductivity_std_w_per_m_k"] = None
        sure = known | {"thermal_conductivity_300k_std_w_per_m_k": None}
        text = rendered(tables.table_show(structure, summary=sure, prediction=learned), 100)
        assert "12.3 W/m/K at 300 K" in text
        assert ["100", "41.3"] in [line.split() for line in text.splitlines()]
        without = rendered(tables.table_show(structure, summary=summary, prediction=prediction))
        assert "W/m/K" not in without

    def test_show_before_a_prediction(self, structure: dict[str, Any]) -> None:
        assert "not predicted yet" in rendered(tables.table_show(structure))

    def test_failures(self, failure: dict[str, Any]) -> None:
        text = rendered(tables.table_failures([failure]))
        assert "no Sn in this model" in text
        assert "Use another model" in text


REPORT = ScreenReport(
    outcomes={"computed": 2, "failed": 1},
    failures=(MaterialEvent("ps-1", "Sn", Outcome.FAILED, 0.1, "OVERLAP: atoms [1] touch"),),
    written={"vibrational": 2},
    wall_seconds=1.25,
)
STATUS = tables.Status(
    uri="sqlite:///a.db",
    collections={"structures": 3},
    pending=1,
    verdicts={"stable": 2},
    failures={"OVERLAP": 1},
)


class TestRuns:
    def test_screen(self) -> None:
        text = rendered(tables.table_screen(REPORT))
        assert "computed now" in text
        assert "atoms [1] touch" in text

    def test_status(self) -> None:
        text = rendered(tables.table_status(STATUS))
        assert "1 materials left to predict" in text
        assert "predictions by model" not in text
        assert "better method" not in text

    def test_status_is_not_done_while_a_better_method_is_asked(self) -> None:
        text = rendered(tables.table_status(replace(STATUS, pending=0, escalated=2)))
        assert "2 materials wait for a better method: run the same command again" in text
        assert "nothing left to do" not in text
        assert "nothing left to do" in rendered(tables.table_status(replace(STATUS, pending=0)))


class TestPayloads:
    def test_query_holds_the_documents_numbers(self, summary: dict[str, Any]) -> None:
        payload = tables.payload_query([summary])
        one = payload["materials"][0]
        assert payload["n_materials"] == 1
        assert one["free_energy_300k_mev_per_atom"] == summary["free_energy_300k_mev_per_atom"]
        assert set(one) == set(tables.payload_fields("query"))

    def test_ranking(self, ranking: dict[str, Any], summary: dict[str, Any]) -> None:
        key = "ps-" + "a" * 16
        payload = tables.payload_ranking(
            [ranking], materials=[summary | {"material_id": key}], experiments={key: "stable"}
        )
        composition = payload["compositions"][0]
        first = composition["polymorphs"][0]
        assert composition["temperatures_k"] == [0.0, 300.0, 1000.0]
        assert len(first["relative_free_energy_mev_per_atom"]) == 3
        assert (first["experiment"], first["lowest_frequency_thz"]) == ("stable", 0.5)
        assert composition["excluded"][0]["experiment"] is None
        assert len(composition["transitions"]) == 1
        described = set(tables.payload_fields("rank")) - {"experiment", "lowest_frequency_thz"}
        assert set(composition) == described

    def test_show(
        self, structure: dict[str, Any], summary: dict[str, Any], prediction: dict[str, Any]
    ) -> None:
        payload = tables.payload_show(structure, summary=summary, prediction=prediction)
        curves = payload["thermodynamics"]
        assert len(curves["free_energy_mev_per_atom"]) == len(curves["temperatures_k"])
        assert payload["spread"]["n_members"] == 3
        assert payload["model_settings"] == prediction.get("model_settings", {})
        assert payload["warnings"] == ["the model is soft"]
        empty = tables.payload_show(structure)
        assert empty["summary"] is None
        assert empty["thermodynamics"] is None
        heads = {"payload", "payload_version", "material_id"}
        assert set(payload) == set(empty) == heads | set(tables.payload_fields("show"))

    def test_status_and_screen(self) -> None:
        status, report = tables.payload_status(STATUS), tables.payload_screen(REPORT)
        assert status["failures"] == {"OVERLAP": 1}
        assert report["failures"][0]["detail"] == "OVERLAP: atoms [1] touch"
        for payload in (status, report):
            names = set(payload) - {"payload", "payload_version"}
            assert names == set(tables.payload_fields(payload["payload"]))

    def test_all_are_json_and_the_documents_stay_as_they_were(
        self,
        ranking: dict[str, Any],
        structure: dict[str, Any],
        summary: dict[str, Any],
        prediction: dict[str, Any],
        failure: dict[str, Any],
    ) -> None:
        before = json.dumps([ranking, structure, summary, prediction, failure], default=str)
        payloads = [
            tables.payload_query([summary]),
            tables.payload_ranking([ranking]),
            tables.payload_show(
                structure, summary=summary, prediction=prediction, failures=[failure]
            ),
            tables.payload_status(STATUS),
            tables.payload_screen(REPORT),
        ]
        assert [one["payload"] for one in payloads] == [
            "query",
            "rank",
            "show",
            "status",
            "screen",
        ]
        for payload in payloads:
            json.dumps(payload, allow_nan=False)
        after = json.dumps([ranking, structure, summary, prediction, failure], default=str)
        assert after == before

    def test_every_field_is_described(self) -> None:
        for kind in ("query", "rank", "show", "status", "screen"):
            assert all(text for text in tables.payload_fields(kind).values())
        with pytest.raises(SettingError, match="there is no payload 'dance'"):
            tables.payload_fields("dance")
