"""The compiled kernel samples as PyTorch does, and says why where it cannot be had."""

import shutil
import tempfile

import pytest
import torch
from torch.nn import functional as F

from mmvis_cl.models import GatherDeformableAttention
from mmvis_cl.ops import compiled_sampling
from mmvis_cl.ops.compiled_sampling import sample_levels_compiled, sampling_kernel

SHAPES = ((6, 9), (3, 5), (1, 2))
PIXELS = sum(h * w for h, w in SHAPES)
POINTS = 2


@pytest.fixture
def compiler():
    if not any(map(shutil.which, ('cc', 'gcc', 'clang'))):
        pytest.skip('there is no C compiler here')


@pytest.fixture(autouse=True)
def nothing_kept():
    sampling_kernel.cache_clear()
    yield
    sampling_kernel.cache_clear()


def sampled(value, projected, reference):
    """The definition: torch's bilinear samples, level by level."""
    b, _, _, heads = projected.shape[:4]
    weights = projected[:, :, 2].softmax(-1)
    maps = value.split([h * w for h, w in SHAPES], 1)
    total = 0
    for level, ((h, w), pixels) in enumerate(zip(SHAPES, maps, strict=True)):
        here = slice(level * POINTS, (level + 1) * POINTS)
        distance = torch.stack((projected[:, :, 0, :, here], projected[:, :, 1, :, here]), -1)
        center, extent = reference[:, :, None, level, None].split([2, reference.shape[-1] - 2], -1)
        if reference.shape[-1] == 4:
            place = center + distance / POINTS * extent / 2
        else:
            place = center + distance / torch.tensor([w, h])
        grid = (place * 2 - 1).transpose(1, 2).flatten(0, 1)
        image = pixels.unflatten(1, (h, w)).permute(0, 3, 4, 1, 2).flatten(0, 1)
        samples = F.grid_sample(image, grid, align_corners=False).unflatten(0, (b, heads))
        weighted = samples * weights[..., here].transpose(1, 2)[:, :, None]
        total = total + weighted.sum(-1).permute(0, 3, 1, 2)
    return total.flatten(2)


def inputs(channels, heads=2, queries=7, images=2, coordinates=2):
    generator = torch.Generator().manual_seed(channels)
    value = torch.randn(images, PIXELS, heads, channels, generator=generator)
    shape = images, queries, 3, heads, len(SHAPES) * POINTS
    # up to far left of the maps and far right of them
    projected = torch.randn(shape, generator=generator) * 4
    reference = torch.rand(images, queries, len(SHAPES), coordinates, generator=generator)
    return [t.requires_grad_() for t in (value, projected, reference)]


def run(channels, *given):
    return sample_levels_compiled(sampling_kernel(channels, len(SHAPES), 6), SHAPES, *given)


@pytest.mark.parametrize('channels', [1, 3, 4, 12, 16, 32])
@pytest.mark.parametrize(('queries', 'coordinates'), [(7, 2), (1100, 2), (7, 4)])
def test_sums_and_gradients_are_those_of_grid_sample(compiler, channels, queries, coordinates):
    """Any number of channels, queries in one block or in several, points and boxes."""
    given = inputs(channels, queries=queries, coordinates=coordinates)
    found, expected = run(channels, *given), sampled(*given)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    grad = torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
    for mine, theirs in zip(
        torch.autograd.grad(found, given, grad),
        torch.autograd.grad(expected, given, grad),
        strict=True,
    ):
        scale = theirs.abs().max()
        torch.testing.assert_close(mine / scale, theirs / scale, rtol=1e-5, atol=1e-5)


def test_references_without_gradient_have_none(compiler):
    value, projected, reference = inputs(4)
    gradients = [
        torch.autograd.grad(run(4, value, projected, r).square().sum(), (value, projected))
        for r in (reference, reference.detach())
    ]
    for with_it, without in zip(*gradients, strict=True):
        assert torch.equal(with_it, without)


def test_weights_are_as_exact_as_torchs(compiler):
    """One pixel with the value 1 at each level: the sums are those of the weights."""
    shapes = ((1, 1),) * 3
    logits = torch.linspace(-100, 0, 1000)[:, None] * torch.tensor([0.0, 1, 1])
    value = torch.eye(3)[None, :, None]
    projected = torch.zeros(1, 1000, 3, 1, 3)
    projected[0, :, 2, 0] = logits
    reference = torch.full((1, 1000, 3, 2), 0.5)
    found = sample_levels_compiled(sampling_kernel(3, 3, 3), shapes, value, projected, reference)
    expected = logits.double().softmax(1)
    expected = expected.where(logits > -87, expected.new_zeros(()))
    torch.testing.assert_close(found[0].double(), expected, rtol=1e-5, atol=1e-38)


