"""Triton's kernels sample as PyTorch does: on a GPU directly, on a CPU by Triton's interpreter.

The interpreter must be asked for before Triton is imported, so that on a CPU these tests run in a
process of their own, which `test_the_interpreter_gives_the_same` starts.
"""

import importlib.util
import os
import re
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmvis_cl.compat import has_compiled_ops
from mmvis_cl.models import GatherDeformableAttention
from mmvis_cl.ops.deformable_sums import deformable_sums, sampling_points
from mmvis_cl.ops.gathered_sampling import padded_levels, sample_levels

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
DEVICE = torch.device('cpu' if INTERPRETED else 'cuda')
has_triton = pytest.mark.skipif(
    importlib.util.find_spec('triton') is None, reason='Triton is not installed'
)
without_a_gpu = not torch.cuda.is_available()
on_kernels = [
    pytest.mark.cuda,
    has_triton,
    pytest.mark.skipif(without_a_gpu and not INTERPRETED, reason='there is no CUDA device'),
]
on_gpus = [
    pytest.mark.cuda,
    has_triton,
    pytest.mark.skipif(without_a_gpu or INTERPRETED, reason='there is no CUDA device'),
]
SHAPES = ((6, 9), (3, 5), (1, 2))


def kernels(test):
    for mark in on_kernels:
        test = mark(test)
    return test


def gpus(test):
    for mark in on_gpus:
        test = mark(test)
    return test


def inputs(
    shapes=SHAPES, points=2, channels=12, heads=2, queries=7, images=2, coordinates=2, seed=0
):
    """Value, what is projected and references, some points far outside of the maps; on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    pixels = sum(h * w for h, w in shapes)
    value = torch.randn(images, pixels, heads, channels, generator=generator)
    shape = images, queries, 3, heads, len(shapes) * points
    projected = torch.randn(shape, generator=generator) * 4
    reference = torch.rand(images, queries, len(shapes), coordinates, generator=generator)
    return value, projected, reference


def leaves(tensors, dtype=None):
    return [t.detach().to(DEVICE, dtype).requires_grad_() for t in tensors]


def level_tensors(shapes):
    sizes = torch.tensor(shapes)
    ends = sizes.prod(1).cumsum(0)
    return sizes.to(DEVICE), (ends - sizes.prod(1)).to(DEVICE)


def by_triton(shapes, value, projected, reference):
    sums = deformable_sums(
        value, *level_tensors(shapes), projected.shape[4] // len(shapes), 64, way='triton'
    )
    return sums(projected, reference)


def by_gathering(shapes, value, projected, reference):
    """The plain form, in the type of what it is given."""
    levels = padded_levels(shapes, value.device)
    rows = value.new_zeros((len(value), levels.length, *value.shape[2:]))
    rows[:, levels.pixels] = value
    places = sampling_points(projected, reference, levels.sizes.to(value))
    return sample_levels(rows, levels, *places)


def assert_near(found, expected, tolerance):
    for mine, theirs in zip(found, expected, strict=True):
        scale = theirs.abs().max() if theirs.any() else 1
        torch.testing.assert_close(
            (mine.double() / scale).cpu(), (theirs / scale).cpu(), rtol=0, atol=tolerance
        )


def gradients(sums, given):
    weights = torch.linspace(-1, 1, sums.numel(), device=sums.device, dtype=sums.dtype)
    return torch.autograd.grad((sums * weights.view_as(sums)).sum(), given)


CASES = {
    'points': {},
    'boxes': dict(coordinates=4),
    'many queries': dict(queries=40, channels=4),
    'one of each': dict(shapes=((1, 1),), points=1, channels=1, heads=1, queries=1, images=1),
    'one level of one line': dict(shapes=((1, 9),), points=3, channels=5, heads=3, coordinates=4),
    'the network': dict(
        shapes=((8, 11), (4, 6), (2, 3), (1, 2)), points=4, channels=32, heads=8, queries=3
    ),
    'wide': dict(shapes=((4, 5), (2, 3)), points=5, channels=130, heads=1, queries=3, images=1),
}


@kernels
@pytest.mark.parametrize('case', CASES)
def test_sums_and_gradients_are_those_of_gathered_rows(case):
    """In float64: any numbers of levels, heads, points, channels and queries, both references."""
    shapes = CASES[case].get('shapes', SHAPES)
    tensors = inputs(**CASES[case])
    given, exact = leaves(tensors), leaves(tensors, torch.float64)
    found, expected = by_triton(shapes, *given), by_gathering(shapes, *exact)
    assert found.dtype == torch.float32 and found.shape == expected.shape
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    assert_near(gradients(found, given), gradients(expected, exact), 1e-4)


@kernels
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('all_of_them', [False, True])
def test_half_precision_is_summed_in_float32(dtype, all_of_them):
    """Values, or what is projected as well, are what they are; only the gradients are rounded."""
    tensors = [t.to(dtype) for t in inputs(queries=40, channels=16)[:2]]
    tensors.append(inputs(queries=40, channels=16)[2])
    given = leaves(tensors)
    if not all_of_them:
        given[1] = given[1].detach().float().requires_grad_()
    exact = leaves(tensors, torch.float64)
    found, expected = by_triton(SHAPES, *given), by_gathering(SHAPES, *exact)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
    mine, theirs = gradients(found, given), gradients(expected, exact)
    assert [t.dtype for t in mine] == [t.dtype for t in given]
    step = torch.finfo(dtype).eps  # the interpreter cuts off where a GPU rounds
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(
            one.double(), other, rtol=step, atol=1e-4 * float(other.abs().max())
        )


@kernels
def test_places_on_pixels_and_on_the_border_have_the_gradients_of_the_plain_form():
    """A gradient jumps at a pixel's centre; both forms look to the same side."""
    shapes = ((3, 4),)
    x, y = (
        axis.flatten().float()
        for axis in torch.meshgrid(torch.arange(-2, 6), torch.arange(-2, 5), indexing='ij')
    )
    projected = torch.stack((x, y, torch.zeros_like(x)))[None, :, :, None, None]
    projected = projected.permute(0, 2, 1, 3, 4)
    value = torch.randn(1, 12, 1, 4, generator=torch.Generator().manual_seed(0))
    # exactly the centre of the first pixel of the second line
    reference = torch.tensor([0.125, 0.5]).repeat(1, len(x), 1, 1)
    given, exact = (leaves((value, projected, reference), t) for t in (None, torch.float64))
    found, expected = by_triton(shapes, *given), by_gathering(shapes, *exact)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    assert_near(gradients(found, given), gradients(expected, exact), 1e-5)


