import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest

from screening.errors import InconsistentDataError, NonFiniteInputError, SettingError
from screening.prediction import BandStructure, FloatArray, Verdict
from screening.stability import (
    CRITERIA,
    DEFAULT_CRITERION,
    SHARE_CRITERION,
    SPECTRUM,
    ZONE_CENTRE,
    assess_share,
    assess_stability,
    assess_zone_centre,
)

STABLE, UNSTABLE, UNDETERMINED = Verdict.STABLE, Verdict.UNSTABLE, Verdict.UNDETERMINED
OF_ONE_MODE = set(CRITERIA) - {SHARE_CRITERION}
GAMMA, NEAR, EDGE = (0.0, 0.0, 0.0), (0.04, 0.0, 0.0), (0.5, 0.0, 0.0)


@dataclass(frozen=True)
class Mesh:
    """What the criteria read of a mesh."""

    frequencies_thz: FloatArray
    weights: FloatArray
    q_points: FloatArray


def mesh_of(rows: dict[tuple[float, float, float], list[float]]) -> Mesh:
    return Mesh(np.array(list(rows.values())), np.ones(len(rows)), np.array(list(rows)))


def path_of(rows: dict[tuple[float, float, float], list[float]]) -> BandStructure:
    mesh = mesh_of(rows)
    distances = np.arange(float(len(rows)))
    return BandStructure(mesh.q_points, distances, mesh.frequencies_thz, (0,), ())


def crystal(
    edge: float = 1.0, *, near: float = 0.5, optical: float = 4.0, acoustic: float = 0.0
) -> dict[tuple[float, float, float], list[float]]:
    """Frequencies of a two-atom crystal whose lowest modes at three q points are given."""
    return {
        GAMMA: sorted([acoustic, 0.0, 0.0, optical, 5.0, 6.0]),
        NEAR: [near, 0.5, 0.6, 4.0, 5.0, 6.0],
        EDGE: [edge, 2.0, 3.0, 4.0, 5.0, 6.0],
    }


def verdicts(rows: dict[tuple[float, float, float], list[float]]) -> dict[str, Verdict]:
    return dict(assess_stability(mesh_of(rows), path_of(rows)).verdicts)


def test_a_stable_crystal_is_stable_for_everybody() -> None:
    assert set(verdicts(crystal()).values()) == {STABLE}


@pytest.mark.parametrize(
    ("n_flat", "expected"), [(0, STABLE), (1, STABLE), (2, UNDETERMINED), (6, UNDETERMINED)]
)
def test_modes_that_nothing_holds_are_no_proof_of_stability(n_flat: int, expected: Verdict) -> None:
    """A potential that sees no neighbours gives zero for all of them; one of 18 may be soft."""
    flat = [0.02] * n_flat + [2.0] * (6 - n_flat)
    rows = {GAMMA: [0.0, 0.0, 0.0, 2.0, 2.0, 2.0], NEAR: flat, EDGE: [2.0] * 6}
    found = verdicts(rows)
    assert found.pop(DEFAULT_CRITERION) is expected
    assert set(found.values()) == {STABLE}  # by the published criteria


def test_a_clear_instability_is_one_for_everybody() -> None:
    found = verdicts(crystal(edge=-3.0))
    assert {found[name] for name in OF_ONE_MODE} == {UNSTABLE}


@pytest.mark.parametrize(
    ("edge", "unstable", "default"),
    [
        (-5e-6, {"matbench_discovery", "alexandria"}, STABLE),
        (-0.02, {"matbench_discovery", "alexandria", "atomate2"}, STABLE),
        (-0.04, {"matbench_discovery", "alexandria", "atomate2", "emmet_legacy"}, STABLE),
        (-0.06, OF_ONE_MODE - {"phonoscreen", "lee_2024"}, UNDETERMINED),
        (-0.12, OF_ONE_MODE - {"phonoscreen", "lee_2024"}, UNDETERMINED),
        (-0.16, OF_ONE_MODE - {"lee_2024"}, UNSTABLE),
        (-0.49, OF_ONE_MODE - {"lee_2024"}, UNSTABLE),
        (-0.51, OF_ONE_MODE, UNSTABLE),
    ],
)
def test_every_criterion_has_its_own_threshold(
    edge: float, unstable: set[str], default: Verdict
) -> None:
    found = verdicts(crystal(edge=edge))
    assert found[DEFAULT_CRITERION] is default
    assert {name for name, verdict in found.items() if verdict is UNSTABLE} == unstable
    others = set(CRITERIA) - unstable - {DEFAULT_CRITERION}
    assert {found[name] for name in others} <= {STABLE}


