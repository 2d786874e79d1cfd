"""Decisions from what is known: which prediction is judged, and what polymorphs are compared by."""

from dataclasses import dataclass, field, replace

import pytest
from pretended_calibrations import FixedWidth
from pymatgen.core import Lattice, Structure

from flows.deciding import Judge, pending_keys
from flows.knowledge import Knowledge, Predicted
from flows.ladder import Ladder, NamedMethod, read_ladder
from flows.uncertainty import Reference, Uncalibrated, temperatures_of
from screening.decisions.outcome import Outcome, Reason
from screening.decisions.parsing import parse_questions
from screening.errors import InconsistentDataError
from screening.prediction import Thermodynamics, Verdict, frozen_array
from screening.predictors.interface import Tier
from screening.quantities import Property, Quantity
from screening.uncertainty.samples import Sample

GRID_K = (0.0, 300.0, 600.0, 1000.0)
CU = Structure(Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
FREE_ENERGY = Quantity(Property.FREE_ENERGY, 300.0)


def sample(name, shift_mev=0.0, static_ev=-3.5, valid=True):
    curves = Thermodynamics(
        temperatures_k=frozen_array(GRID_K),
        free_energy_mev_per_atom=frozen_array([20.0 + shift_mev, 0.0, -60.0, -190.0]),
        entropy_mev_per_k_per_atom=frozen_array([0.0, 0.15, 0.25, 0.35]),
        heat_capacity_mev_per_k_per_atom=frozen_array([0.0, 0.2, 0.25, 0.255]),
        internal_energy_mev_per_atom=frozen_array([20.0 + shift_mev, 45.0, 90.0, 160.0]),
        zero_point_energy_mev_per_atom=20.0 + shift_mev,
        low_mode_policy="drop",
        cutoff_thz=0.1,
        dropped_weight=0.0,
        imaginary_weight=0.0,
        valid=valid,
    )
    return Sample(name, "Cu", CU, curves, None, 1.0, Verdict.STABLE, static_ev, "model")


def known(name, levels=(0,), failures=None, static_ev=-3.5, given=None, valid=True):
    predictions = {
        level: Predicted(f"{name}-{level}", sample(name, static_ev=static_ev, valid=valid), 1.0)
        for level in levels
    }
    return Knowledge(
        material_id=name,
        formula="Cu",
        static_energy_ev_per_atom=given,
        static_energy_source="DFT" if given is not None else None,
        keys=(f"{name}-0", f"{name}-1"),
        predictions=predictions,
        failures=failures or {},
    )


@pytest.fixture
def judge(quick):
    settings = quick.as_dict()
    ladder = read_ladder(
        [
            {"calculator": "ase.calculators.emt.EMT", "settings": settings},
            {"calculator": "pretended_dft.StifferEmt", "settings": settings},
        ]
    )

    def make(*questions, half_width=1.0, **changes):
        calibration = FixedWidth({"Cu": half_width})
        made = Judge(ladder, parse_questions(questions), 0.1, {0: calibration})
        return replace(made, **changes)

    return make


def of(judgement, name):
    return next(one for one in judgement.decided if one.material_id == name)


def test_the_best_prediction_is_judged(judge):
    asked = judge("free_energy within 0.5 meV/atom")
    found = asked.judge({"a": known("a"), "b": known("b", levels=(0, 1))})
    assert of(found, "a").decision.outcome is Outcome.ESCALATE
    assert of(found, "b").decision.reason is Reason.REFERENCE_METHOD
    assert of(found, "b").prediction_id == "b-1"
    assert [unit.material_ids for unit in found.units] == [{"a"}]


def test_an_escalation_whose_method_failed_already_is_the_end(judge):
    asked = judge("free_energy within 0.5 meV/atom")
    found = asked.judge({"a": known("a", failures={1: "TIMEOUT"})})
    assert of(found, "a").decision.reason is Reason.ALL_TIERS_FAILED
    assert "TIMEOUT" in of(found, "a").decision.detail
    assert of(found, "a").prediction_id is None
    assert found.units == ()


def test_a_failure_of_the_better_method_does_not_undo_what_was_settled(judge):
    found = judge("free_energy within 5 meV/atom").judge({"a": known("a", failures={1: "TIMEOUT"})})
    assert of(found, "a").decision.outcome is Outcome.ACCEPT


@pytest.mark.parametrize(
    "question", ["free_energy within 5 meV/atom", "free_energy_300k_mev_per_atom > -50"]
)
def test_an_answer_stands_beside_a_better_method_without_calibration(judge, question):
    """Computed for another reason, the better method must not cost what was settled."""
    potential, reference = judge(question).ladder.steps
    fast = replace(NamedMethod.of(potential.predictor), tier=Tier.FAST_MODEL)
    ladder = Ladder((replace(potential, predictor=fast), potential, reference))
    keys = ("a-0", "a-1", "a-2")
    both = replace(known("a", levels=(0, 1)), keys=keys)
    found = of(judge(question, ladder=ladder).judge({"a": both}), "a")
    assert (found.decision.outcome, found.prediction_id) == (Outcome.ACCEPT, "a-0")
    open_one = of(judge(question, ladder=ladder, half_width=500.0).judge({"a": both}), "a")
    assert (open_one.decision.reason, open_one.prediction_id) == (Reason.NOT_CALIBRATED, "a-1")
    wide = {0: FixedWidth({"Cu": 1.0}), 1: FixedWidth({"Cu": 500.0})}
    speaks = of(judge(question, ladder=ladder, calibrations=wide).judge({"a": both}), "a")
    assert (speaks.decision.outcome, speaks.prediction_id) == (Outcome.ESCALATE, "a-1")


def test_what_is_nowhere_known_is_left_out(judge):
    found = judge("stability").judge({"a": known("a", levels=())})
    assert found.decided == ()
    assert found.unknown == ("a",)


def test_polymorphs_of_two_tiers_are_compared_by_the_method_they_share(judge):
    materials = {"a": known("a", levels=(0, 1), static_ev=-3.6), "b": known("b")}
    wide = judge("order", half_width=1000.0).judge(materials)
    assert of(wide, "b").decision.outcome is Outcome.ESCALATE  # a cannot be computed better
    assert [unit.material_ids for unit in wide.units] == [{"b"}]
    sure = judge("order", half_width=1.0).judge(materials)
    assert sure.units == ()
    assert sure.answers[0].answer.text.startswith("a < b")


def test_given_energies_are_used_where_all_polymorphs_have_them(judge):
    materials = {"a": known("a", static_ev=-3.6, given=-1.0), "b": known("b", given=-2.0)}
    found = judge("order").judge(materials)
    assert found.answers[0].answer.text.startswith("b < a")  # the model says the opposite
    one_missing = materials | {"a": known("a", static_ev=-3.6)}
    assert judge("order").judge(one_missing).answers[0].answer.text.startswith("a < b")


def test_the_members_of_an_open_pair_belong_together(judge):
    materials = {"a": known("a"), "b": known("b"), "c": known("c", static_ev=-2.0)}
    found = judge("order from 300 to 600 K", half_width=20.0).judge(materials)
    assert [unit.material_ids for unit in found.units] == [{"a", "b"}]
    assert of(found, "c").decision.outcome is Outcome.ACCEPT


def test_what_is_pending_is_what_is_unknown_or_asked_of_the_next_method(judge):
    materials = {"a": known("a"), "b": known("b", levels=()), "c": known("c", levels=(0, 1))}
    asked = judge("free_energy within 0.5 meV/atom")
    assert pending_keys(asked, materials) == {"a": "a-1", "b": "b-0"}
    settled = judge("free_energy within 5 meV/atom")
    assert pending_keys(settled, materials) == {"b": "b-0"}
    together = judge("order", half_width=1000.0)
    assert set(pending_keys(together, materials)) == {"a", "b", "c"}


def test_without_calibration_intervals_are_open_and_the_reference_is_exact():
    one, two = sample("a"), sample("b", static_ev=-3.4)
    source, exact = Uncalibrated(), Reference()
    assert not source.intervals(one, [FREE_ENERGY], 0.1)[0].is_finite
    assert exact.intervals(one, [FREE_ENERGY], 0.1)[0].half_width == 0.0
    quantities = [Quantity(Property.RELATIVE_FREE_ENERGY, t) for t in (300.0, 600.0)]
    exactly = exact.differences([one, two], quantities, 0.1)
    assert [one.value for one in exactly["a", "b"]] == pytest.approx([-100.0, -100.0])
    nothing = source.differences([one, two], quantities, 0.1)
    assert not any(one.is_finite for one in nothing["a", "b"])
    assert source.stability(one, 0.1).verdict is Verdict.UNDETERMINED
    assert exact.stability(one, 0.1).verdict is Verdict.STABLE


def test_temperatures_are_the_ends_of_the_window_and_the_calibrated_ones_between():
    kind, samples = Property.RELATIVE_FREE_ENERGY, [sample("a")]
    tables = {Quantity(kind, t).name for t in (100.0, 450.0, 900.0)}
    assert temperatures_of((0.0, 500.0), kind, tables, samples) == (0.0, 100.0, 450.0, 500.0)
    assert temperatures_of((350.0, 350.0), kind, tables, samples) == (350.0,)
    assert temperatures_of((750.0, 2000.0), kind, (), samples) == (750.0, 800.0, 900.0, 1000.0)
    assert temperatures_of((1200.0, 1500.0), kind, tables, samples) == ()
    many = {Quantity(kind, float(t)).name for t in range(0, 1001, 50)}
    grid = temperatures_of((0.0, 1000.0), kind, many, samples)
    assert (len(grid), grid[0], grid[-1]) == (11, 0.0, 1000.0)


@pytest.mark.parametrize("question", ["free_energy within 5 meV/atom", "stability", "order"])
def test_a_failure_above_an_absent_prediction_leaves_the_cheapest_method_to_be_asked(
    judge, question
):
    materials = {"a": known("a", levels=(), failures={1: "TIMEOUT"}), "b": known("b")}
    found = judge(question, half_width=0.0).judge(materials)
    assert found.unknown == ("a",)
    assert [one.material_id for one in found.decided] == ["b"]
    assert pending_keys(judge(question), materials)["a"] == "a-0"
    both = judge(question, half_width=1000.0).judge(
        materials | {"a": known("a", failures={1: "TIMEOUT"})}
    )
    assert of(both, "a").decision.outcome in {Outcome.REJECT, Outcome.ESCALATE}


@pytest.mark.parametrize("question", ["transitions", "order"])
def test_polymorphs_without_a_method_in_common_are_escalated_not_refused(judge, question):
    materials = {"a": known("a"), "b": known("b", levels=(1,), failures={0: "TIMEOUT"})}
    found = judge(question).judge(materials)
    assert of(found, "a").decision.outcome is Outcome.ESCALATE
    assert [unit.material_ids for unit in found.units] == [{"a"}]
    done = judge(question).judge(materials | {"a": known("a", levels=(0, 1))})
    assert of(done, "a").decision.reason is Reason.REFERENCE_METHOD


@pytest.mark.parametrize("question", ["transitions", "order"])
def test_polymorphs_beside_one_with_imaginary_modes_share_the_next_method(judge, question):
    """Zinc blende and wurtzite: nothing is settled by leaving wurtzite out."""
    materials = {"a": known("a", static_ev=-3.6), "b": known("b", valid=False)}
    found = judge(question).judge(materials)
    assert {one.decision.outcome for one in found.decided} == {Outcome.ESCALATE}
    assert [unit.material_ids for unit in found.units] == [{"a", "b"}]
    better = known("b", levels=(0, 1))
    mixed = dict(better.predictions) | {0: known("b", valid=False).predictions[0]}
    half = materials | {"b": replace(better, predictions=mixed)}
    still = judge(question).judge(half)  # what is invalid is compared with nothing
    assert of(still, "a").decision.outcome is Outcome.ESCALATE
    done = half | {"a": known("a", levels=(0, 1), static_ev=-3.6)}
    reasons = {one.decision.reason for one in judge(question).judge(done).decided}
    assert reasons == {Reason.REFERENCE_METHOD}
    failed = materials | {"b": known("b", valid=False, failures={1: "TIMEOUT"})}
    given_up = judge(question).judge(failed)
    assert {one.decision.outcome for one in given_up.decided} == {Outcome.REJECT}
    assert of(given_up, "a").decision.reason is Reason.POLYMORPH_UNUSABLE


def test_transitions_without_static_energies_stay_open(judge):
    found = judge("transitions").judge({"a": known("a", static_ev=None), "b": known("b")})
    assert {one.decision.reason for one in found.decided} == {Reason.TRANSITIONS_UNDECIDED}


def test_a_polymorph_that_nothing_is_known_of_keeps_an_order_from_being_accepted(judge):
    stranger = replace(known("b", levels=()), is_asked=False)
    found = judge("order").judge({"a": known("a"), "b": stranger})
    assert of(found, "a").decision.reason is Reason.POLYMORPHS_MISSING
    assert found.unknown == ("b",)
    assert found.answers[0].answer.content["missing"] == ["b"]
    failed = replace(known("b", levels=(), failures={0: "X", 1: "Y"}), is_asked=False)
    given_up = judge("order").judge({"a": known("a"), "b": failed})
    assert of(given_up, "a").decision.outcome is Outcome.REJECT
    assert "without usable numbers: b" in of(given_up, "a").decision.detail
    assert [one.material_id for one in given_up.decided] == ["a"]


def test_other_polymorphs_are_compared_with_but_neither_decided_nor_computed(judge):
    other = replace(known("b", static_ev=-3.4), is_asked=False)
    settled = judge("order").judge({"a": known("a"), "b": other})
    assert settled.answers[0].answer.text.startswith("a < b")
    assert [one.material_id for one in settled.decided] == ["a"]
    wide = judge("order", half_width=1000.0).judge({"a": known("a"), "b": other})
    assert of(wide, "a").decision.reason is Reason.POLYMORPH_NOT_ASKED
    assert wide.units == ()


@dataclass(frozen=True)
class Asking(FixedWidth):
    """Remembers what it was asked for at once."""

    asked: list = field(default_factory=list)

    def intervals(self, sample, quantities, alpha):
        self.asked.append((sample.material_id, len(quantities), alpha))
        return super().intervals(sample, quantities, alpha)

    def differences(self, samples, quantities, alpha):
        names = "".join(one.material_id for one in samples)
        self.asked.append((names, len(quantities), alpha))
        return super().differences(samples, quantities, alpha)


def test_the_risk_is_that_of_the_whole_answer(judge):
    calibration = Asking({"Cu": 1.0})
    asked = judge("free_energy at 0, 300, 600 K within 5 meV/atom", calibrations={0: calibration})
    asked.judge({"a": known("a")})
    assert calibration.asked == [("a", 3, 0.1)]
    calibration.asked.clear()
    order = judge("order from 300 to 600 K", calibrations={0: calibration})
    order.judge({name: known(name, static_ev=-3.5 + 0.1 * i) for i, name in enumerate("abc")})
    assert calibration.asked == [("abc", 4, 0.1)]


def test_a_grid_that_does_not_reach_what_is_asked_spoils_no_other_material(judge):
    class Strict(FixedWidth):
        def intervals(self, sample, quantities, alpha):
            if sample.material_id == "a":
                raise InconsistentDataError("224 K lies below the grid")
            return super().intervals(sample, quantities, alpha)

    asked = judge("free_energy within 5 meV/atom", calibrations={0: Strict({"Cu": 1.0})})
    found = asked.judge({"a": known("a"), "b": known("b")})
    assert of(found, "a").decision.reason is Reason.NOT_CALIBRATED
    assert of(found, "b").decision.outcome is Outcome.ACCEPT
    outside = judge("order from 1100 to 1500 K").judge({"a": known("a"), "b": known("b")})
    assert {one.decision.reason for one in outside.decided} == {Reason.NOT_CALIBRATED}
