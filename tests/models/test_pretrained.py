import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from mmvis_cl.errors import InputError
from mmvis_cl.models.pretrained import fitting_weights


def network():
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))


def save(path, state_dict):
    torch.save(dict(state_dict=state_dict), path)
    return str(path)


def test_what_fits_is_given_and_the_rest_told(tmp_path, caplog):
    weights = network().state_dict()
    weights['1.weight'] = torch.zeros(5, 3)
    weights['2.weight'] = torch.zeros(1)
    path = save(tmp_path / 'a.pth', weights)
    logger = MMLogger.get_instance('test_pretrained')
    logger.addHandler(caplog.handler)
    logger.propagate = False
    fitting = fitting_weights(network(), path)
    assert set(fitting) == {'0.weight', '0.bias', '1.bias'}
    assert all(torch.equal(value, weights[key]) for key, value in fitting.items())
    (record,) = [r for r in caplog.records if 'weights of' in r.getMessage()]
    assert record.levelname == 'WARNING'
    assert record.getMessage() == (
        f'{path}: 3 of 4 weights of Sequential are loaded; start fresh: 1.weight; not used: '
        '1.weight, 2.weight'
    )


def test_a_part_of_a_checkpoint(tmp_path):
    weights = {f'detector.{key}': value for key, value in network().state_dict().items()}
    path = save(tmp_path / 'a.pth', dict(weights, other=torch.zeros(1)))
    assert len(fitting_weights(network(), path, 'detector.')) == 4
    with pytest.raises(InputError, match=r"whole video model: say prefix='detector.'"):
        fitting_weights(network(), path)
    with pytest.raises(InputError, match='made by another program'):
        fitting_weights(network(), path, 'backbone.')


def test_bad_files_are_told(tmp_path):
    with pytest.raises(InputError, match='there is no such checkpoint to start Sequential from'):
        fitting_weights(network(), str(tmp_path / 'none.pth'))
    whole = save(tmp_path / 'a.pth', network().state_dict())
    cut = tmp_path / 'cut.pth'
    cut.write_bytes((tmp_path / 'a.pth').read_bytes()[:500])
    with pytest.raises(InputError, match='cut off'):
        fitting_weights(network(), str(cut))
    (tmp_path / 'text.pth').write_text('hello')
    with pytest.raises(InputError, match='not a PyTorch checkpoint'):
        fitting_weights(network(), str(tmp_path / 'text.pth'))
    assert len(fitting_weights(network(), whole)) == 4