@pytest.mark.parametrize(
    ("acoustic", "unstable"),
    [
        (-0.005, {"atomate2"}),
        (-0.02, {"atomate2", "matbench_discovery"}),
        (-0.06, {"atomate2", "matbench_discovery", "ml_peg"}),
        (-1.0, {"atomate2", "matbench_discovery", "ml_peg"}),
        (-1.1, {"atomate2", "matbench_discovery", "ml_peg", "alexandria"}),
    ],
)
def test_acoustic_modes_at_the_zone_centre_count_only_where_the_source_says_so(
    acoustic: float, unstable: set[str]
) -> None:
    found = verdicts(crystal(acoustic=acoustic))
    assert {name for name, verdict in found.items() if verdict is UNSTABLE} == unstable
    assert found[DEFAULT_CRITERION] is STABLE


def test_an_imaginary_optical_mode_at_the_zone_centre_is_an_instability() -> None:
    found = verdicts(crystal(optical=-2.0))
    assert found[DEFAULT_CRITERION] is UNSTABLE
    assert found["lee_2024"] is UNSTABLE
    assert found["matbench_discovery"] is UNSTABLE


def test_a_pocket_beside_the_zone_centre_alone_is_undetermined() -> None:
    found = verdicts(crystal(near=-0.7))
    assert found[DEFAULT_CRITERION] is UNDETERMINED
    assert found["emmet_legacy"] is UNDETERMINED
    assert found["matbench_discovery"] is UNSTABLE


def test_a_pocket_does_not_hide_an_instability_elsewhere() -> None:
    assert verdicts(crystal(near=-0.7, edge=-1.0))[DEFAULT_CRITERION] is UNSTABLE
    assert verdicts(crystal(near=-0.7, optical=-1.0))[DEFAULT_CRITERION] is UNSTABLE


def test_a_pocket_is_found_around_every_image_of_the_zone_centre() -> None:
    rows = crystal()
    rows[0.97, 1.0, 0.0] = [-0.5, 1.0, 2.0, 4.0, 5.0, 6.0]
    assert verdicts(rows)[DEFAULT_CRITERION] is UNDETERMINED


def test_a_missing_path_leaves_open_what_needs_it() -> None:
    stable = assess_stability(mesh_of(crystal()), None)
    assert stable.verdict is UNDETERMINED
    assert stable.verdicts["atomate2"] is UNDETERMINED
    assert stable.verdicts["matbench_discovery"] is STABLE
    unstable = assess_stability(mesh_of(crystal(edge=-2.0)), None)
    assert unstable.verdict is UNSTABLE
    assert unstable.verdicts["ml_peg"] is UNDETERMINED


def test_lowest_frequency_comes_with_its_q_point_and_region() -> None:
    found = assess_stability(mesh_of(crystal(edge=-0.3)), path_of(crystal(edge=-0.2)))
    assert found.lowest_frequency_thz == -0.3
    assert found.lowest_frequency_q_point.tolist() == list(EDGE)
    assert found.lowest_frequency_region == "mesh"
    found = assess_stability(mesh_of(crystal()), path_of(crystal(near=-0.2)))
    assert found.lowest_frequency_thz == -0.2
    assert found.lowest_frequency_q_point.tolist() == list(NEAR)
    assert found.lowest_frequency_region == "path"


def test_lowest_frequency_leaves_the_acoustic_modes_out() -> None:
    found = assess_stability(mesh_of(crystal(acoustic=-0.4)), None)
    assert found.lowest_frequency_thz == 0.5
    assert found.lowest_frequency_q_point.tolist() == list(NEAR)


def test_a_single_atom_is_judged_away_from_the_zone_centre() -> None:
    rows = {GAMMA: [0.0, 0.0, 0.0], EDGE: [1.5, 2.0, 3.0]}
    found = assess_stability(mesh_of(rows), path_of(rows))
    assert found.verdict is STABLE
    assert found.lowest_frequency_thz == 1.5


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_any_criterion_can_decide(name: str) -> None:
    rows = crystal(edge=-3.0, near=-1.0)
    found = assess_stability(mesh_of(rows), path_of(rows), criterion=name)
    assert (found.criterion, found.verdict) == (name, UNSTABLE)


def test_results_cross_processes() -> None:
    found = assess_stability(mesh_of(crystal()), None)
    again = pickle.loads(pickle.dumps(found))
    assert again.verdicts == found.verdicts


