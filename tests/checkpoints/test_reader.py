"""Whatever lies in a checkpoint, and whatever way leads to it, none of its code is run."""

import functools
import http.server
import io
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import zipfile
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import nn

from mmvis_cl.checkpoints import reader
from mmvis_cl.checkpoints.inert_pickle import Placeholder, placeholders
from mmvis_cl.checkpoints.mmengine_loading import read_all_by_ours
from mmvis_cl.datasets.converters.moving_shapes import make_moving_shapes
from mmvis_cl.engine.cli import check_checkpoint_file
from mmvis_cl.errors import InputError
from mmvis_cl.models.pretrained import check_pretrained, fitting_weights

ROOT = Path(__file__).parents[2]


class Evil:
    """Leaves a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


class Net(BaseModel):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg=init_cfg)
        self.layer = nn.Linear(2, 3)

    def forward(self, *args, **kwargs):
        return {}


def hostile(place, marker):
    """What a training saves, with an object in one place."""
    content = dict(
        state_dict=dict(Net().state_dict()),
        meta=dict(iter=3, epoch=0, seed=1),
        optimizer=dict(state={}),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0], [1]))),
    )
    content[place] = dict(content[place], evil=Evil(marker))
    return content


def save(content, path, kind):
    if kind == 'pickle':
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == 'zip')


def by_runner(path, resume):
    runner = Runner(
        model=Net(),
        work_dir=str(path.parent / 'work'),
        load_from=str(path),
        resume=resume,
        custom_hooks=[dict(type='mmvis_cl.CheckFitHook')],
        log_level='ERROR',
    )
    runner.load_or_resume()


def by_address(path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=path.parent)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            CheckpointLoader.load_checkpoint(f'http://127.0.0.1:{server.server_port}/{path.name}')
        finally:
            server.shutdown()


def by_name_of_torchvision(path):
    (Path(torch.hub.get_dir()) / 'checkpoints').mkdir(parents=True)
    (Path(torch.hub.get_dir()) / 'checkpoints' / 'resnet18.pth').write_bytes(path.read_bytes())
    CheckpointLoader.load_checkpoint('torchvision://resnet18')


def by_init_cfg(path):
    model = Net(init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    check_pretrained(model)
    model.init_weights()


WAYS = dict(
    mmengine=lambda path: CheckpointLoader.load_checkpoint(str(path)),
    model=lambda path: load_checkpoint(Net(), str(path)),
    load_from=lambda path: by_runner(path, False),
    resume=lambda path: by_runner(path, True),
    init_cfg=by_init_cfg,
    detector=lambda path: fitting_weights(Net(), str(path)),
    tools=lambda path: check_checkpoint_file(str(path)),
    weights=lambda path: reader.read_checkpoint(str(path), skip_objects=True),
    converter=lambda path: reader.read_checkpoint(str(path)),
    address=by_address,
    torchvision=by_name_of_torchvision,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setattr(
        mmengine_checkpoint,
        'get_torchvision_models',
        lambda: dict(resnet18='http://127.0.0.1:9/resnet18.pth'),
    )


@pytest.mark.parametrize('kind', ['zip', 'legacy', 'pickle'])
@pytest.mark.parametrize('place', ['state_dict', 'meta', 'optimizer', 'message_hub'])
@pytest.mark.parametrize('way', WAYS)
def test_no_code_is_run(tmp_path, monkeypatch, way, place, kind):
    marker, path = tmp_path / 'made', tmp_path / 'evil.pth'
    save(hostile(place, marker), path, kind)
    # what is wanted of the others are the weights alone
    if kind == 'pickle' or way in ('converter', 'resume'):
        with pytest.raises(InputError) as error:
            WAYS[way](path)
        assert 'evil.pth' in str(error.value) or way == 'torchvision'
        assert '\n' not in str(error.value)
    else:
        WAYS[way](path)
    assert not marker.exists()


@pytest.mark.parametrize('kind', ['zip', 'legacy'])
def test_trusting_runs_it(tmp_path, monkeypatch, kind):
    """Else the test above would show nothing."""
    marker, path = tmp_path / 'made', tmp_path / 'evil.pth'
    save(hostile('message_hub', marker), path, kind)
    monkeypatch.setattr(reader, '_trusted', False)
    reader.trust_checkpoints()
    WAYS['mmengine'](path)
    assert marker.exists()


@pytest.mark.parametrize('trusted', [False, True])
def test_a_tool_reads_all_files_so(tmp_path, monkeypatch, trusted):
    marker, path = tmp_path / 'made', tmp_path / 'evil.pth'
    monkeypatch.setattr(torch, 'load', torch.load)  # taken back at the end
    monkeypatch.setattr(reader, '_trusted', trusted)
    read_all_by_ours()
    torch.save(hostile('meta', marker), path)
    found = torch.load(path, weights_only=False)
    assert found['meta']['iter'] == 3 and marker.exists() is trusted


def test_pickles_of_tensors_are_read_in_a_tool(monkeypatch):
    """Between processes, as of results: PyTorch writes a file of its own for each storage."""
    monkeypatch.setattr(torch, 'load', torch.load)
    read_all_by_ours()
    layer = torch.nn.Linear(3, 2)
    values = torch.arange(6).view(2, 3)
    twin, found, column = pickle.loads(pickle.dumps((layer, values, values[:, 1])))
    assert torch.equal(twin.weight, layer.weight) and twin.weight.requires_grad
    assert torch.equal(found, values) and found.dtype == torch.int64
    assert torch.equal(column, values[:, 1]) and column.stride() == (3,)


def test_a_program_that_only_imports_us_keeps_its_own_load(tmp_path):
    marker, path = tmp_path / 'made', tmp_path / 'own.pth'
    torch.save(hostile('meta', marker), path)
    torch.load(path, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize(
    ('command', 'message'),
    [
        (['train.py', '--resume', 'FILE'], 'of type posix.mkdir, and making objects could run'),
        (['test.py', 'FILE'], 'has none of the'),
        (['train.py', '--cfg-options', 'load_from=FILE'], 'has none of the'),
        (['train.py', '--resume', 'FILE', '--trust-checkpoint'], 'has none of the'),
    ],
)
def test_the_tools(tmp_path, command, message):
    marker, path = tmp_path / 'made', tmp_path / 'evil.pth'
    torch.save(hostile('optimizer', marker), path)
    make_moving_shapes(tmp_path / 'data', train_videos=2, valid_videos=1, length=3)
    (tmp_path / 'config.py').write_text(
        f"""_base_ = '{ROOT}/configs/vis_cl/small_moving-shapes.py'
