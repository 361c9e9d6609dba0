import importlib
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch.nn import functional as F

from mmvis_cl.registry import MODELS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'projects' / 'example_head' / 'small_moving-shapes.py'


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_products_are_scaled_cosines():
    importlib.import_module('projects.example_head.unit_length_head')
    torch.manual_seed(0)
    head = MODELS.build(dict(type='mmvis_cl.UnitLengthHead', embed_dims=8, scale=9.0))
    states = torch.randn(2, 5, 8)
    embeds = head(states)
    plain = head.embed(states)
    cosine = F.cosine_similarity(plain[:, :, None], plain[:, None], dim=-1)
    torch.testing.assert_close(embeds @ embeds.mT, 9 * cosine)


def test_the_config_changes_the_head_only():
    ours = Config.fromfile(CONFIG).model.to_dict()
    theirs = Config.fromfile(ROOT / 'configs' / 'vis_cl' / 'small_moving-shapes.py').model.to_dict()
    head = ours.pop('embed_head')
    plain = theirs.pop('embed_head')
    assert ours == theirs
    assert head == dict(plain, type='UnitLengthHead', scale=16.0)


def test_trains_and_tracks(train_and_test):
    losses, scores, _ = train_and_test(CONFIG, resize=None)
    assert losses['loss_embed'] > 0
    assert 0 <= scores['youtube_vis/AP'] <= 1
