"""What is tracked with a file is what the model tracks; what is no file of ours is told."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from export_frames import SIZES, assert_outputs_equal, padded_noise, sample_of
from mmengine.registry import DefaultScope

from mmvis_cl.apis import VISInferencer, export_model
from mmvis_cl.apis.pipeline import FramePipeline
from mmvis_cl.cli import main
from mmvis_cl.errors import InputError
from mmvis_cl.export import own_programs, write
from mmvis_cl.export.description import KEY
from mmvis_cl.export.exported_vis import ExportedVIS
from mmvis_cl.export.network import network_of
from mmvis_cl.export.onnx_file import OnnxFile
from mmvis_cl.export.resize import pipeline_of

CPU = torch.device('cpu')


@pytest.fixture(scope='module')
def network(trained):
    return network_of(VISInferencer(*trained, 'cpu', prepare=False).model)


@pytest.fixture(scope='module')
def video():
    """Frames of blocks that change slowly, 60x100."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (6, 10, 3), dtype=np.uint8)
    noise = rng.integers(0, 60, (5, 60, 100, 3), dtype=np.uint8)
    return list(np.kron(blocks, np.ones((10, 10, 1), np.uint8)) // 2 + noise)


@pytest.mark.parametrize('batch', [1, 3])
@pytest.mark.parametrize(('padded', 'size'), SIZES)
def test_the_file_is_the_network(exported, network, padded, size, batch):
    frames = padded_noise(batch, padded, size)
    found = OnnxFile(str(exported), CPU)(frames.numpy(), np.array(size))
    with torch.no_grad():
        assert_outputs_equal(found, network(frames, torch.tensor(size)))


def test_the_mask_former_is_the_network(trained_mask_former, exported_mask_former):
    model = VISInferencer(*trained_mask_former, 'cpu', prepare=False).model
    frames, size = padded_noise(1, (128, 192), (112, 187)), (112, 187)
    found = OnnxFile(str(exported_mask_former), CPU)(frames.numpy(), np.array(size))
    with torch.no_grad():
        assert_outputs_equal(found, network_of(model)(frames, torch.tensor(size)))


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


@pytest.mark.parametrize('which', ['detr', 'mask_former'])
def test_the_same_tracks_without_a_config(request, video, which):
    suffix = '_mask_former' if which == 'mask_former' else ''
    config, weights = request.getfixturevalue(f'trained{suffix}')
    file = request.getfixturevalue(f'exported{suffix}')
    plain = VISInferencer(config, weights, 'cpu')
    inferencer = VISInferencer(weights=file)
    assert_same_tracks(inferencer(video).tracks, plain(video).tracks)
    assert inferencer.classes == ('disk', 'triangle', 'star')
    streamed = [frame.identities.tolist() for frame in inferencer.stream(video)]
    assert streamed == [frame.identities.tolist() for frame in plain.stream(video)]


def test_a_file_of_this_format_stays_one(video):
    """A DETR of random weights, exported when format 1 was new."""
    for name in ('onnx', 'onnxruntime'):
        pytest.importorskip(name, reason=f'{name} is not installed')
    file = Path(__file__).parents[1] / 'data' / 'exported_format_1.onnx'
    found = VISInferencer(weights=file)(video)
    best = [track for track in found.tracks if track.score > 0.6 and None not in track.bboxes]
    seen = [(track.identity, track.label, round(track.score, 3)) for track in best]
    assert seen == [(1, 1, 0.893), (1, 2, 0.739), (2, 0, 0.660), (2, 2, 0.619)]


class TorchRuntime:
    """The network itself in place of a file."""

    name = 'here'

    def __init__(self, network, description):
        self.network, self.description, self.seen = network, description, []

    def __call__(self, frames, size):
        self.seen.append(frames.shape)
        with torch.no_grad():
            outputs = self.network(torch.from_numpy(frames), torch.from_numpy(size))
        return [output.numpy() for output in outputs]


@pytest.fixture(scope='module')
def description(trained):
    inferencer = VISInferencer(*trained, 'cpu', prepare=False)
    given = inferencer.model, inferencer.cfg, inferencer.classes, None, None, 'fp32'
    return write.describe(*given)


def test_a_fixed_number_and_size_of_frames(network, description):
    """Fewer frames are filled up, smaller ones padded; larger ones are refused."""
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
    for one, other in zip(found[:-1], expected[:-1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    small = padded_noise(1, (64, 96), (60, 90))
    assert detector.query_states(small, [sample_of((60, 90))]).logits.shape[1] == 1
    assert fixed.seen[-1] == (2, 3, 128, 160)
    with pytest.raises(InputError, match=r'117x200 in the network .*--dynamic, or a larger'):
        detector.query_states(padded_noise(1, (128, 224), (117, 200)), [sample_of((117, 200))])


def test_frames_of_any_size_within_bounds(network, description):
    """A compiled file does not look at them, and would read what is beside them."""
    runtime = TorchRuntime(network, description)
    detector = ExportedVIS(runtime).detector
    detector.query_states(padded_noise(1, (32, 96), (20, 90)), [sample_of((20, 90))])
    detector.query_states(torch.zeros(66, 3, 64, 64), [sample_of((60, 60))] * 66)
    assert runtime.seen == [(1, 3, 64, 96), (64, 3, 64, 64), (2, 3, 64, 64)]
    with pytest.raises(InputError, match=r'has 64x4128 .*, the model file takes 4096 at most'):
        detector.query_states(torch.zeros(1, 3, 64, 4128), [sample_of((60, 4120))])


@pytest.mark.parametrize('output', range(6))
def test_outputs_of_other_shapes_are_told(network, description, output):
    class Changed(TorchRuntime):
        def __call__(self, frames, size):
            found = super().__call__(frames, size)
            found[output] = found[output][..., :-1] if output != 3 else found[output][:, :-1]
            if output == 4:
                found[output] = found[output][:, :-1]
            return found

    detector = ExportedVIS(Changed(network, description)).detector
    with pytest.raises(InputError, match='here: its outputs are not those'):
        detector.query_states(padded_noise(1, (64, 96), (60, 90)), [sample_of((60, 90))])


def test_frames_are_made_to_fit(description, video, caplog):
    """The config would make these frames 112 high."""
    with DefaultScope.overwrite_default_scope('mmvis_cl'):
        free, fixed = (
            FramePipeline(pipeline_of(description._replace(size=size)), CPU)
            for size in (None, [96, 224])
        )
    assert free(video[:1], 0)[0][1][0].img_shape[:2] == (112, 187)
    assert not caplog.text
    ((frames, sample),) = fixed(video[:1], 0)
    assert frames.shape[-2:] == (96, 160) and sample[0].img_shape[:2] == (96, 160)
    fixed(video[1:2], 1)
    assert caplog.text.count('to fit into the 96x224') == 1
    wide = [np.zeros((20, 100, 3), np.uint8)]
    assert fixed(wide, 0)[0][0].shape[-2:] == free(wide, 0)[0][0].shape[-2:] == (45, 224)


def run(capsys, *words):
    try:
        code = main([str(word) for word in words])
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr()


@pytest.fixture
def frames_folder(tmp_path, video):
    from PIL import Image

    folder = tmp_path / 'frames'
    folder.mkdir()
    for number, frame in enumerate(video):
        Image.fromarray(frame).save(folder / f'{number}.png')
    return folder


def test_the_command_line_tracks_with_a_file(exported, frames_folder, tmp_path, capsys):
    out = tmp_path / 'out.json'
    track = 'track', frames_folder, '--weights', exported, '--out-json', out
    code, said = run(capsys, *track)
    assert code == 0, said.err
    assert len(json.loads(out.read_text())) > 5
    code, said = run(capsys, *track, '--config', 'small_moving-shapes')
    assert code == 2 and 'leave out the config' in said.err and said.err.count('\n') == 1
    if not torch.cuda.is_available():
        code, said = run(capsys, *track, '--device', 'cuda')
        assert code == 2 and 'try cpu' in said.err


def changed(exported, path, change):
    import onnx

    model = onnx.load(str(exported))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def custom_operation(model):
    model.graph.node[0].domain = 'evil.example'


def custom_operation_within(model):
    import onnx

    inner = onnx.helper.make_node('Evil', ['x'], ['y'], domain='evil.example')
    graph = onnx.helper.make_graph([inner], 'inner', [], [])
    node = model.graph.node.add(op_type='If', input=['x'], output=['never'])
    node.attribute.append(onnx.helper.make_attribute('then_branch', graph))


def contributed_operation(model):
    """Which can read files of a name."""
    model.graph.node.add(op_type='EPContext', domain='com.microsoft')


def function(model):
    model.functions.add(name='f', domain='')


def weights_at(location):
    def change(model):
        tensor = model.graph.initializer[0]
        tensor.data_location = 1
        tensor.ClearField('raw_data')
        tensor.external_data.add(key='location', value=location)

    return change


def weights_of_a_constant(model):
    import onnx

    tensor = onnx.TensorProto(data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key='location', value='/etc/passwd')
    node = model.graph.node.add(op_type='Constant', output=['never'])
    node.attribute.append(onnx.helper.make_attribute('value', tensor))


def entry_of(model):
    return next(entry for entry in model.metadata_props if entry.key == KEY)


def no_description(model):
    del model.metadata_props[:]


def other_output(model):
    model.graph.output[0].name = 'another'


def description_with(**fields):
    def change(model):
        content = json.loads(entry_of(model).value)
        for key, value in fields.items():
            node, _, last = key.rpartition('__')
            (content[node] if node else content)[last] = value
        entry_of(model).value = json.dumps(content)

    return change


def description_of(text):
    def change(model):
        entry_of(model).value = text

    return change


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (custom_operation, "operations of 'evil.example'"),
        (custom_operation_within, "operations of 'evil.example'"),
        (contributed_operation, "operations of 'com.microsoft'"),
        (function, "operations of 'its own functions'"),
        (weights_at('../weights.bin'), "from '../weights.bin', outside of its folder"),
        (weights_at('/etc/passwd'), "from '/etc/passwd', outside of its folder"),
        (weights_at('link.bin'), "from 'link.bin', outside of its folder"),
        (weights_at('loop.bin'), "from 'loop.bin', outside of its folder"),
        (weights_at('gone.bin'), "'gone.bin', are missing"),
        (weights_of_a_constant, "from '/etc/passwd', outside of its folder"),
        (no_description, 'mmvis-cl did not write it'),
        (other_output, 'ONNX Runtime cannot load it'),
        (description_of('{'), 'its description is broken'),
        (description_of('[' * 100_000), 'its description is broken'),
        (description_of('{"format": 1}'), 'its description is broken (network)'),
        (description_with(format=2), 'is a file of format 2'),
        (description_with(format='1'), "is a file of format '1'"),
        (description_with(tracker__type='os.system'), 'its description is broken (tracker)'),
        (description_with(tracker__memory_len=0), 'its description is broken (tracker)'),
        (description_with(tracker__match_thr=float('nan')), 'its description is broken (tracker)'),
        (description_with(tracker__long_term=dict(type='print')), 'is broken (tracker)'),
        (description_with(test_cfg__evil=1), 'its description is broken (test_cfg)'),
        (description_with(resize__type='os.system'), 'its description is broken (resize)'),
        (description_with(resize__scale=[0, 5]), 'its description is broken (resize)'),
        (description_with(std=[1, 1]), 'its description is broken (std)'),
        (description_with(std=[1, 1, 0]), 'its description is broken (std)'),
        (description_with(classes=[]), 'its description is broken (classes)'),
        (description_with(size=[64, 65]), 'its description is broken (size)'),
        (description_with(mask_head={}), 'its description is broken (mask_head)'),
        (description_with(network='QueryMaskFormer'), 'its description is broken (mask_head)'),
        (description_with(classes=['one']), 'its outputs are not those of its description'),
        (description_with(mask_head__feat_channels=3), 'its outputs are not those'),
    ],
)
def test_files_that_are_refused(exported, frames_folder, tmp_path, capsys, change, said):
    (tmp_path / 'inner').mkdir()
    (tmp_path / 'inner' / 'link.bin').symlink_to('/etc/passwd')
    (tmp_path / 'inner' / 'loop.bin').symlink_to('loop.bin')
    path = changed(exported, tmp_path / 'inner' / 'a.onnx', change)
    out = tmp_path / 'o.json'
    code, told = run(capsys, 'track', frames_folder, '--weights', path, '--out-json', out)
    assert code == 2 and said in told.err and told.err.count('error:') == 1, told.err
    assert told.err.splitlines()[-1].startswith(f'error: {path}: ')
    assert not out.exists()


def test_weights_beside_the_file(exported, tmp_path, video):
    import onnx

    model = onnx.load(str(exported))
    options = dict(save_as_external_data=True, location='weights.bin', size_threshold=4096)
    onnx.save(model, str(tmp_path / 'a.onnx'), **options)
    assert (tmp_path / 'weights.bin').stat().st_size > 10_000
    expected = VISInferencer(weights=exported)(video).tracks
    assert_same_tracks(VISInferencer(weights=tmp_path / 'a.onnx')(video).tracks, expected)


@pytest.mark.parametrize('name', ['a.onnx', 'a.xml', 'a.pt2', 'a.engine'])
@pytest.mark.parametrize(
    'content',
    [None, b'', b'<html>', b'PK\x03\x04', b'\x80\x04garbage' * 20, b'mmvis_cl TensorRT\n'],
)
def test_what_is_no_model(frames_folder, tmp_path, capsys, monkeypatch, name, content):
    if name == 'a.xml':
        pytest.importorskip('openvino', reason='openvino is not installed')
    monkeypatch.setenv(own_programs.TRUST, '1')
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (tmp_path / 'a.bin').touch()
    out = tmp_path / 'o.json'
    track = 'track', frames_folder, '--weights', tmp_path / name, '--out-json', out
    code, told = run(capsys, *track)
    assert code == 2 and str(tmp_path / name) in told.err and told.err.count('\n') == 1, told.err


def test_a_file_that_was_cut_off(exported, tmp_path):
    whole = exported.read_bytes()
    for part in (0.3, 0.7, 0.99):
        (tmp_path / 'a.onnx').write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(InputError, match=r'a\.onnx: .*; (copy or )?export it again'):
            VISInferencer(weights=tmp_path / 'a.onnx')


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--out', 'a.bin'], 'must end in .onnx, .xml, .pt2, .engine'),
        (['--out', 'a.onnx', '--backend', 'openvino'], 'must end in .xml'),
        (['--out', 'a.onnx', '--size', '0', '64'], '--size 0 64'),
        (['--out', 'a.onnx', '--size', '-64', '64'], '--size -64 64'),
        (['--out', 'a.onnx', '--size', '64', '9999'], '--size 64 9999'),
        (['--out', 'a.onnx', '--batch', '0'], '--batch 0'),
        (['--out', 'a.onnx', '--precision', 'bf16'], 'onnx has no such network'),
        (['--out', 'a.pt2', '--precision', 'fp16'], 'torch has no such network'),
        (['--out', 'a.onnx', '--weights', 'b.onnx'], 'is exported already'),
        (['--out', 'a.onnx', '--weights', 'c.pth'], 'there is no such checkpoint'),
    ],
)
def test_options_that_do_not_go_together(trained, tmp_path, capsys, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'b.onnx').touch()
    model = ('--config', trained[0], '--weights', trained[1])
    code, told = run(capsys, 'export', *model, *options)
    assert code == 2 and said in told.err and told.err.count('\n') == 1, told.err
    assert [file.name for file in tmp_path.iterdir()] == ['b.onnx']


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (dict(out='a.pth'), 'must end in .onnx'),
        (dict(backend='tflite'), "backend 'tflite': there is none; give one of onnx"),
        (dict(size=(64, 5000)), '--size 64 5000'),
        (dict(batch=65), '--batch 65'),
        (dict(precision='fp8'), '--precision fp8'),
    ],
)
def test_arguments_that_do_not_go_together(trained, tmp_path, options, said):
    out = tmp_path / options.pop('out', 'a.onnx')
    with pytest.raises(InputError, match=said):
        export_model(*trained, out, **options)
    assert not list(tmp_path.iterdir())