loader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='data/'))
train_dataloader = val_dataloader = test_dataloader = loader
val_evaluator = test_evaluator = dict(ann_file='data/valid.json')
"""
    )
    tool, *rest = (word.replace('FILE', str(path)) for word in command)
    done = subprocess.run(
        [sys.executable, ROOT / 'tools' / tool, 'config.py', *rest],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1'),
        check=False,
    )
    assert done.returncode == 2, done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith('error: '))
    assert message in line
    assert 'Traceback' not in done.stderr
    assert marker.exists() == ('--trust-checkpoint' in command)


def opcodes(*lines):
    """A pickle written by hand, in a checkpoint's archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        archive.writestr('a/data.pkl', b''.join(lines))
        archive.writestr('a/byteorder', 'little')
        archive.writestr('a/version', '3\n')
    return buffer.getvalue()


@pytest.mark.parametrize(
    'program',
    [
        # attributes of a class or a function of ours
        [b'\x80\x02cmmengine.logging.history_buffer\nHistoryBuffer\n}X\x03\0\0\0minK\x01sb.'],
        [b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\0\0\0__defaults__)s\x86b.'],
        # other attributes than those of the logs
        [
            b'\x80\x02c__builtin__\ngetattr\n',
            b'cmmengine.logging.history_buffer\nHistoryBuffer\nX\x0b\0\0\0__globals__\x86R.',
        ],
        [b'\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0zip\x86R.'],
        [b'\x80\x02cnumpy\ndtype\nX\x01\0\0\0O\x85R.'],
        [b'\x80\x02ctorch\nUntypedStorage\nJ\xff\xff\xff\x7f\x85Rb.'],
        [b'\x80\x02}'],
        [b'.'],
        [b'\x80\xff.'],
    ],
)
def test_programs_written_by_hand(tmp_path, program):
    path = tmp_path / 'a.pth'
    path.write_bytes(opcodes(*program))
    with pytest.raises(InputError, match=r'a\.pth: '):
        reader.read_checkpoint(str(path))
    assert HistoryBuffer([2.0, 1.0], [1, 1]).min() == 1