def test_wrong_input_is_refused() -> None:
    with pytest.raises(SettingError, match="phonoscreen"):
        assess_stability(mesh_of(crystal()), None, criterion="hopeful")
    with pytest.raises(NonFiniteInputError):
        assess_stability(mesh_of(crystal(edge=float("nan"))), None)
    with pytest.raises(NonFiniteInputError):
        assess_stability(mesh_of(crystal()), path_of(crystal(edge=float("inf"))))
    good = mesh_of(crystal())
    with pytest.raises(InconsistentDataError):
        assess_stability(Mesh(good.frequencies_thz[:-1], good.weights, good.q_points), None)
    with pytest.raises(InconsistentDataError):
        assess_stability(mesh_of({GAMMA: [0.0, 0.0, 0.0]}), None)


def test_the_zone_centre_alone_proves_no_stability() -> None:
    found = assess_zone_centre(np.array([-0.02, 0.0, 0.0, 0.9, 5.0, 6.0]))
    assert set(found.verdicts.values()) == {UNDETERMINED}
    assert (found.verdict, found.criterion) == (UNDETERMINED, DEFAULT_CRITERION)
    assert (found.lowest_frequency_thz, found.lowest_frequency_region) == (0.9, ZONE_CENTRE)
    assert not found.lowest_frequency_q_point.any()


@pytest.mark.parametrize(
    ("optical", "stable_for"),
    [(-3.0, set()), (-0.2, {"lee_2024"}), (-0.12, {"lee_2024", DEFAULT_CRITERION})],
)
def test_an_optical_mode_at_the_zone_centre_proves_an_instability(
    optical: float, stable_for: set[str]
) -> None:
    found = assess_zone_centre(np.array([optical, 0.0, 0.0, 0.0, 5.0, 6.0]))
    assert found.lowest_frequency_thz == optical
    left = {name for name, verdict in found.verdicts.items() if verdict is not UNSTABLE}
    assert left == stable_for | {SHARE_CRITERION}
    assert {found.verdicts[name] for name in left} <= {UNDETERMINED}


def test_one_atom_has_nothing_to_judge_at_the_zone_centre() -> None:
    found = assess_zone_centre(np.array([-1e-7, 0.0, 1e-7]))
    assert set(found.verdicts.values()) == {UNDETERMINED}
    assert found.lowest_frequency_thz == 0.0


def test_the_zone_centre_is_checked_as_well() -> None:
    with pytest.raises(SettingError, match="hopeful"):
        assess_zone_centre(np.zeros(6), criterion="hopeful")
    with pytest.raises(NonFiniteInputError):
        assess_zone_centre(np.array([0.0, 0.0, 0.0, 1.0, 2.0, np.nan]))


def test_the_rule_of_a_tenth_counts_modes_with_their_weights() -> None:
    rows = crystal(edge=-3.0)
    mesh, bands = mesh_of(rows), path_of(rows)
    for weights, verdict in (((1, 1, 1), STABLE), ((1, 1, 3), STABLE), ((1, 1, 4), UNSTABLE)):
        weighed = replace(mesh, weights=np.array(weights, dtype=float))  # 1/6 of the last point
        assert assess_stability(weighed, bands).verdicts[SHARE_CRITERION] is verdict
    assert assess_zone_centre(np.array([-9.0, 0, 0, 0, 1, 2])).verdicts[SHARE_CRITERION] is (
        UNDETERMINED
    )


@pytest.mark.parametrize(
    ("share", "half_width", "counted", "default"),
    [
        (0.11, 0.5, UNSTABLE, UNSTABLE),
        (0.02, 0.07, STABLE, UNDETERMINED),
        (0.02, 0.09, UNDETERMINED, UNDETERMINED),
        (0.0, np.inf, UNDETERMINED, UNDETERMINED),
    ],
)
def test_a_learned_density_of_states_is_judged_by_its_share_below_zero(
    share: float, half_width: float, counted: Verdict, default: Verdict
) -> None:
    found = assess_share(share, half_width, -1.0)
    assert (found.verdict, found.lowest_frequency_region) == (default, SPECTRUM)
    assert found.verdicts[SHARE_CRITERION] is counted
    others = {name: one for name, one in found.verdicts.items() if name != SHARE_CRITERION}
    assert others.pop("lee_2024") is UNDETERMINED  # asks for modes below -0.5 THz
    assert set(others.values()) == {default}
    assert set(found.verdicts) == set(CRITERIA)


def test_a_share_that_is_no_number_is_refused() -> None:
    with pytest.raises(NonFiniteInputError):
        assess_share(float("nan"), 0.0, 0.0)
    with pytest.raises(SettingError, match="unknown stability criterion"):
        assess_share(0.0, 0.0, 0.0, "none")