def test_without_the_libraries(exported, trained, tmp_path, monkeypatch):
    for name in ('onnxruntime', 'openvino', 'tensorrt', 'onnxscript'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r'needs onnxruntime .* pip install "mmvis_cl\[onnx\]"'):
        VISInferencer(weights=exported)
    (tmp_path / 'a.xml').touch()
    with pytest.raises(InputError, match=r'needs openvino .* pip install "mmvis_cl\[openvino\]"'):
        VISInferencer(weights=tmp_path / 'a.xml')
    for out, package in (('a.onnx', r'"mmvis_cl\[onnx\]"'), ('a.xml', r'"mmvis_cl\[onnx\]"')):
        with pytest.raises(InputError, match=f'needs onnxscript .* pip install {package}'):
            export_model(*trained, tmp_path / out)
    monkeypatch.setitem(sys.modules, 'onnxscript', sys)
    with pytest.raises(InputError, match=r'needs tensorrt .* pip install tensorrt'):
        export_model(*trained, tmp_path / 'a.engine')
    monkeypatch.setenv('CXX', 'no-such-compiler')
    monkeypatch.setattr(write, '_traced', lambda network, description: None)
    with pytest.raises(InputError, match='no C\\+\\+ compiler'):
        export_model(*trained, tmp_path / 'a.pt2')
    assert os.listdir(tmp_path) == ['a.xml']