def test_what_a_training_saves_comes_back(tmp_path):
    content = dict(
        a=np.arange(6.0).reshape(2, 3),
        f=np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
        b=np.float32(1.5),
        c=np.array([True]),
        d=HistoryBuffer([1.0, 3.0], [1, 1]),
        e=(slice(1, 2), {1, 2}, 1j, b'bytes', None, True),
        g=torch.Size([1]),
        h=torch.bfloat16,
        i=torch.device('cpu'),
        j=nn.Parameter(torch.ones(2)),
        k=deque([1, 2], maxlen=2),
        l=np.array(['a', 'bc']),
        m=np.random.RandomState(0).get_state()[1],
    )
    for new in (True, False):
        path = tmp_path / f'{new}.pth'
        torch.save(content, path, _use_new_zipfile_serialization=new)
        found = reader.read_checkpoint(str(path))
        for key in 'abcflm':
            np.testing.assert_array_equal(found[key], content[key])
            assert found[key].dtype == content[key].dtype
        assert (found['d'].mean(), found['d'].current()) == (2.0, 3.0)
        found['d'].update(5.0)  # as a training that is resumed does
        assert found['d'].current() == 5.0
        assert {k: found[k] for k in 'eghik'} == {k: content[k] for k in 'eghik'}
        assert found['k'].maxlen == 2
        assert isinstance(found['j'], nn.Parameter)


def test_tensors_keep_type_strides_and_what_they_share(tmp_path):
    base = torch.arange(20.0).reshape(4, 5)
    parameter = nn.Parameter(torch.ones(2))
    parameter.note = 'of a program'
    content = dict(
        turned=base.t(),
        row=base[2],
        none=torch.zeros(0, 3),
        one=torch.tensor(3),
        stretched=torch.zeros(1).expand(1000),
        shared=[parameter, parameter],
        bfloat=torch.rand(3).bfloat16(),
        complex=torch.rand(3, dtype=torch.complex64),
        bool=torch.tensor([True, False]),
    )
    new_types = dict(
        float8=torch.rand(3).to(torch.float8_e5m2), unsigned=torch.tensor([1, 2]).to(torch.uint16)
    )
    try:
        torch.save(new_types, io.BytesIO())
    except KeyError:  # torch 2.4 knows of unsigned numbers, but cannot save them
        del new_types['unsigned']
    for new in (True, False):
        for protocol in (2, 4):
            path = tmp_path / 'a.pth'
            saved = content | (new_types if new else {})
            torch.save(saved, path, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
            found = reader.read_checkpoint(str(path))
            for key in saved.keys() - {'shared'}:
                assert found[key].dtype == saved[key].dtype
                assert found[key].stride() == saved[key].stride()
                assert torch.equal(found[key].float(), saved[key].float()) or key == 'complex'
            assert torch.equal(found['complex'], content['complex'])
            found['turned'][1, 2] = -1
            assert found['row'][1] == -1
            assert found['shared'][0] is found['shared'][1]
            assert found['shared'][0].requires_grad


def test_dicts_of_other_kinds_are_plain_ones(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(
        dict(
            a=Counter('aab'), b=defaultdict(list, x=[1]), c=Namespace(lr=1), d=torch.device('cpu')
        ),
        path,
    )
    found = reader.read_checkpoint(str(path))
    assert found == dict(a=dict(a=2, b=1), b=dict(x=[1]), c=None, d=torch.device('cpu'))
    torch.save(Net().state_dict(), path)
    found = reader.read_checkpoint(str(path))
    assert isinstance(found, OrderedDict) and found._metadata == Net().state_dict()._metadata


def test_placeholders_are_found_in_what_holds_itself():
    content = [1]
    content.append(dict(a=(content, Placeholder())))
    assert len(list(placeholders(content))) == 1


def tar(path):
    with tarfile.open(path, 'w') as archive:
        archive.add(__file__, 'storages')


def compressed(path):
    torch.save(dict(a=torch.zeros(100000)), path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def short_storage(path):
    torch.save(dict(a=torch.zeros(1000)), path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in entries.items():
            archive.writestr(name, data[:40] if '/data/' in name else data)


def long_storage(path):
    """Announces more values than the file has."""
    torch.save(dict(a=torch.zeros(1000)), path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in entries.items():
            archive.writestr(name, data.replace(b'M\xe8\x03', b'J\xff\xff\xff\x7f'))


def wide_tensor(zipped, path):
    """Has a shape of more values than its storage."""
    torch.save(dict(a=torch.zeros(7, 7)), path, _use_new_zipfile_serialization=zipped)
    old = path.read_bytes()
    path.write_bytes(old.replace(b'K\x07K\x07\x86', b'K\x09K\x07\x86', 1))
    assert path.read_bytes() != old


def flipped_bit(path):
    torch.save(dict(a=torch.ones(1000)), path)
    path.write_bytes(path.read_bytes().replace(b'\x80?\0\0\x80?', b'\x81?\0\0\x80?', 1))


def cut(path):
    torch.save(dict(a=torch.zeros(1000)), path)
    path.write_bytes(path.read_bytes()[:2000])


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda path: path.write_bytes(b''), 'is empty'),
        (lambda path: path.mkdir(), 'is a folder'),
        (lambda path: None, 'there is no such checkpoint'),
        (lambda path: path.write_text('<!DOCTYPE html><p>Sign in'), 'is a web page'),
        (
            lambda path: path.write_text('version https://git-lfs.github.com/spec/v1\noid a'),
            'pointer of Git LFS',
        ),
        (tar, 'is a tar archive'),
        (compressed, 'is compressed'),
        (short_storage, 'not a PyTorch checkpoint, or cut off'),
        (long_storage, 'announced, more than the file can hold'),
        (functools.partial(wide_tensor, True), 'not a PyTorch checkpoint, or cut off'),
        (functools.partial(wide_tensor, False), r'shape \(9, 7\) with 196 bytes of values'),
        (flipped_bit, 'CRC-32'),
        (os.mkfifo, 'is a pipe or device'),
        (
            lambda path: torch.save(
                torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.quint8), path
            ),
            'QUInt8Storage are not read',
        ),
        (lambda path: torch.save(dict([((print,), 1)]), path), 'a key that is a'),
        (cut, 'not a PyTorch checkpoint, or cut off'),
        (lambda path: path.write_bytes(bytes(range(256))), 'not a PyTorch checkpoint, or cut off'),
        (lambda path: torch.jit.script(nn.Linear(1, 1)).save(path), 'is a TorchScript program'),
        (lambda path: torch.save([1], path), 'holds a list, not a state dict'),
        (lambda path: torch.save(Path('a'), path), 'holds a pathlib'),
    ],
)
def test_odd_files_are_one_line(tmp_path, make, message):
    path = tmp_path / 'a.pth'
    make(path)
    with pytest.raises(InputError, match=message) as error:
        reader.read_checkpoint(str(path), skip_objects=True)
    assert '\n' not in str(error.value) and str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({}, 'no state dict'),
        (dict(state_dict=[]), 'no state dict'),
        (dict(state_dict=dict(a='text')), 'not a tensor: a'),
        (dict(state_dict=dict(a=dict(b=torch.ones(1)))), 'not a tensor: a'),
        ({1: torch.ones(1)}, 'called 1, which is no text'),
        (dict(model=None), 'no state dict'),
    ],
)
def test_odd_contents_are_one_line(content, message):
    with pytest.raises(InputError, match=message):
        reader.tensors_of(content, 'a.pth')


