"""What a file computes is what PyTorch computes, and what is tracked with it is the same."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch

from mmvis_cl.apis import VISInferencer
from mmvis_cl.cli import main
from mmvis_cl.export import write
from mmvis_cl.export.exported_vis import ExportedVIS
from mmvis_cl.export.model_file import KEY
from mmvis_cl.export.network import ExportedNetwork, NetworkOutputs
from mmvis_cl.export.runtimes import OnnxRuntime, OpenVino

CPU = torch.device('cpu')
SIZES = [((64, 96), (64, 96)), ((128, 160), (117, 149)), ((96, 224), (80, 199))]


@pytest.fixture(scope='module')
def network(trained):
    return ExportedNetwork(VISInferencer(*trained, 'cpu', prepare=False).model).eval()


def padded_noise(batch, padded, size):
    frames = torch.randn(batch, 3, *padded, generator=torch.Generator().manual_seed(batch))
    frames[..., size[0] :, :], frames[..., size[1] :] = 0, 0
    return frames


@pytest.fixture(scope='module')
def video():
    """Frames of blocks that change slowly, 60x100."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (6, 10, 3), dtype=np.uint8)
    noise = rng.integers(0, 60, (5, 60, 100, 3), dtype=np.uint8)
    return list(np.kron(blocks, np.ones((10, 10, 1), np.uint8)) // 2 + noise)


def assert_outputs_equal(found, expected):
    for name, one, other in zip(NetworkOutputs._fields, found, expected, strict=True):
        scale = other.abs().max().item()
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * scale, err_msg=name)


@pytest.mark.parametrize(('padded', 'size'), SIZES)
def test_the_network_is_the_models(trained, network, padded, size):
    """Its outputs without any file, against those of the model's own way."""
    model = VISInferencer(*trained, 'cpu', prepare=False).model
    frames = padded_noise(2, padded, size)
    samples = [sample_of(size) for _ in frames]
    with torch.no_grad():
        states = model.detector.query_states(frames, samples, last_layer=True)
        found = network(frames, torch.tensor(size))
        head = model.detector.mask_head
        expected = NetworkOutputs(
            states.logits[-1],
            states.boxes[-1],
            states.centers[-1],
            model.embed_head(states.states[-1]),
            head.mask_features(states.maps),
            head.controller(states.states[-1]),
        )
    assert_outputs_equal(found, expected)


def sample_of(size):
    from mmdet.structures import DetDataSample

    return DetDataSample(metainfo=dict(img_shape=size, ori_shape=size))


@pytest.mark.parametrize('batch', [1, 3])
@pytest.mark.parametrize(('padded', 'size'), SIZES)
def test_the_file_is_the_network(exported, network, padded, size, batch):
    frames = padded_noise(batch, padded, size)
    found = OnnxRuntime(str(exported), CPU)(frames.numpy(), np.array(size))
    with torch.no_grad():
        assert_outputs_equal(found, network(frames, torch.tensor(size)))


def assert_same_tracks(found, expected):
    """Masks but for pixels whose logit is 0 within rounding."""
    assert [(t.identity, t.label) for t in found] == [(t.identity, t.label) for t in expected]
    assert len(found) > 5
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
        for a, b in zip(one.segmentations, other.segmentations, strict=True):
            assert (a is None) == (b is None)
            if a is not None and mask_util.area(b):
                assert mask_util.iou([a], [b], [0])[0, 0] > 0.99


def test_the_same_tracks_without_a_config(trained, exported, video):
    expected = VISInferencer(*trained, 'cpu')(video)
    inferencer = VISInferencer(weights=exported, device='cpu')
    assert_same_tracks(inferencer(video).tracks, expected.tracks)
    assert inferencer.classes == ('disk', 'triangle', 'star')
    streamed = [frame.identities.tolist() for frame in inferencer.stream(video)]
    plain = VISInferencer(*trained, 'cpu')
    assert streamed == [frame.identities.tolist() for frame in plain.stream(video)]


