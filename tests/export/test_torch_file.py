"""A network compiled by torch, here one of a few operations: the real ones take minutes."""

import shutil

import numpy as np
import pytest
import torch

from mmvis_cl.errors import InputError
from mmvis_cl.export import torch_file
from mmvis_cl.export.description import Description


class Small(torch.nn.Module):
    def forward(self, frames, size):
        return frames.mean((2, 3)) * size[0], frames[:, :, :2, 0] + size[1]


@pytest.mark.skipif(shutil.which('g++') is None, reason='there is no C++ compiler')
def test_a_package_says_what_it_is_and_runs(tmp_path, monkeypatch):
    monkeypatch.setenv('MMVIS_CL_KERNELS', str(tmp_path / 'kernels'))
    said = Description(
        *('QueryMaskFormer', ['a'], [0.0] * 3, [1.0] * 3),
        dict(type='Resize', scale=[96, 64], keep_ratio=True),
        dict(score_thr=0.1),
        {},
        dict(type='MemoryBankTracker'),
        dict(mask_nms_thr=0.5, result_score_thr=0.1),
        None,
        None,
    )
    frames, size = torch.randn(2, 3, 4, 5), torch.tensor([3, 7])
    batch = torch.export.Dim('batch', min=1, max=8)
    program = torch.export.export(Small(), (frames, size), dynamic_shapes=({0: batch}, {}))
    file = tmp_path / 'a.pt2'
    torch_file.write_package(program, file, said)
    runtime = torch_file.open_file(str(file), None)
    assert runtime.description == said
    frames = torch.randn(3, 3, 4, 5)
    for one, other in zip(
        runtime(frames.numpy(), size.numpy()), Small()(frames, size), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match='give --device cpu'):
        torch_file.open_file(str(file), torch.device('cuda'))
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match='no package of torch, or was cut off'):
        torch_file.open_file(str(file), None)
