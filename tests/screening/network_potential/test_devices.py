"""Which processor a network runs on."""

import pytest
import torch

from screening.errors import ModelUnavailableError
from screening.network_potential.devices import chosen_device


def test_a_graphics_processor_is_taken_where_there_is_one_and_never_pretended(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device("auto").type == "cpu"
    for name in ("cuda", "cuda:1"):
        with pytest.raises(ModelUnavailableError, match="no graphics processor"):
            chosen_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen_device("auto").type == "cuda"
    assert chosen_device("cuda:1").index == 1
    assert chosen_device("cpu").type == "cpu"