@pytest.mark.parametrize(
    'content',
    [
        [torch.ones(1)],
        dict(state_dict=[1, 2]),
        dict(state_dict={}),
        dict(state_dict={1: torch.ones(1)}),
        dict(state_dict={'layer.weight': 'text', 'layer.bias': None}),
        dict(state_dict=Net().state_dict()),  # weights alone
        dict(state_dict=Net().state_dict(), meta=dict(iter=1), optimizer={}, message_hub={}),
        dict(state_dict=Net().state_dict(), meta=None, optimizer={}, message_hub={}),
    ],
)
def test_resuming_from_odd_contents_is_one_line(tmp_path, content):
    path = tmp_path / 'a.pth'
    torch.save(content, path)
    with pytest.raises(InputError) as error:
        by_runner(path, True)
    assert '\n' not in str(error.value)
    assert str(path) in str(error.value)


def test_safetensors_by_any_name(tmp_path):
    for name in ('a.safetensors', 'a.pth'):
        safetensors.torch.save_file(dict(w=torch.arange(3)), tmp_path / name)
        assert reader.read_checkpoint(str(tmp_path / name))['w'].tolist() == [0, 1, 2]


def test_a_huge_memo_is_not_made(tmp_path):
    """Pickle's own reader in C would fill 32 GB with zeros."""
    path = tmp_path / 'a.pth'
    path.write_bytes(opcodes(b'\x80\x02}r\xff\xff\xff\x7f.'))
    assert reader.read_checkpoint(str(path)) == {}


def test_a_huge_array_is_not_made(tmp_path):
    path = tmp_path / 'a.pth'
    path.write_bytes(opcodes(b'\x80\x02cbuiltins\nbytearray\n\x8a\x07\0\0\0\0\0\0\1\x85R.'))
    with pytest.raises(InputError, match=r'holds a builtins\.bytearray'):
        reader.read_checkpoint(str(path))


def test_configs_are_not_touched():
    """What mmengine reads of configs stays as it is: they are programs, and are run."""
    assert Config(dict(a=1)).a == 1 and mmengine_checkpoint.torch.save is torch.save
