"""What a test may not leave behind for the next."""

import pytest
import torch
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def same_scope():
    """A runner makes its scope the one in which all names are looked up."""
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


@pytest.fixture(autouse=True)
def same_load(monkeypatch):
    """A tool that runs in this process lets our reader read for all of it."""
    monkeypatch.setattr(torch, 'load', torch.load)
