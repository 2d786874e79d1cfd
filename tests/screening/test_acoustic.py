import numpy as np

from screening.acoustic import acoustic_mask, gamma_mask


def test_periodic_images_of_the_zone_centre_are_found_despite_rounding() -> None:
    q_points = np.array([[1e-9, 0, 0], [1.0, -2.0, 0.0], [0.9999999999, 0, 0], [1e-3, 0, 0]])
    assert gamma_mask(q_points).tolist() == [True, True, True, False]


def test_a_deep_imaginary_optical_mode_is_not_taken_for_acoustic() -> None:
    frequencies = np.array([[-4.0, -0.05, 0.01, 0.02, 3.0, 5.0]] * 2)
    mask = acoustic_mask(frequencies, np.array([False, True]))
    assert not mask[0].any()
    assert mask[1].tolist() == [False, True, True, True, False, False]


def test_a_crystal_of_one_atom_has_only_acoustic_modes_at_the_zone_centre() -> None:
    assert acoustic_mask(np.zeros((1, 3)), np.array([True])).all()
    assert not acoustic_mask(np.zeros((4, 3)), np.zeros(4, dtype=bool)).any()
