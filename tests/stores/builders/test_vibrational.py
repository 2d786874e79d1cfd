"""The best-available summary: the rule, and building only what changed."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from math import inf
from random import Random

import pytest

from screening.decisions.outcome import Answer, Decision, Outcome, Reason, Standing
from screening.errors import InconsistentDataError
from screening.quantities import Property, Quantity
from screening.uncertainty.interval import Interval
from stores.builders.vibrational import best_prediction, build_vibrational, summarise
from stores.documents.decision import DecisionDocument
from stores.documents.failure import FailureDocument
from stores.documents.interval import IntervalRecord
from stores.documents.prediction import ForceConstantsRecord
from stores.documents.records import ConductivityRecord
from stores.documents.vibrational import VibrationalDocument
from stores.query import by_field, parse_filter

ANSWER = Answer("1 meV/atom", {})


def decision(prediction, outcome=Outcome.ACCEPT, *, question="q", intervals=()):
    escalates = outcome is Outcome.ESCALATE
    made = Decision(
        outcome,
        Reason.INTERVAL_TOO_WIDE if escalates else Reason.INTERVAL_WITHIN_TOLERANCE,
        2 if escalates else None,
        tuple(intervals),
        "because",
        None if escalates else ANSWER,
    )
    return DecisionDocument.from_decision(
        made,
        question=question,
        material_id=prediction.material_id,
        prediction_id=prediction.prediction_id,
        standing=Standing(prediction.tier, None),
    )


def test_a_lowest_frequency_that_the_method_does_not_know_is_none(make_structure, make_prediction):
    structure = make_structure("m")
    given = make_prediction(structure, 2e-4, std=0.5)
    spread = given.spread.model_copy(update={"lowest_frequency_std_thz": None})
    summary = summarise(structure, [given.model_copy(update={"spread": spread})])
    assert summary.lowest_frequency_thz is None
    assert summary.lowest_frequency_std_thz is None
    assert summary.free_energy_300k_std_mev_per_atom == 0.5
    assert VibrationalDocument.load(summary.to_store()) == summary


def test_summary_of_one_prediction(make_structure, make_prediction):
    structure = make_structure("m", energy=-8.5, label="rutile")
    prediction = make_prediction(structure, 2e-4, std=0.5)
    summary = summarise(structure, [prediction])
    assert VibrationalDocument.load(summary.to_store()) == summary
    assert summary.free_energy_300k_mev_per_atom == pytest.approx(50 - 9.0)
    assert summary.entropy_300k_mev_per_k_per_atom == pytest.approx(0.06)
    assert summary.heat_capacity_300k_mev_per_k_per_atom == pytest.approx(0.06)
    assert summary.free_energy_1000k_mev_per_atom == pytest.approx(50 - 100.0)
    assert summary.free_energy_300k_std_mev_per_atom == 0.5
    assert summary.lowest_frequency_std_thz == 0.1
    assert (summary.static_energy_ev_per_atom, summary.static_energy_source) == (-8.5, "PBE")
    assert (summary.label, summary.method, summary.tier) == ("rutile", "potential-phonons", 1)
    assert summary.free_energy_300k_lower_mev_per_atom is None


def test_potential_energy_where_none_is_given(make_structure, make_prediction):
    structure = make_structure("m")
    summary = summarise(structure, [make_prediction(structure)])
    assert summary.static_energy_source == "chgnet:0.3.0"


def test_rule_of_the_best_prediction(make_structure, make_prediction):
    structure = make_structure("m")
    ladder = [
        make_prediction(structure, tier=0, method_version=9, std=1.0),
        make_prediction(structure, tier=1, method_version=1),
        make_prediction(structure, tier=1, method_version=2),
        make_prediction(structure, tier=1, method_version=1, model_digest="d" * 64, std=1.0),
        make_prediction(structure, tier=1, method_version=1, model_digest="e" * 64),
        make_prediction(structure, tier=3, method="dft"),
    ]
    accepted = decision(ladder[4])
    for upto in range(1, len(ladder) + 1):
        for shuffle in range(5):
            some = ladder[:upto]
            Random(shuffle).shuffle(some)
            assert best_prediction(some, [accepted]) is ladder[upto - 1]


def test_of_two_trained_models_the_narrower_one_is_shown_whichever_was_asked_last(
    make_structure, make_prediction
):
    structure = make_structure("halite")

    def fast(digest, half_width, when):
        one = make_prediction(structure, tier=0, model_digest=digest * 64)
        quantity = Quantity(Property.FREE_ENERGY, 300.0)
        value = -10.0
        ends = (value - half_width, value + half_width) if half_width else (-inf, inf)
        records = (IntervalRecord.from_interval(Interval(quantity, value, *ends, 0.9)),)
        return one.model_copy(update={"intervals": records, "last_updated": when})

    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    narrow, wide = fast("d", 2.0, early), fast("e", 20.0, late)
    for order in ([narrow, wide], [wide, narrow]):
        assert best_prediction(order) is narrow
    assert best_prediction([wide, fast("f", None, late)]) is wide
    # another tier knows no such order: there the newest counts
    newer = make_prediction(structure, tier=1).model_copy(update={"last_updated": late})
    older = make_prediction(structure, tier=1, model_digest="d" * 64)
    older = older.model_copy(update={"intervals": narrow.intervals, "last_updated": early})
    assert best_prediction([newer, older]) is newer


def test_samples_of_force_constants_are_no_committee(make_structure, make_prediction):
    structure = make_structure("m")
    committee = make_prediction(structure, std=1.0)  # of three members
    fit = ForceConstantsRecord(highest_order=3, n_supercell_atoms=64, n_cells=2)
    sampled = make_prediction(structure, method="gp", std=1.0)
    spread = sampled.spread.model_copy(update={"n_members": 32})
    sampled = sampled.replaced(force_constants=fit, spread=spread)
    assert best_prediction([committee, sampled]) is committee
    assert best_prediction([sampled, committee]) is committee


def test_groups_of_a_calibration_are_no_committee(make_structure, make_prediction):
    structure = make_structure("m")
    older, newer = (
        make_prediction(structure, method=name, std=1.0, tier=0) for name in ("older", "newer")
    )
    spread = older.spread.model_copy(update={"n_members": 189})
    older = older.replaced(spread=spread, last_updated=newer.last_updated - timedelta(hours=1))
    assert best_prediction([older, newer]) is newer
    assert best_prediction([newer, older]) is newer


def test_no_prediction_no_summary():
    with pytest.raises(InconsistentDataError):
        best_prediction([])


def with_conductivity(prediction, value, std=None, temperatures_k=(300.0, 400.0)):
    curve = ConductivityRecord(
        temperatures_k=temperatures_k,
        conductivity_w_per_m_k=(value, value / 2),
        conductivity_std_w_per_m_k=None if std is None else (std, std / 2),
        method="rta",
    )
    return prediction.replaced(thermal_conductivity=curve)


def conductivity_of(summary):
    return (
        summary.thermal_conductivity_300k_w_per_m_k,
        summary.thermal_conductivity_300k_std_w_per_m_k,
        summary.thermal_conductivity_prediction_id,
    )


def test_conductivity_of_the_best_prediction_that_has_it(make_structure, make_prediction):
    structure = make_structure("m")
    potential = with_conductivity(make_prediction(structure), 9.0)
    few_cells = with_conductivity(make_prediction(structure, tier=2, method="gp"), 7.0, 0.5)
    systematic = make_prediction(structure, tier=3, method="dft")
    every = [potential, few_cells, systematic]
    for shuffle in range(5):
        Random(shuffle).shuffle(every)
        summary = summarise(structure, every)
        assert summary.prediction_id == systematic.prediction_id
        assert conductivity_of(summary) == (7.0, 0.5, few_cells.prediction_id)
    summary = summarise(structure, [potential, systematic])
    assert conductivity_of(summary) == (9.0, None, potential.prediction_id)
    assert VibrationalDocument.load(summary.to_store()) == summary


def test_no_conductivity_where_none_is_at_room_temperature(make_structure, make_prediction):
    structure = make_structure("m")
    cold = with_conductivity(make_prediction(structure), 9.0, temperatures_k=(100.0, 200.0))
    assert conductivity_of(summarise(structure, [cold])) == (None, None, None)


def test_a_conductivity_can_be_asked_for(db, make_structure, make_prediction):
    for index in range(5):
        structure = make_structure(f"m{index}")
        prediction = make_prediction(structure)
        if index:
            prediction = with_conductivity(prediction, float(index))
        db.put(structure, prediction)
    build_vibrational(db)
    name = "thermal_conductivity_300k_w_per_m_k"
    fields = tuple(VibrationalDocument.model_fields)
    for text, found in (
        (f"{name} >= 2 and {name} < 4", ["m2", "m3"]),
        (f"{name} = null", ["m0"]),
    ):
        rows = db.vibrational.query(parse_filter(text, fields), ["material_id"])
        assert sorted(row["material_id"] for row in rows) == found


def test_interval_of_highest_coverage_then_narrowest(make_structure, make_prediction):
    structure = make_structure("m")
    prediction = make_prediction(structure)
    other = make_prediction(structure, method_version=0 + 1, model_digest="d" * 64, tier=0)

    quantity = Quantity(Property.FREE_ENERGY, 300.0)

    def interval(lower, upper, coverage):
        return Interval(quantity, lower, lower, upper, coverage, "c")

    decisions = [
        decision(prediction, question="a", intervals=[interval(1.0, 2.0, 0.5)]),
        decision(prediction, question="b", intervals=[interval(0.0, 9.0, 0.9)]),
        decision(prediction, question="c", intervals=[interval(0.0, 5.0, 0.9)]),
        decision(prediction, question="e", intervals=[interval(0.5, math.inf, 0.99)]),
        decision(other, question="d", intervals=[interval(3.0, 3.1, 0.99)]),
    ]
    summary = summarise(structure, [prediction, other], decisions)
    assert summary.free_energy_300k_lower_mev_per_atom == 0.0
    assert summary.free_energy_300k_upper_mev_per_atom == 5.0


def test_an_open_interval_is_no_interval(make_structure, make_prediction):
    prediction = make_prediction(make_structure("m"))
    unknown = Interval(Quantity(Property.FREE_ENERGY, 300.0), 1.0, -math.inf, 4.0, 0.9)
    decided = decision(prediction, Outcome.ESCALATE, intervals=[unknown])
    summary = summarise(make_structure("m"), [prediction], [decided])
    assert summary.free_energy_300k_lower_mev_per_atom is None
    assert summary.free_energy_300k_upper_mev_per_atom is None


@pytest.mark.parametrize(
    ("decided", "shown"),
    [
        ([], (48.0, 52.0)),
        (
            [Interval(Quantity(Property.FREE_ENERGY, 300.0), 50.0, -math.inf, 9e9, 0.9)],
            (48.0, 52.0),
        ),
        ([Interval(Quantity(Property.ENTROPY, 300.0), 1.0, 0.5, 2.0, 0.9)], (48.0, 52.0)),
        ([Interval(Quantity(Property.FREE_ENERGY, 300.0), 50.0, 49.0, 53.0, 0.5)], (49.0, 53.0)),
    ],
)
def test_intervals_of_the_method_show_where_no_calibration_answered(
    make_structure, make_prediction, decided, shown
):
    quantity = Quantity(Property.FREE_ENERGY, 300.0)
    own = tuple(
        Interval(quantity, 50.0, 50.0 - half, 50.0 + half, coverage)
        for half, coverage in ((1.0, 0.5), (2.0, 0.9), (math.inf, 0.99))
    )
    prediction = make_prediction(make_structure("m"), intervals=own)
    decisions = [decision(prediction, intervals=decided)]
    summary = summarise(make_structure("m"), [prediction], decisions)
    found = (
        summary.free_energy_300k_lower_mev_per_atom,
        summary.free_energy_300k_upper_mev_per_atom,
    )
    assert found == shown


def test_build_writes_once_and_then_nothing(db, make_structure, make_prediction):
    structures = [make_structure(f"m{i}") for i in range(5)]
    db.put(*structures, *(make_prediction(one) for one in structures[:4]))
    first = build_vibrational(db)
    assert first.written == ("m0", "m1", "m2", "m3")
    db.reset_counts()
    again = build_vibrational(db)
    assert (again.written, again.removed, again.n_unchanged) == ((), (), 4)
    assert db.n_written == 0


def test_only_what_changed_is_rebuilt(db, make_structure, make_prediction):
    structures = [make_structure(f"m{i}") for i in range(4)]
    predictions = [make_prediction(one) for one in structures]
    db.put(*structures, *predictions)
    build_vibrational(db)
    db.put(make_prediction(structures[0], tier=3, method="dft"))  # a better prediction
    db.put(structures[1].replaced(label="anatase"))  # a changed structure
    db.put(decision(predictions[2]))  # a decision
    assert build_vibrational(db).written == ("m0", "m1", "m2")
    stored = db.vibrational.query_one({"material_id": "m0"})
    assert (stored["tier"], stored["n_predictions"]) == (3, 2)


def test_only_the_materials_asked_for(db, make_structure, make_prediction):
    structures = [make_structure(f"m{i}") for i in range(3)]
    db.put(*structures, *(make_prediction(one) for one in structures))
    assert build_vibrational(db, ["m1"]).written == ("m1",)
    assert build_vibrational(db).written == ("m0", "m2")


def test_clocks_do_not_matter(db, make_structure, make_prediction):
    random = Random(3)
    for i in range(300):
        structure = make_structure(f"m{i}")
        moment = random.choice(
            [
                None,
                datetime(1999, 1, 1, tzinfo=UTC),
                datetime(2100, 1, 1, tzinfo=timezone(timedelta(hours=2))),
                datetime(2026, 1, 1),  # noqa: DTZ001 - a naive time on purpose
            ]
        )
        for store, one in (
            (db.structures, structure),
            (db.predictions, make_prediction(structure)),
        ):
            store.update([one.to_store() | {"last_updated": moment}])
    assert len(build_vibrational(db).written) == 300
    assert build_vibrational(db).n_unchanged == 300


def test_summary_goes_with_its_last_prediction(db, make_structure, make_prediction):
    structure = make_structure("m")
    db.put(structure, make_prediction(structure))
    build_vibrational(db)
    db.predictions.remove_docs(by_field("material_id", "m"))
    assert build_vibrational(db).removed == ("m",)
    assert db.vibrational.count() == 0


def test_missing_structure_is_a_named_failure_and_clears(db, make_structure, make_prediction):
    structure, other = make_structure("m"), make_structure("n")
    db.put(other, make_prediction(other), make_prediction(structure))
    report = build_vibrational(db)
    assert report.written == ("n",)
    assert [(f.code, f.subject) for f in report.failures] == [("NOT_FOUND", "m")]
    assert FailureDocument.load(db.failures.query_one()).stage == "build_vibrational"
    db.reset_counts()
    build_vibrational(db)
    assert db.n_written == 0  # the same failure is not written again
    db.put(structure)
    assert build_vibrational(db).written == ("m",)
    assert db.failures.count() == 0


def test_corrupt_prediction_is_a_named_failure_of_its_material_only(
    db, make_structure, make_prediction
):
    structures = [make_structure(f"m{i}") for i in range(3)]
    db.put(*structures, *(make_prediction(one) for one in structures))
    build_vibrational(db)
    broken = make_prediction(structures[1], method_version=2).to_store()
    broken["thermodynamics"]["free_energy_mev_per_atom"][0] += 1e-9
    db.predictions.update([broken])
    report = build_vibrational(db)
    assert [(f.code, f.material_id) for f in report.failures] == [("CORRUPT_DATA", "m1")]
    assert db.vibrational.count() == 3  # the last good answer stays
    db.predictions.remove_docs(by_field("prediction_id", broken["prediction_id"]))
    build_vibrational(db)
    assert db.failures.count() == 0
