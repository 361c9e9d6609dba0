import pytest
import torch
from mmdet.models.backbones import ResNet, SwinTransformer
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from torch import nn

from mmvis_cl.errors import InputError
from mmvis_cl.models.pretrained import check_pretrained, fitting_weights


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


def resnet(path, **init_cfg):
    return ResNet(18, init_cfg=dict(type='Pretrained', checkpoint=str(path), **init_cfg))


def swin(path, convert_weights):
    return SwinTransformer(
        embed_dims=8,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 1, 1),
        convert_weights=convert_weights,
        init_cfg=ConfigDict(type='Pretrained', checkpoint=str(path)),
    )


def inside(part, name='backbone'):
    model = nn.Module()
    model.detector = nn.Module()
    model.detector.add_module(name, part)
    return model


@pytest.fixture
def other_file(tmp_path):
    return save(
        tmp_path / 'other.pth', {'encoder.w': torch.zeros(2), 'b.downsample': 1, 3: torch.zeros(2)}
    )


def test_a_part_of_a_model_that_nothing_fits(other_file):
    listed = nn.Linear(2, 2)
    listed.init_cfg = [
        dict(type='Normal', layer='Linear'),
        dict(type='mmengine.PretrainedInit', checkpoint=other_file),
    ]
    inner = nn.Sequential(nn.Linear(2, 2))
    override = dict(type='Pretrained', name='0', checkpoint=other_file)
    inner.init_cfg = dict(type='Normal', layer='Linear', override=override)
    for part, first in (
        (resnet(other_file), 'conv1.weight'),
        (resnet(other_file, prefix='encoder'), 'conv1.weight'),
        (swin(other_file, True), 'patch_embed'),
        (swin(other_file, False), 'patch_embed'),
        (listed, 'weight'),
        (inner, 'weight'),
    ):
        with pytest.raises(InputError) as error:
            check_pretrained(inside(part))
        line = str(error.value)
        assert line.startswith(f'{other_file}: none of the ') and 'model.detector.backbone' in line
        assert first in line and '(it has encoder.w)' in line and '\n' not in line


def test_parts_that_something_fits(tmp_path):
    weights = resnet('').state_dict()
    for name, prefix in (('plain', ''), ('whole', 'backbone.')):
        path = save(tmp_path / f'{name}.pth', {prefix + k: v for k, v in weights.items()})
        check_pretrained(inside(resnet(path, **(dict(prefix=prefix) if prefix else {}))))
        if prefix:
            with pytest.raises(InputError, match='none of the'):
                check_pretrained(inside(resnet(path)))
    ours = swin('', False).state_dict()
    path = tmp_path / 'swin.pth'
    torch.save(dict(model={f'backbone.{k}': v for k, v in ours.items()}), path)
    part = swin(path, False)
    check_pretrained(inside(part))
    part.init_weights()  # what is found fit is what mmdet loads
    assert all(torch.equal(value, ours[name]) for name, value in part.state_dict().items())
    with pytest.raises(InputError, match='none of the'):  # mmengine does not look under `model`
        check_pretrained(inside(resnet(path)))


def test_files_of_parts_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r'no such checkpoint to start model\.detector\.neck from'):
        check_pretrained(inside(resnet(tmp_path / 'none.pth'), 'neck'))
    part = resnet(tmp_path / 'none.pth')
    part.is_init = True
    check_pretrained(inside(part))