@kernels
def test_references_without_gradient_change_no_other_gradient():
    value, projected, reference = leaves(inputs(coordinates=4, queries=3))
    with_it, without = (
        torch.autograd.grad(
            by_triton(SHAPES, value, projected, r).square().sum(), (value, projected)
        )
        for r in (reference, reference.detach())
    )
    assert_near(with_it, [t.double() for t in without], 1e-6)


@kernels
def test_parts_of_tensors_are_taken():
    """Every second image and query of larger tensors."""
    tensors = inputs(images=4, queries=6)
    parts = [t.to(DEVICE)[::2] for t in tensors]
    parts[1:] = [t[:, ::2] for t in parts[1:]]
    found = by_triton(SHAPES, *parts)
    expected = by_gathering(SHAPES, *(t.double() for t in parts))
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@kernels
@pytest.mark.parametrize('empty', [dict(queries=0), dict(images=0)])
def test_nothing_gives_nothing(empty):
    given = leaves(inputs(**empty))
    found = by_triton(SHAPES, *given)
    assert found.numel() == 0 and found.shape[2] == 24
    for gradient, tensor in zip(torch.autograd.grad(found.sum(), given), given, strict=True):
        assert gradient.shape == tensor.shape and not gradient.any()


@kernels
@pytest.mark.parametrize('place', [float('nan'), float('inf'), -float('inf'), 1e30, -100.0])
def test_points_that_lie_nowhere_add_nothing(place):
    """The NaN of a diverged network must not become a place in memory."""
    value, projected, reference = leaves(inputs(queries=3))
    projected = projected.detach()
    projected[:, :, 0] = place
    projected.requires_grad_()
    found = by_triton(SHAPES, value, projected, reference)
    assert not found.any()
    of_value, of_projected = torch.autograd.grad(found.sum(), (value, projected))
    assert not of_value.any() and not of_projected.any()


@kernels
@pytest.mark.parametrize('logit', [float('nan'), float('inf')])
def test_weights_that_are_no_numbers_show(logit):
    value, projected, reference = (t.to(DEVICE) for t in inputs())
    projected[0, 3, 2, 1, 5] = logit
    found = by_triton(SHAPES, value, projected, reference).unflatten(2, (2, 12))
    expected = torch.zeros_like(found, dtype=torch.bool)
    expected[0, 3, 1] = True
    assert torch.equal(found.isnan(), expected)


@kernels
def test_a_weight_of_almost_nothing_is_as_exact_as_torchs():
    """One pixel with the value 1 at each level: the sums are those of the weights."""
    logits = torch.linspace(-100, 0, 50)[:, None] * torch.tensor([0.0, 1, 1])
    value = torch.eye(3)[None, :, None]
    projected = torch.zeros(1, 50, 3, 1, 3)
    projected[0, :, 2, 0] = logits
    reference = torch.full((1, 50, 3, 2), 0.5)
    given = (t.to(DEVICE) for t in (value, projected, reference))
    found = by_triton(((1, 1),) * 3, *given)[0].double().cpu()
    torch.testing.assert_close(found, logits.double().softmax(1), rtol=2e-5, atol=1e-37)


