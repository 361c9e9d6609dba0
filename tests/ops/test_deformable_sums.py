"""Which way sums the samples of an attention: no GPU is needed to choose one."""

import pytest
import torch
from mmcv.ops import multi_scale_deform_attn as mmcv_attention
from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

from mmvis_cl.errors import InputError
from mmvis_cl.ops import deformable_sums
from mmvis_cl.ops.deformable_sums import WAYS, Values, can_be_recorded, chosen_way

SIZES = 8, 4, 16
CUDA, CPU = torch.device('cuda'), torch.device('cpu')


@pytest.fixture
def there(monkeypatch):
    """Sets the ways that are there; of the others 'a part is missing'."""
    warnings = []
    monkeypatch.setattr(deformable_sums, 'print_log', lambda line, **_: warnings.append(line))
    monkeypatch.delenv('TRITON_INTERPRET', raising=False)

    def set_ways(*names):
        deformable_sums._say_without_triton.cache_clear()
        for name, way in list(WAYS.items()):
            trouble = '' if name in (*names, 'gathered') else 'a part is missing'
            changed = way._replace(trouble=lambda sizes, device, said=trouble: said)
            monkeypatch.setitem(WAYS, name, changed)
        return warnings

    yield set_ways
    deformable_sums._say_without_triton.cache_clear()


@pytest.mark.parametrize(
    'ways, device, dtype, expected',
    [
        (('compiled', 'triton', 'mmcv'), CUDA, torch.float32, 'triton'),
        (('compiled', 'triton', 'mmcv'), CUDA, torch.bfloat16, 'triton'),
        (('compiled', 'triton', 'mmcv'), CUDA, torch.float64, 'mmcv'),
        (('compiled', 'mmcv'), CUDA, torch.float32, 'mmcv'),
        (('compiled',), CUDA, torch.float16, 'gathered'),
        (('compiled', 'triton', 'mmcv'), CPU, torch.bfloat16, 'compiled'),
        (('compiled', 'triton', 'mmcv'), CPU, torch.float64, 'gathered'),
        (('triton', 'mmcv'), CPU, torch.float32, 'gathered'),
    ],
)
def test_auto_takes_the_fastest_that_is_there(there, ways, device, dtype, expected):
    there(*ways)
    assert chosen_way('auto', device, dtype, SIZES) == expected


def test_it_is_said_once_that_triton_is_not_there(there):
    warnings = there('mmcv')
    for _ in range(2):
        chosen_way('auto', CUDA, torch.float32, SIZES)
    assert warnings == [
        "deformable attention on a GPU runs as attention='mmcv', without Triton: a part is missing"
    ]
    warnings = there('triton')
    chosen_way('auto', CUDA, torch.float32, SIZES)
    chosen_way('auto', CPU, torch.float32, SIZES)  # nobody asked for a GPU
    assert len(warnings) == 1


@pytest.mark.parametrize('way', WAYS)
def test_a_way_that_is_named_is_taken(there, way):
    there(*WAYS)
    device = CPU if way == 'compiled' else CUDA
    assert chosen_way(way, device, torch.float32, SIZES) == way


@pytest.mark.parametrize(
    'way, device, dtype, said',
    [
        ('compiled', CUDA, torch.float32, r'takes .*CPU, not torch.float32 on cuda; .*auto'),
        ('compiled', CPU, torch.float64, 'not torch.float64 on cpu'),
        ('mmcv', CPU, torch.float32, 'takes values on a GPU'),
        ('triton', CPU, torch.float32, 'on a GPU, not torch.float32 on cpu'),
        ('triton', CUDA, torch.float64, 'not torch.float64 on cuda'),
        ('fastest', CPU, torch.float32, 'no such way; take auto, compiled, triton, mmcv, gathered'),
    ],
)
def test_a_way_that_does_not_take_the_values_is_refused(there, way, device, dtype, said):
    there(*WAYS)
    with pytest.raises(InputError, match=said):
        chosen_way(way, device, dtype, SIZES)


@pytest.mark.parametrize('way', ['compiled', 'triton', 'mmcv'])
def test_a_way_that_is_not_there_is_refused(there, way):
    there()
    device = CPU if way == 'compiled' else CUDA
    with pytest.raises(InputError, match=f"attention='{way}': a part is missing; .*'auto'"):
        chosen_way(way, device, torch.float32, SIZES)


@pytest.mark.parametrize('ways, recorded', [(['triton'], True), (['mmcv'], True), ([], False)])
def test_what_waits_for_the_gpu_cannot_be_recorded(there, ways, recorded):
    there(*ways)
    assert can_be_recorded('auto', CUDA) == recorded
    assert not can_be_recorded('gathered', CUDA)


@pytest.mark.parametrize('coordinates', [2, 4])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_mmcvs_op_gets_the_points_that_are_gathered(monkeypatch, coordinates, dtype):
    """In place of the op, which needs CUDA, mmcv's own form of it in PyTorch."""

    class Op:
        @staticmethod
        def apply(value, shapes, starts, locations, weights, im2col_step):
            assert starts.tolist() == [0, 12] and im2col_step == 64
            return multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)

    monkeypatch.setattr(mmcv_attention, 'MultiScaleDeformableAttnFunction', Op)
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(2, 16, 2, 4, generator=generator).to(dtype)
    shapes, starts = torch.tensor([[3, 4], [2, 2]]), torch.tensor([0, 12])
    projected = torch.randn(2, 5, 3, 2, 6, generator=generator).to(dtype)
    reference = torch.rand(2, 5, 2, coordinates, generator=generator)
    given = Values(value, shapes, starts, (4, 2, 6), 64)
    found, expected = (WAYS[way].make(given)(projected, reference) for way in ('mmcv', 'gathered'))
    torch.testing.assert_close(found, expected)


class OnGPU(torch.Tensor):
    """A tensor on the CPU that says that it is elsewhere."""

    is_cuda = True


@pytest.mark.parametrize('kind', [torch.Tensor, OnGPU])
def test_rows_of_the_padding_are_cleared(kind):
    value = torch.rand(2, 6, 3, generator=torch.Generator().manual_seed(0)) + 1
    mask = torch.zeros(2, 6, dtype=torch.bool)
    mask[0, 4:] = mask[1, 2] = True
    cleared = deformable_sums.clear_rows(value.clone().as_subclass(kind), mask)
    assert (cleared.as_subclass(torch.Tensor) == torch.where(mask[..., None], 0, value)).all()


def test_the_compiler_asks_once_and_leaves_the_names_of_the_module(there):
    """It once put the answer in the place of the function, so that nobody could ask again."""
    there()
    names = vars(deformable_sums).copy()
    shapes = torch.tensor([[3, 4], [2, 2]])
    value = torch.randn(1, 16, 2, 4, generator=torch.Generator().manual_seed(0))
    projected, reference = torch.zeros(1, 5, 3, 2, 4), torch.rand(1, 5, 2, 2)
    given = value, shapes, torch.tensor([0, 12]), 2, 64
    expected = deformable_sums.deformable_sums(*given)(projected, reference)
    compiled = torch.compile(deformable_sums.deformable_sums, backend='eager')
    for _ in range(2):
        torch.testing.assert_close(compiled(*given)(projected, reference), expected)
    assert {name: vars(deformable_sums)[name] for name in names} == names
    assert chosen_way('auto', CPU, torch.float32, SIZES) == 'gathered'