def test_openvino_runs_the_same_network(trained, exported, network, video, tmp_path, monkeypatch):
    """Converted from the file that is there already."""
    pytest.importorskip('openvino', reason='openvino is not installed')
    from mmvis_cl.export.openvino_file import OpenVinoFile

    description = OnnxFile(str(exported), CPU).description
    monkeypatch.setattr(
        write, '_write_onnx', lambda program, part, of: part.write_bytes(exported.read_bytes())
    )
    file = tmp_path / 'detr.xml'
    write._write_openvino(None, file, description)
    assert sorted(os.listdir(tmp_path)) == ['detr.bin', 'detr.xml']
    runtime = OpenVinoFile(str(file), CPU)
    assert runtime.description == description
    for padded, size in SIZES[1:]:
        frames = padded_noise(2, padded, size)
        with torch.no_grad():
            expected = network(frames, torch.tensor(size))
        assert_outputs_equal(runtime(frames.numpy(), np.array(size)), expected)
    found = VISInferencer(weights=file)(video)
    assert_same_tracks(found.tracks, VISInferencer(*trained, 'cpu')(video).tracks)
    (tmp_path / 'detr.bin').rename(tmp_path / 'other.bin')
    with pytest.raises(InputError, match=r'detr\.bin, are missing'):
        OpenVinoFile(str(file), CPU)
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other.bin').rename(tmp_path / 'other' / 'other.bin')
    (tmp_path / 'detr.bin').symlink_to(tmp_path / 'other' / 'other.bin')
    with pytest.raises(InputError, match='a link out of its folder'):
        OpenVinoFile(str(file), CPU)


