"""The wrapper against timm itself, on timm's smallest models; nothing is downloaded."""

import copy

import pytest
import safetensors.torch
import timm
import timm.layers
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from packaging.version import Version
from release_fixtures import ROOT

from mmvis_cl.errors import InputError
from mmvis_cl.models import TimmBackbone
from mmvis_cl.registry import MODELS

CONFIGS = ROOT.parent / 'configs' / '_base_' / 'models'
SWIN = dict(strict_img_size=False, embed_dim=24, depths=(1, 2, 1, 1), num_heads=(1, 2, 4, 8))
NETWORKS = {
    'test_convnext': (dict(out_indices=(1, 2, 3)), {}),
    'test_resnet': (dict(out_indices=(2, 3, 4)), {}),
    'swin_tiny_patch4_window7_224': (dict(out_indices=(1, 2, 3)), SWIN),
    'test_efficientnet': (dict(out_indices=(2, 3, 4)), {}),
    'test_vit': (dict(out_indices=(0, 2)), dict(dynamic_img_size=True)),
}
each_network = pytest.mark.parametrize('name', NETWORKS)


@pytest.fixture(autouse=True)
def no_download(monkeypatch):
    """Asking for the network fails the test."""

    def fail(*args, **kwargs):
        raise AssertionError('a download was tried')

    monkeypatch.setattr('socket.socket.connect', fail)


def backbone(name, **kwargs):
    maps, options = NETWORKS[name]
    return TimmBackbone(name, **maps, **options, **kwargs)


def images(h=64, w=96):
    return torch.randn(2, 3, h, w, generator=torch.Generator().manual_seed(0))