def test_the_number_of_threads_changes_nothing(compiler):
    results, before = [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            given = inputs(4, queries=1100)
            found = run(4, *given)
            results.append((found, *torch.autograd.grad(found.square().sum(), given)))
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


@pytest.mark.parametrize('place', [float('nan'), float('inf'), -float('inf'), 1e30, -100.0])
def test_points_that_lie_nowhere_add_nothing(compiler, place):
    """The NaN of a diverged network must not become a place in memory."""
    value, projected, reference = inputs(4)
    projected = projected.detach()
    projected[:, :, 0] = place
    projected.requires_grad_()
    found = run(4, value, projected, reference)
    assert not found.any()
    of_value, of_projected = torch.autograd.grad(found.sum(), (value, projected))
    assert not of_value.any() and not of_projected.any()


@pytest.mark.parametrize('logit', [float('nan'), float('inf')])
def test_weights_that_are_no_numbers_show(compiler, logit):
    value, projected, reference = inputs(4)
    projected = projected.detach()
    projected[0, 3, 2, 1, 5] = logit
    found = run(4, value, projected, reference).unflatten(2, (2, 4))
    expected = torch.zeros_like(found, dtype=torch.bool)
    expected[0, 3, 1] = True
    assert torch.equal(found.isnan(), expected)


def test_levels_that_do_not_fit_are_refused(compiler):
    value, *others = inputs(4)
    with pytest.raises(ValueError, match=r'have 71 pixels, not 70'):
        run(4, value[:, 1:], *others)


def test_the_library_is_compiled_once(compiler, tmp_path, monkeypatch):
    folder = tmp_path / 'new'
    monkeypatch.setenv('MMVIS_CL_KERNELS', str(folder))
    monkeypatch.setattr(compiled_sampling, 'FLAGS', '-O0 -shared -fPIC')
    assert sampling_kernel(4, 3, 6)
    (first,) = folder.glob('*.so')
    made = first.stat().st_mtime_ns
    sampling_kernel.cache_clear()
    assert sampling_kernel(4, 3, 6)
    assert list(folder.glob('*.so')) == [first] and first.stat().st_mtime_ns == made
    assert sampling_kernel(8, 3, 6) and sampling_kernel(4, 2, 6)
    assert len(list(folder.glob('*.so'))) == 3


def test_without_openmp_it_says_so_and_has_one_thread(compiler, tmp_path, monkeypatch):
    given = inputs(4, queries=1100)
    expected = run(4, *given)
    real = next(filter(None, map(shutil.which, ('cc', 'gcc', 'clang'))))
    lacking = tmp_path / 'lacking'
    lacking.write_text(
        '#!/bin/sh\n'
        'case "$*" in *-fopenmp*) echo "error: no -fopenmp" >&2; exit 1;; esac\n'
        f'exec {real} "$@"\n'
    )
    lacking.chmod(0o755)
    monkeypatch.setenv('CC', str(lacking))
    monkeypatch.setenv('MMVIS_CL_KERNELS', str(tmp_path))
    sampling_kernel.cache_clear()
    said = []
    monkeypatch.setattr(compiled_sampling, 'print_log', lambda line, **options: said.append(line))
    torch.testing.assert_close(run(4, *given), expected, rtol=1e-5, atol=1e-6)
    assert len(said) == 1 and 'one thread' in said[0] and 'no -fopenmp' in said[0]


def no_compiler(monkeypatch, tmp_path):
    monkeypatch.delenv('CC', raising=False)
    monkeypatch.setenv('PATH', str(tmp_path))
    return 'no C compiler was found; install gcc or clang, or name one in CC'


def compiler_fails(monkeypatch, tmp_path):
    wrong = tmp_path / 'wrong.c'
    wrong.write_text('int main( {')
    monkeypatch.setattr(compiled_sampling, 'SOURCE', wrong)
    return 'fails: '


def nothing_can_be_written(monkeypatch, tmp_path):
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('MMVIS_CL_KERNELS', str(tmp_path / 'file'))
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'file'))
    return str(tmp_path / 'file')


def compiler_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv('CC', str(tmp_path / 'cc'))
    return f"No such file or directory: '{tmp_path / 'cc'}'"


def compiler_hangs(monkeypatch, tmp_path):
    compiler = tmp_path / 'hangs'
    compiler.write_text('#!/bin/sh\n[ "$1" = --version ] || { sleep 1000 & wait; }\n')
    compiler.chmod(0o755)
    monkeypatch.setenv('CC', str(compiler))
    monkeypatch.setattr(compiled_sampling, 'COMPILING_SECONDS', 0.1)
    return f'{compiler} took more than'


@pytest.mark.parametrize(
    'broken',
    [
        no_compiler,
        compiler_fails,
        compiler_is_missing,
        compiler_hangs,
        nothing_can_be_written,
    ],
)
def test_attention_says_why_it_runs_in_pytorch(compiler, broken, tmp_path, monkeypatch):
    torch.manual_seed(0)
    module = GatherDeformableAttention(
        embed_dims=8, num_heads=2, num_levels=3, num_points=POINTS, dropout=0.0, batch_first=True
    )
    shapes = torch.tensor(SHAPES)
    given = dict(
        query=torch.randn(1, 5, 8),
        value=torch.randn(1, PIXELS, 8),
        reference_points=torch.rand(1, 5, 3, 2),
        spatial_shapes=shapes,
    )
    expected = module(**given)
    sampling_kernel.cache_clear()
    monkeypatch.setenv('MMVIS_CL_KERNELS', str(tmp_path / 'kernels'))
    words = broken(monkeypatch, tmp_path)
    said = []
    monkeypatch.setattr(compiled_sampling, 'print_log', lambda line, **options: said.append(line))
    for _ in range(2):
        torch.testing.assert_close(module(**given), expected, rtol=1e-5, atol=1e-5)
    assert len(said) == 1 and words in said[0] and '\n' not in said[0]
