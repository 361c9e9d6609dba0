"""What a test may not leave behind for the next."""

import signal

import pytest
import torch
from mmengine.registry import DefaultScope


def pytest_configure():
    """A shell starts what it puts in the background with Ctrl-C ignored, for all children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
