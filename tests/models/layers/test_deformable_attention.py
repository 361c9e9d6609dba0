"""Both forms of deformable attention, compiled and gathered, give what mmcv's gives."""

import copy

import pytest
import torch
from mmcv.ops import MultiScaleDeformableAttention

from mmvis_cl.models import GatherDeformableAttention
from mmvis_cl.ops import deformable_sums
from mmvis_cl.ops.compiled_sampling import sampling_kernel

SHAPES = [(9, 14), (5, 7), (3, 4), (1, 1)]
PIXELS = sum(h * w for h, w in SHAPES)


@pytest.fixture(params=['compiled', 'gathered'])
def modules(request, monkeypatch):
    if request.param == 'gathered':
        monkeypatch.setattr(deformable_sums, 'sampling_kernel', lambda *args: None)
    elif sampling_kernel(8, 4, 16) is None:
        pytest.skip('no C compiler that works')
    torch.manual_seed(0)
    mmcvs = MultiScaleDeformableAttention(
        embed_dims=32, num_heads=4, num_levels=4, dropout=0.0, batch_first=True
    )
    for parameter in mmcvs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    # far enough that some points lie outside of the maps
    torch.nn.init.normal_(mmcvs.sampling_offsets.bias, std=3)
    ours = copy.deepcopy(mmcvs)
    ours.__class__ = GatherDeformableAttention
    return mmcvs, ours


def inputs(dims, padded):
    generator = torch.Generator().manual_seed(1)

    def random(*shape):
        return torch.randn(shape, generator=generator).requires_grad_()

    reference = torch.rand(2, 11, 4, dims, generator=generator)
    mask = torch.zeros(2, PIXELS, dtype=torch.bool)
    mask[1, PIXELS // 2 :] = padded
    shapes = torch.tensor(SHAPES)
    return dict(
        query=random(2, 11, 32),
        value=random(2, PIXELS, 32),
        query_pos=random(2, 11, 32),
        key_padding_mask=mask,
        reference_points=reference.requires_grad_(),
        spatial_shapes=shapes,
        level_start_index=torch.cat((shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1])),
    )


@pytest.mark.parametrize('dims', [2, 4])
@pytest.mark.parametrize('padded', [False, True])
def test_same_output_and_gradients(modules, dims, padded):
    results = []
    for module in modules:
        given = inputs(dims, padded)
        output = module(**given)
        output.mul(torch.arange(output.numel()).view_as(output) % 7 - 3).sum().backward()
        gradients = {k: v.grad for k, v in given.items() if v.requires_grad}
        gradients |= {k: v.grad for k, v in module.named_parameters()}
        results.append((output.detach(), gradients))
    (expected, expected_gradients), (output, gradients) = results
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        scale = expected_gradients[name].abs().max()
        torch.testing.assert_close(
            gradient / scale, expected_gradients[name] / scale, rtol=1e-5, atol=1e-5, msg=name
        )


def test_without_gradients(modules):
    mmcvs, ours = modules
    with torch.no_grad():
        given = inputs(4, True)
        torch.testing.assert_close(ours(**given), mmcvs(**given), rtol=1e-5, atol=1e-5)
    assert ours.state_dict().keys() == mmcvs.state_dict().keys()


def test_places_kept_from_inference_serve_in_training(modules):
    given = inputs(2, False)
    with torch.inference_mode():
        modules[1](**{k: v.detach() for k, v in given.items()})
    modules[1](**given).sum().backward()
    assert given['value'].grad.isfinite().all()