def fill(model, seed=0):
    """Weights and statistics that no initialisation gives."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator)
            value.copy_(1 + 0.1 * noise.abs() if 'running_var' in name else 0.1 * noise)
    return model


@each_network
def test_same_maps_as_timm(name):
    maps, options = NETWORKS[name]
    model = backbone(name).eval()
    theirs = timm.create_model(name, features_only=True, **maps, **options)
    theirs.load_state_dict(model.model.state_dict())
    found, expected = model(images()), theirs.eval()(images())
    assert isinstance(found, tuple)
    for one, other, stride, channels in zip(
        found, expected, model.strides, model.channels, strict=True
    ):
        if name.startswith('swin'):
            assert other.shape[-1] == channels  # timm gives NHWC
            other = other.permute(0, 3, 1, 2)
        assert torch.equal(one, other)
        assert one.shape == (2, channels, 64 // stride, 96 // stride)


def test_registered_and_ready_for_a_config():
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(
            dict(
                type='mmvis_cl.TimmBackbone',
                model_name='test_convnext.r160_in1k',
                pretrained=True,  # not fetched by building
                strides=[8, 16, 32],
                channels=[32, 48, 64],
                init_cfg=None,
            )
        )
    assert (model.strides, model.channels) == ((8, 16, 32), (32, 48, 64))


def test_out_norm_normalises_the_channels_of_each_map():
    model = backbone('test_convnext', out_norm=True)
    for m in model(100 * images()):
        assert m.mean(1).abs().max() < 1e-5
        assert (m.var(1, unbiased=False) - 1).abs().max() < 1e-3


def gradients(model):
    model.zero_grad()
    torch.manual_seed(0)
    sum(m.square().mean() for m in model(images())).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize('frozen', [-1, 1])
@pytest.mark.parametrize('name', [name for name in NETWORKS if name != 'test_vit'])
def test_checkpointing_gives_the_same_gradients(name, frozen, monkeypatch):
    options = dict(frozen_stages=frozen, freeze_batch_norm=True)
    if name == 'test_resnet' and Version(timm.__version__) < Version('1.0.31'):
        with pytest.raises(InputError, match='cannot be checkpointed; pip install -U timm'):
            backbone(name, with_cp=True, **options)
        return  # a step would end in an error of PyTorch's
    plain, saving = backbone(name, **options), backbone(name, with_cp=True, **options)
    saving.load_state_dict(plain.state_dict())
    calls = []
    run = torch.utils.checkpoint.checkpoint
    monkeypatch.setattr(
        'torch.utils.checkpoint.checkpoint', lambda *a, **k: calls.append(1) or run(*a, **k)
    )
    expected = gradients(plain.train())
    assert not calls
    found = gradients(saving.train())
    assert calls
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert (value is None) == (found[key] is None), key
        assert value is None or torch.allclose(value, found[key], rtol=1e-4, atol=1e-7), key
    assert sum(value is not None for value in expected.values()) >= 10


def test_checkpointing_saves_the_states_inside_of_the_blocks():
    def saved(model):
        size = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: size.append(t.numel()) or t, lambda t: t
        ):
            model(images())
        return sum(size)

    plain, saving = (backbone('test_convnext', with_cp=cp).train() for cp in (False, True))
    assert saved(saving) < saved(plain) / 2


def test_reentrant_checkpoints_behind_frozen_stages_are_refused():
    timm.layers.set_reentrant_ckpt(True)
    try:
        backbone('test_convnext', with_cp=True)
        with pytest.raises(InputError, match=r'frozen_stages=1 needs checkpoints that are not re-'):
            backbone('test_convnext', with_cp=True, frozen_stages=1)
    finally:
        timm.layers.set_reentrant_ckpt(False)


@pytest.mark.parametrize('name', ['test_convnext', 'swin_tiny_patch4_window7_224', 'test_resnet'])
def test_drop_path_reaches_the_blocks(name):
    def rates(**kwargs):
        modules = backbone(name, **kwargs).modules()
        return [m.drop_prob for m in modules if isinstance(m, timm.layers.DropPath)]

    assert rates(drop_path_rate=0.3)[-1] == pytest.approx(0.3)
    assert rates(drop_path_rate=0.3) == sorted(rates(drop_path_rate=0.3))
    assert not any(rates(drop_path_rate=0.0))


@pytest.mark.parametrize(
    ('name', 'frozen', 'parts'),
    [
        ('test_convnext', 0, {'stem_0', 'stem_1'}),
        ('test_convnext', 2, {'stem_0', 'stem_1', 'stages_0', 'stages_1'}),
        ('test_resnet', 0, {'conv1', 'bn1', 'act1', 'maxpool'}),
        ('test_resnet', 2, {'conv1', 'bn1', 'act1', 'maxpool', 'layer1', 'layer2'}),
        ('swin_tiny_patch4_window7_224', 1, {'patch_embed', 'layers_0'}),
        ('test_efficientnet', 1, {'conv_stem', 'bn1', 'blocks.0', 'blocks.1'}),
    ],
)
def test_frozen_stages(name, frozen, parts):
    model = fill(backbone(name, frozen_stages=frozen, drop_path_rate=0.5)).train()

    def of_parts(key):
        return any(f'{key}.'.startswith(f'model.{part}.') for part in parts)

    for key, parameter in model.named_parameters():
        assert parameter.requires_grad is not of_parts(key), key
    for key, module in model.named_modules():
        assert module.training is not of_parts(key), key
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    gradients(model)
    optimizer.step()
    for key, value in model.state_dict().items():
        if of_parts(key):
            assert torch.equal(value, before[key]), key
    assert any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())
    model.eval().train()
    assert not any(m.training for key, m in model.named_modules() if of_parts(key))


def test_frozen_batch_norm():
    model = fill(backbone('test_resnet', freeze_batch_norm=True)).train()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    before = copy.deepcopy([m.state_dict() for m in norms])
    gradients(model)
    for norm, state in zip(norms, before, strict=True):
        assert norm.weight.grad is None and norm.bias.grad is None
        assert all(torch.equal(value, state[key]) for key, value in norm.state_dict().items())
    assert model.model.layer4[0].conv1.weight.grad is not None


def same_maps(model, whole):
    """Whether a backbone computes what a whole timm model does."""
    theirs = timm.create_model(
        model.model_name, features_only=True, out_indices=model.out_indices, **model.timm_kwargs
    )
    weights = {name.replace('.', '_'): value for name, value in whole.state_dict().items()}
    own = theirs.state_dict()
    theirs.load_state_dict({n: weights[n.removeprefix('model.').replace('.', '_')] for n in own})
    expected = theirs.eval()(images())
    if getattr(theirs, 'output_fmt', 'NCHW') == 'NHWC':
        expected = [m.permute(0, 3, 1, 2) for m in expected]
    return all(torch.equal(x, y) for x, y in zip(model.eval()(images()), expected, strict=True))


@each_network
@pytest.mark.parametrize('kind', ['safetensors', 'bare', 'model'])
def test_weights_of_a_file_of_timm(name, kind, tmp_path):
    whole = fill(timm.create_model(name, **NETWORKS[name][1]))  # with its classifier
    path = str(tmp_path / ('w.safetensors' if kind == 'safetensors' else 'w.pth'))
    if kind == 'safetensors':
        safetensors.torch.save_file(whole.state_dict(), path)
    else:
        state = whole.state_dict()
        torch.save(state if kind == 'bare' else dict(model=state), path)
    model = backbone(name, pretrained=path)
    assert not same_maps(model, whole)  # building loads nothing
    model.init_weights()
    assert same_maps(model, whole)


def original_convnext(state):
    """ConvNeXt's weights under the names of its authors' release, written down by hand."""
    out = {}
    for name, value in state.items():
        parts = name.split('.')
        if parts[0] == 'stem':
            name = f'downsample_layers.0.{parts[1]}.{parts[2]}'
        elif parts[2] == 'downsample':
            name = f'downsample_layers.{parts[1]}.{parts[3]}.{parts[4]}'
        elif parts[0] == 'stages':
            block = f'stages.{parts[1]}.{parts[3]}'
            rest = '.'.join(parts[4:])
            for ours, theirs in {
                'conv_dw': 'dwconv',
                'mlp.fc1': 'pwconv1',
                'mlp.fc2': 'pwconv2',
            }.items():
                rest = rest.replace(ours, theirs)
            name = f'{block}.{rest}'
            if value.ndim == 4 and value.shape[-1] == 1 and 'pwconv' in name:
                value = value[:, :, 0, 0]  # a linear layer there
        elif name.startswith('head.norm.'):
            name = f'norm.{parts[2]}'
        else:
            name = f'head.{parts[2]}'
        out[name] = value
    return out


def test_weights_of_convnexts_own_release(tmp_path):
    whole = fill(timm.create_model('convnext_atto', num_classes=7))
    weights = original_convnext(whole.state_dict())
    assert 'stages.0.0.pwconv1.weight' in weights and weights['head.weight'].shape[0] == 7
    path = tmp_path / 'convnext.pth'
    torch.save(dict(model=weights), path)
    model = TimmBackbone('convnext_atto', str(path))
    model.init_weights()
    assert same_maps(model, whole)


def test_timms_own_loading(tmp_path):
    """`pretrained=True` is timm's, here with a file in the place of its download."""
    whole = fill(timm.create_model('test_convnext'))
    path = tmp_path / 'w.safetensors'
    safetensors.torch.save_file(whole.state_dict(), path)
    overlay = dict(source='', file=str(path))
    model = TimmBackbone('test_convnext', True, pretrained_cfg_overlay=overlay)
    assert not same_maps(model, whole)
    model.init_weights()
    assert same_maps(model, whole)


