import os
import pickle

import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmvis_cl.checkpoints.reader import read_checkpoint, tensors_of
from mmvis_cl.errors import InputError


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('zipped', [True, False])
def test_weights_of_a_training_are_read_and_its_objects_are_not_made(tmp_path, zipped):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).half()
    content = dict(
        state_dict=model.state_dict(),
        parameter=torch.nn.Parameter(torch.rand(2)),
        meta=dict(dataset_meta=dict(classes=('a', 'b')), epoch=3),
        message_hub=HistoryBuffer([1.0, 2.0], [1, 1]),
        evil=[Evil(tmp_path / 'made'), {'deeper': Evil(tmp_path / 'made')}],
    )
    path = tmp_path / 'checkpoint.pth'
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r'holds an object of type posix\.mkdir, and'):
        read_checkpoint(str(path))
    found = read_checkpoint(str(path), skip_objects=True)
    assert not (tmp_path / 'made').exists()
    assert found['meta'] == content['meta']
    assert found['message_hub'].data[0].tolist() == [1.0, 2.0]
    torch.testing.assert_close(found['parameter'], content['parameter'])
    weights = tensors_of(found, str(path))
    assert list(weights) == list(content['state_dict'])
    for key, value in content['state_dict'].items():
        assert value.dtype == weights[key].dtype and torch.equal(value, weights[key])


def test_an_object_among_the_weights(tmp_path):
    path = tmp_path / 'checkpoint.pth'
    torch.save(dict(state_dict=dict(a=HistoryBuffer([1.0], [1]))), path)
    with pytest.raises(InputError, match=r'not a tensor: a\)'):
        tensors_of(read_checkpoint(str(path), skip_objects=True), str(path))


def test_a_bare_pickle_runs_nothing(tmp_path):
    path = tmp_path / 'checkpoint.pth'
    path.write_bytes(pickle.dumps(Evil(tmp_path / 'made')))
    with pytest.raises(InputError, match=r'checkpoint\.pth: '):
        read_checkpoint(str(path), skip_objects=True)
    assert not (tmp_path / 'made').exists()
