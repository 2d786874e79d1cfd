"""Batches in parts: pairs stay whole, and what cannot be parted further is refused."""

import pytest
from labelled_salts import labelled_salts

pytest.importorskip("careful_mace")

import torch

from screening.errors import TooLargeError
from screening.network_potential.batches import cell_tensors
from screening.network_potential.halving import in_parts
from screening.network_potential.settings import MaceArchitecture

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cells():
    labelled = labelled_salts(3)
    elements = tuple(sorted({int(number) for one in labelled for number in one.numbers}))
    architecture = MaceArchitecture(elements=elements)
    return [cell_tensors(one, architecture, torch.float64) for one in labelled]


def room_for(n_cells):
    def compute(parts):
        if max(map(len, parts)) > n_cells:
            raise MemoryError
        return parts

    return compute


def test_parts_are_doubled_until_they_fit_and_keep_pairs_whole(cells):
    whole, n_parts = in_parts(cells, 1, CPU, room_for(12))
    assert ([len(one) for one in whole], n_parts) == ([12], 1)
    parts, n_parts = in_parts(cells, 1, CPU, room_for(4))
    assert ([len(one) for one in parts], n_parts) == ([4, 4, 2, 2], 4)
    assert [id(one) for part in parts for one in part] == [id(one) for one in whole[0]]
    assert all(part[0].pair == part[1].pair != "" for part in parts)
    again, n_parts = in_parts(cells[:2], n_parts, CPU, room_for(2))
    assert ([len(one) for one in again], n_parts) == ([2], 4)


def test_what_does_not_fit_alone_is_refused(cells):
    with pytest.raises(TooLargeError, match="a cell of 2 atoms") as refused:
        in_parts(cells, 1, CPU, room_for(1))
    assert refused.value.hint