def test_openvino_runs_the_same_file(trained, exported, network, video, tmp_path, monkeypatch):
    """Converted from the file that is there already."""
    pytest.importorskip('openvino', reason='openvino is not installed')
    description = OnnxRuntime(str(exported), CPU).description
    monkeypatch.setattr(
        write, '_write_onnx', lambda program, part, of: part.write_bytes(exported.read_bytes())
    )
    write._write_openvino(None, tmp_path / 'tiny.xml', description)
    runtime = OpenVino(str(tmp_path / 'tiny.xml'), CPU)
    assert runtime.description == description
    for padded, size in SIZES[1:]:
        frames = padded_noise(2, padded, size)
        with torch.no_grad():
            expected = network(frames, torch.tensor(size))
        assert_outputs_equal(runtime(frames.numpy(), np.array(size)), expected)
    found = VISInferencer(weights=tmp_path / 'tiny.xml', device='cpu')(video)
    assert_same_tracks(found.tracks, VISInferencer(*trained, 'cpu')(video).tracks)
    (tmp_path / 'tiny.bin').unlink()
    with pytest.raises(Exception, match=r'tiny\.bin, are missing'):
        OpenVino(str(tmp_path / 'tiny.xml'), CPU)


class TorchRuntime:
    """The network itself in place of a file."""

    def __init__(self, network, description):
        self.network, self.description, self.seen = network, description, []

    def __call__(self, frames, size):
        self.seen.append(frames.shape)
        with torch.no_grad():
            outputs = self.network(torch.from_numpy(frames), torch.from_numpy(size))
        return [output.numpy() for output in outputs]


def test_a_fixed_number_and_size_of_frames(exported, network):
    """Fewer frames are filled up, smaller ones padded; larger ones are refused."""
    description = OnnxRuntime(str(exported), CPU).description
    free, fixed = (
        TorchRuntime(network, description._replace(**options))
        for options in ({}, dict(size=[128, 160], batch=2))
    )
    frames = padded_noise(3, (128, 160), (117, 149))
    samples = [sample_of((117, 149)) for _ in frames]
    expected = ExportedVIS(free).detector.query_states(frames, samples)
    detector = ExportedVIS(fixed).detector
    found = detector.query_states(frames, samples)
    assert fixed.seen == [(2, 3, 128, 160)] * 2 and free.seen == [(3, 3, 128, 160)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    small = padded_noise(1, (64, 96), (60, 90))
    assert detector.query_states(small, [sample_of((60, 90))]).logits.shape[1] == 1
    assert fixed.seen[-1] == (2, 3, 128, 160)
    with pytest.raises(Exception, match=r'117x200 in the network .*--dynamic, or a larger'):
        detector.query_states(padded_noise(1, (128, 224), (117, 200)), [sample_of((117, 200))])


def run(capsys, *words):
    try:
        code = main([str(word) for word in words])
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr()


@pytest.fixture
def folder(tmp_path, video):
    from PIL import Image

    for number, frame in enumerate(video):
        (tmp_path / 'frames').mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / 'frames' / f'{number}.png')
    return tmp_path / 'frames'


def test_the_command_line_tracks_with_a_file(exported, folder, tmp_path, capsys):
    out = tmp_path / 'out.json'
    code, said = run(capsys, 'track', folder, '--weights', exported, '--out-json', out)
    assert code == 0, said.err
    assert out.stat().st_size > 1000
    more = ('--config', 'small_moving-shapes')
    code, said = run(capsys, 'track', folder, '--weights', exported, '--out-json', out, *more)
    assert code == 2 and 'leave out the config' in said.err and said.err.count('\n') == 1


def changed(exported, path, change):
    import onnx

    model = onnx.load(str(exported))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def custom_operation(model):
    model.graph.node[0].domain = 'evil.example'


def outside(model):
    tensor = model.graph.initializer[0]
    tensor.data_location = 1
    tensor.ClearField('raw_data')
    tensor.external_data.add(key='location', value='../weights.bin')


def missing(model):
    outside(model)
    model.graph.initializer[0].external_data[0].value = 'gone.bin'


def no_description(model):
    del model.metadata_props[:]


def other_format(model):
    entry = next(entry for entry in model.metadata_props if entry.key == KEY)
    entry.value = entry.value.replace('"format": 1', '"format": 2')