@pytest.mark.parametrize('precision', ['fp16', 'int8'])
def test_less_precise_files(exported, network, tmp_path, precision):
    file = tmp_path / 'a.onnx'
    file.write_bytes(exported.read_bytes())
    dict(fp16=write._halve, int8=write._quantise)[precision](file)
    assert file.stat().st_size < exported.stat().st_size
    size, frames = SIZES[1][1], padded_noise(2, *SIZES[1])
    found = OnnxFile(str(file), CPU)(frames.numpy(), np.array(size))
    with torch.no_grad():
        expected = network(frames, torch.tensor(size))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float32
        difference = np.abs(one - other.numpy()).mean() / np.abs(other.numpy()).max()
        assert 1e-7 < difference < 0.05, difference


def test_compiled_code_is_run_only_where_it_is_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv('MMVIS_CL_KERNELS', str(tmp_path / 'kernels'))
    monkeypatch.delenv(own_programs.TRUST, raising=False)
    file = tmp_path / 'a.pt2'
    file.write_bytes(b'a program')
    with pytest.raises(InputError, match='machine code that was not compiled here'):
        own_programs.check_is_own(str(file))
    own_programs.remember(file)
    own_programs.check_is_own(str(file.rename(tmp_path / 'b.pt2')))
    file.write_bytes(b'another program')
    with pytest.raises(InputError, match=f'set {own_programs.TRUST}=1'):
        own_programs.check_is_own(str(file))
    monkeypatch.setenv(own_programs.TRUST, '1')
    own_programs.check_is_own(str(file))