def test_weights_are_loaded_once(tmp_path):
    whole = fill(timm.create_model('test_convnext'))
    path = tmp_path / 'w.safetensors'
    safetensors.torch.save_file(whole.state_dict(), path)
    model = TimmBackbone('test_convnext', str(path))
    model.init_weights()
    fill(model.model, seed=1)
    model.init_weights()
    assert not same_maps(model, whole)


def test_without_network_timms_weights_are_a_clear_error(monkeypatch):
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    model = TimmBackbone('test_resnet.r160_in1k', True, (2, 3, 4), cache_dir='/nonexistent')
    with pytest.raises(InputError, match=r'could not get its weights .*pretrained=FILE') as error:
        model.init_weights()
    assert '\n' not in str(error.value)


def misfit(path, **kwargs):
    model = TimmBackbone('test_convnext', str(path), **kwargs)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(InputError) as error:
        model.init_weights()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    message = str(error.value)
    assert message.startswith(f'{path}: ') and '\n' not in message
    return message.removeprefix(f'{path}: ')


def test_files_that_do_not_fit(tmp_path):
    state = timm.create_model('test_convnext').state_dict()
    path = tmp_path / 'w.pth'

    torch.save({k: v for k, v in state.items() if k != 'stages.1.blocks.0.conv_dw.bias'}, path)
    assert '1 missing (stages_1.blocks.0.conv_dw.bias); give' in misfit(path)
    torch.save(state | {'stages.9.x': torch.zeros(1)}, path)
    assert '1 unknown (stages.9.x); give' in misfit(path)
    torch.save(state | {'stem.0.weight': torch.zeros(9, 3, 4, 4)}, path)
    assert '1 of another shape (stem_0.weight (9, 3, 4, 4) instead of (24, 3' in misfit(path)
    torch.save(timm.create_model('test_resnet').state_dict(), path)
    assert misfit(path).startswith('not weights of test_convnext')
    torch.save(dict(model=state, args=object), path)
    assert misfit(path).startswith('holds an object of type builtins.object, and making')
    path.write_bytes(b'<html>')
    assert misfit(path).startswith('is a web page')
    assert misfit(tmp_path / 'no.pth') == 'there is no such checkpoint'
    (tmp_path / 'w.safetensors').write_bytes(b'<html>')
    assert misfit(tmp_path / 'w.safetensors').startswith('is a web page')
    assert misfit(tmp_path / 'no.safetensors') == 'there is no such checkpoint'