def broken(model):
    next(entry for entry in model.metadata_props if entry.key == KEY).value = '{"format": 1}'


def other_code(model):
    entry = next(entry for entry in model.metadata_props if entry.key == KEY)
    assert '"type": "MemoryBankTracker"' in entry.value
    entry.value = entry.value.replace('"MemoryBankTracker"', '"os.system"')


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (custom_operation, "operations of 'evil.example'"),
        (outside, 'from ../weights.bin, outside of its folder'),
        (missing, 'gone.bin, are missing'),
        (no_description, 'mmvis-cl did not write it'),
        (other_format, 'format 2'),
        (broken, 'its description is broken'),
        (other_code, "asks for 'system'"),
    ],
)
def test_files_that_are_refused(exported, folder, tmp_path, capsys, change, said):
    path = changed(exported, tmp_path / 'a.onnx', change)
    code, told = run(capsys, 'track', folder, '--weights', path, '--out-json', tmp_path / 'o.json')
    assert code == 2 and said in told.err and told.err.count('\n') == 1, told.err
    assert not (tmp_path / 'o.json').exists()


@pytest.mark.parametrize('name', ['a.onnx', 'a.xml', 'a.pt2'])
@pytest.mark.parametrize('content', [b'', b'<html>', b'PK\x03\x04', b'\x80\x04garbage' * 20])
def test_what_is_no_model(folder, tmp_path, capsys, monkeypatch, name, content):
    if name == 'a.xml':
        pytest.importorskip('openvino', reason='openvino is not installed')
    monkeypatch.setenv('MMVIS_CL_TRUST_COMPILED', '1')
    (tmp_path / name).write_bytes(content)
    (tmp_path / 'a.bin').touch()
    out = tmp_path / 'o.json'
    code, told = run(capsys, 'track', folder, '--weights', tmp_path / name, '--out-json', out)
    assert code == 2 and str(tmp_path / name) in told.err and told.err.count('\n') == 1, told.err


def test_compiled_code_is_run_only_where_it_is_trusted(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv('MMVIS_CL_TRUST_COMPILED', raising=False)
    (tmp_path / 'a.pt2').write_bytes(b'PK')
    out = tmp_path / 'o.json'
    code, told = run(capsys, 'track', folder, '--weights', tmp_path / 'a.pt2', '--out-json', out)
    assert code == 2 and 'set MMVIS_CL_TRUST_COMPILED=1' in told.err


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--out', 'a.bin'], 'must end in .onnx, .xml, .pt2'),
        (['--out', 'a.onnx', '--backend', 'openvino'], 'must end in .xml'),
        (['--out', 'a.engine'], 'trtexec'),
        (['--out', 'a.onnx', '--size', '0', '64'], '--size 0'),
        (['--out', 'a.onnx', '--size', '64', '9999'], '--size 9999'),
        (['--out', 'a.onnx', '--batch', '0'], '--batch 0'),
        (['--out', 'a.onnx', '--precision', 'bf16'], 'onnx has none of it on a CPU'),
        (['--out', 'a.pt2', '--precision', 'fp16'], 'torch has none of it on a CPU'),
    ],
)
def test_options_that_do_not_go_together(trained, tmp_path, capsys, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    model = ('--config', trained[0], '--weights', trained[1])
    code, told = run(capsys, 'export', *model, *options)
    assert code == 2 and said in told.err and told.err.count('\n') == 1, told.err
    assert not list(tmp_path.iterdir())


def test_another_network_is_told(tmp_path, capsys, trained):
    """Before anything is traced."""
    from mmvis_cl.errors import InputError

    model = VISInferencer(*trained, 'cpu', prepare=False).model
    model.detector = torch.nn.Linear(1, 1)
    with pytest.raises(InputError, match='a Linear cannot be exported yet'):
        ExportedNetwork(model)


def test_without_the_library(exported, monkeypatch):
    import sys

    from mmvis_cl.errors import InputError

    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(InputError, match=r'pip install "mmvis_cl\[onnx\]"'):
        VISInferencer(weights=exported, device='cpu')
