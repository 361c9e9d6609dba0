"""Pretrained weights without a network: skipped where they are replaced, else one line."""

import logging
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader

from mmvis_cl.engine import downloads
from mmvis_cl.engine.downloads import fetch_pretrained
from mmvis_cl.errors import InputError

ADDRESS = 'https://example.invalid/folder/small-1234.pth'


class Part(BaseModule):
    def __init__(self, checkpoint=None):
        super().__init__(dict(type='Pretrained', checkpoint=checkpoint) if checkpoint else None)
        self.layer = torch.nn.Linear(2, 3)


class Net(BaseModule):
    def __init__(self, backbone, start=None):
        super().__init__(start)
        self.backbone = Part(backbone)
        self.head = Part()


def runner(model, load_from=None, resume=False):
    return SimpleNamespace(
        model=model,
        _load_from=load_from,
        _resume=resume,
        work_dir='',
        logger=logging.getLogger('test'),
    )


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """Without a network, and with a cache of its own; gives what was asked for."""
    asked = []

    def load(filename, map_location=None, logger=None):
        asked.append(filename)
        raise URLError('Temporary failure in name resolution')

    monkeypatch.setattr(CheckpointLoader, 'load_checkpoint', load)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    downloads._shapes.cache_clear()
    return asked


def test_offline_is_one_line_with_file_place_and_option(tmp_path):
    with pytest.raises(InputError) as caught:
        fetch_pretrained(runner(Net(ADDRESS)))
    message = str(caught.value)
    for part in (
        'model.backbone.init_cfg: ',
        'Temporary failure in name resolution',
        f'download {ADDRESS}',
        f'put it at {tmp_path}/hub/checkpoints/small-1234.pth',
        '--cfg-options model.backbone.init_cfg.checkpoint=FILE',
        'model.backbone.init_cfg=None',
    ):
        assert part in message
    assert '\n' not in message


def test_names_of_torchvision_are_resolved(tmp_path):
    with pytest.raises(InputError, match=r'hub/checkpoints/resnet50-\w+\.pth') as caught:
        fetch_pretrained(runner(Net('torchvision://resnet50')))
    assert 'https://download.pytorch.org/models/resnet50-' in str(caught.value)
    with pytest.raises(InputError, match=r'no torchvision://resnet51; did you mean resnet\d+'):
        fetch_pretrained(runner(Net('torchvision://resnet51')))


def test_a_file_that_is_in_the_cache_is_not_asked_for(tmp_path, offline):
    file = tmp_path / 'hub' / 'checkpoints' / 'small-1234.pth'
    file.parent.mkdir(parents=True)
    file.touch()
    fetch_pretrained(runner(Net(ADDRESS)))
    assert offline == []


@pytest.mark.parametrize('wrapped', [True, False])
def test_a_checkpoint_that_has_all_weights_replaces_it(tmp_path, offline, wrapped):
    path = str(tmp_path / 'start.pth')
    state = Net(None).state_dict()
    if wrapped:  # of several processes, with what mmengine saves beside the weights
        state = {f'module.{key}': value for key, value in state.items()}
    torch.save(dict(state_dict=state, message_hub=dict(seen={1, 2})), path)
    model = Net(ADDRESS)
    fetch_pretrained(runner(model, path))
    model.init_weights()
    assert offline == []


@pytest.mark.parametrize('change', ['missing', 'shape', 'other file'])
def test_a_checkpoint_that_lacks_some_does_not(tmp_path, change):
    path = str(tmp_path / 'start.pth')
    state = Net(None).state_dict()
    if change == 'missing':
        del state['backbone.layer.bias']
    elif change == 'shape':
        state['backbone.layer.bias'] = torch.zeros(4)
    torch.save(state if change != 'other file' else dict(a=1), path)
    with pytest.raises(InputError, match='cannot be downloaded'):
        fetch_pretrained(runner(Net(ADDRESS), path))


def test_the_start_of_the_whole_replaces_that_of_a_part(tmp_path, offline):
    path = str(tmp_path / 'stage.pth')
    state = {f'detector.{key}': value for key, value in Net(None).state_dict().items()}
    torch.save(state, path)
    start = dict(type='Pretrained', checkpoint=path, prefix='detector.')
    fetch_pretrained(runner(Net(ADDRESS, start)))
    with pytest.raises(InputError, match='cannot be downloaded'):
        fetch_pretrained(runner(Net(ADDRESS, dict(start, prefix='other.'))))


def test_weights_of_timm_are_skipped_too(tmp_path):
    class Timm(BaseModule):
        def __init__(self):
            super().__init__()
            self.pretrained, self.model_name = True, 'small'
            self.layer = torch.nn.Linear(2, 3)

        def init_weights(self):
            raise AssertionError('asked the network')

    model = Net(None)
    model.backbone = Timm()
    with pytest.raises(AssertionError, match='asked the network'):  # at once, before data are read
        fetch_pretrained(runner(model))
    path = str(tmp_path / 'start.pth')
    torch.save(model.state_dict(), path)
    fetch_pretrained(runner(model, path))
    model.init_weights()