@kernels
def test_levels_that_are_larger_than_the_values_show_and_are_not_read():
    """Nobody looks at the levels' sizes before the launch, for that would wait for the device."""
    value, projected, reference = (t.to(DEVICE) for t in inputs())
    larger = (*SHAPES[:2], (100, 100))
    found = by_triton(larger, value, projected, reference)
    assert found.isnan().all()


@kernels
def test_nothing_waits_for_the_device():
    """What is dispatched from values to sums and back asks for no number."""
    names = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            names.append(operation._schema.name)
            return operation(*args, **(kwargs or {}))

    given = leaves(inputs())
    by_triton(SHAPES, *given)  # which tries the kernels first
    sizes, starts = level_tensors(SHAPES)
    with Watch():
        found = deformable_sums(given[0], sizes, starts, 2, 64, way='triton')(*given[1:])
        torch.autograd.grad(found.sum(), given)
    ours = [name for name in names if name.startswith('mmvis_cl::')]
    assert ours == ['mmvis_cl::sample_levels', 'mmvis_cl::sample_levels_backward']
    waiting = {'_local_scalar_dense', 'nonzero', 'item', 'equal', '_to_copy'}
    assert not waiting & {name.removeprefix('aten::') for name in names}


@kernels
def test_it_is_one_operation_for_torch_compile():
    torch.manual_seed(0)
    module = GatherDeformableAttention(
        embed_dims=24, num_heads=2, num_levels=3, num_points=2, dropout=0.0, batch_first=True,
        way='triton',
    ).to(DEVICE)  # fmt: skip
    sizes, starts = level_tensors(SHAPES)
    query, value, reference = (torch.randn(2, n, 24, device=DEVICE) for n in (5, 71, 5))
    reference = reference[..., :12].sigmoid().unflatten(2, (3, 4))
    given = dict(query=query, value=value, reference_points=reference)
    given |= dict(spatial_shapes=sizes, level_start_index=starts)
    compiled = torch.compile(module, backend='aot_eager', fullgraph=True)
    results = []
    for run in (compiled, module):
        module.zero_grad()
        output = run(**given)
        output.square().sum().backward()
        results.append([output, *(p.grad for p in module.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * other.abs().max().item())


@gpus
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_a_recorded_launch_is_replayed_with_other_inputs(dtype):
    sizes, starts = level_tensors(SHAPES)

    def run(value, projected, reference):
        return deformable_sums(value, sizes, starts, 2, 64, way='triton')(projected, reference)

    kept = [t.to(DEVICE) for t in inputs()]
    kept[0] = kept[0].to(dtype)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        run(*kept)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        sums = run(*kept)
    for seed in (1, 2):
        new = [t.to(DEVICE) for t in inputs(seed=seed)]
        for place, tensor in zip(kept, new, strict=True):
            place.copy_(tensor)
        graph.replay()
        expected = by_gathering(SHAPES, *(t.double() for t in kept))
        torch.testing.assert_close(sums.double(), expected, rtol=1e-5, atol=1e-5)


@gpus
def test_other_numbers_of_queries_are_not_compiled_anew():
    from mmvis_cl.ops.sample_levels import sample_forward

    def compiled():
        caches = getattr(sample_forward, 'device_caches', None) or sample_forward.cache
        return sum(len(c[0] if isinstance(c, tuple) else c) for c in caches.values())

    by_triton(SHAPES, *(t.to(DEVICE) for t in inputs(queries=7)))
    before = compiled()
    for queries in (1, 16, 33, 64):
        by_triton(SHAPES, *(t.to(DEVICE) for t in inputs(queries=queries)))
    assert compiled() == before > 0


@gpus
@pytest.mark.skipif(not has_compiled_ops(), reason="mmcv's compiled ops are not there")
@pytest.mark.parametrize('coordinates', [2, 4])
def test_it_gives_what_mmcvs_op_gives(coordinates):
    tensors = inputs(channels=32, heads=8, queries=300, coordinates=coordinates)
    results = []
    for way in ('triton', 'mmcv'):
        given = leaves(tensors)
        sums = deformable_sums(given[0], *level_tensors(SHAPES), 2, 64, way=way)
        found = sums(*given[1:])
        results.append((found, *gradients(found, given)))
    triton, mmcv = results
    torch.testing.assert_close(triton[0], mmcv[0], rtol=1e-5, atol=1e-5)
    assert_near(triton[1:], [t.double() for t in mmcv[1:]], 1e-4)


@has_triton
@pytest.mark.skipif(INTERPRETED, reason='this is the process that the test starts')
def test_the_interpreter_gives_the_same():
    """All tests of the kernels above, on the CPU."""
    tests = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            '-q',
            '-p',
            'no:cacheprovider',
            '-p',
            'no:xdist',
            __file__,
        ],
        env=dict(os.environ, TRITON_INTERPRET='1', CUDA_VISIBLE_DEVICES=''),
        capture_output=True,
        text=True,
    )
    assert tests.returncode == 0, tests.stdout[-3000:] + tests.stderr[-1000:]
    assert int(re.search(r'(\d+) passed', tests.stdout)[1]) >= 25