def test_last_stages_that_are_not_used_are_not_missed(tmp_path):
    whole = fill(timm.create_model('test_convnext'))
    torch.save(whole.state_dict(), tmp_path / 'w.pth')
    model = TimmBackbone('test_convnext', str(tmp_path / 'w.pth'), out_indices=(0, 1))
    assert not any('stages_2' in name for name in model.state_dict())
    model.init_weights()
    assert same_maps(model, whole)


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (
            dict(model_name='convnext_atoo'),
            r"has no model 'convnext_atoo'; near names: convnext_a",
        ),
        (dict(model_name='convnext_tiny.fb_in23k'), r'near names: convnext_tiny\.fb_in22k, '),
        (dict(model_name='hf-hub:timm/x'), r"has no model 'hf-hub:timm/x'; "),
        (dict(model_name='test_mambaout', features=1), r"unexpected keyword argument 'features'"),
        (dict(model_name='gmixer_12_224'), r'cannot make it with .*features_only|one size only'),
        (dict(model_name='swin_tiny_patch4_window7_224'), r'one size only; add strict_img_size='),
        (dict(out_indices=(2, 4)), r'out_indices=\(2, 4\) are not all there; .* 3: 32 \(64\)$'),
        (dict(out_indices=(2, 1)), r'out_indices=\(2, 1\) must be different numbers from 0 on'),
        (dict(out_indices=(-2, -1)), r'must be different numbers from 0 on, in ascending'),
        (dict(strides=(4, 8, 16)), r'have the strides \(8, 16, 32\), not \(4, 8, 16\); its maps'),
        (dict(channels=(1, 2, 3)), r'have the channels \(32, 48, 64\), not \(1, 2, 3\); its maps'),
        (dict(frozen_stages=5), r'frozen_stages=5, but its 4 maps of stride 4 and more'),
        (dict(frozen_stages=3, out_indices=(1,)), r'up to the last of out_indices=\(1,\)'),
        (dict(drop_path_rates=0.1), r"unexpected keyword argument 'drop_path_rates'"),
        (dict(pretrained=True, init_cfg=dict(type='Pretrained')), r'give one of the two'),
    ],
)
def test_clear_errors(kwargs, message):
    with pytest.raises(InputError, match=message) as error:
        TimmBackbone(**{'model_name': 'test_convnext', **kwargs})
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('size', ['t', 'l'])
def test_configs_give_the_neck_what_it_takes(size):
    config = Config.fromfile(CONFIGS / f'contrastive_vis_convnext-{size}.py').model.detector
    with DefaultScope.overwrite_default_scope('mmvis_cl'), torch.device('meta'):
        model = MODELS.build(config.backbone)
    assert list(model.channels) == config.neck.in_channels
    assert timm.is_model_pretrained(model.model_name)
    rates = [m.drop_prob for m in model.modules() if isinstance(m, timm.layers.DropPath)]
    assert max(rates) == pytest.approx(dict(t=0.2, l=0.3)[size])


def test_trains_in_the_video_model():
    config = Config.fromfile(CONFIGS / 'contrastive_vis_convnext-t.py').model
    config.detector.update(num_encoder_layers=1, num_decoder_layers=1, embed_dims=64, ffn_dims=64)
    config.detector.backbone.update(model_name='test_convnext', pretrained=False)
    config.detector.neck.in_channels = [32, 48, 64]
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        model = MODELS.build(config)
    model.init_weights()
    outputs = model.train()(images()[None], mode='tensor')
    assert outputs['pred_masks'].shape == (2, 300, 16, 24)
    sum(value.square().sum() for value in outputs.values()).backward()
    for name, parameter in model.detector.backbone.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
