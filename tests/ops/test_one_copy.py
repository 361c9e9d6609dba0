import torch

from mmvis_cl.ops.one_copy import packed, to_cpu, unpacked


def test_bytes_and_back():
    """Of all types and shapes, also none and not contiguous, in the order in which they came."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(4, 6, generator=generator)
    tensors = [
        values > 0,
        values.T,
        values.double()[:, ::2],
        values.half()[1],
        torch.arange(5, dtype=torch.int32),
        torch.tensor(7),
        torch.zeros(0, 3),
        (10 * values).to(torch.bfloat16),
    ]
    data = packed(tensors)
    assert data.dtype == torch.uint8 and data.dim() == 1
    for found, given in zip(unpacked(data, tensors), tensors, strict=True):
        assert found.dtype == given.dtype and torch.equal(found, given)


def test_what_is_on_the_cpu_is_not_copied():
    given = torch.ones(2), torch.arange(3)
    assert all(a is b for a, b in zip(to_cpu(*given), given, strict=True))
