"""The pure functions of frames, against the models' own way."""

import pytest
import torch
from export_frames import SIZES, assert_outputs_equal, padded_noise, sample_of
from mmengine.config import Config

from mmvis_cl.apis import VISInferencer
from mmvis_cl.errors import InputError
from mmvis_cl.export import write
from mmvis_cl.export.description import Description
from mmvis_cl.export.network import network_of


def built(trained):
    return VISInferencer(*trained, 'cpu', prepare=False).model


@pytest.mark.parametrize(('padded', 'size'), SIZES)
def test_detr(trained, padded, size):
    model = built(trained)
    frames = padded_noise(2, padded, size)
    with torch.no_grad():
        found = network_of(model)(frames, torch.tensor(size))
        states = model.query_states(frames, [sample_of(size) for _ in frames])
        head = model.detector.mask_head
        expected = (
            states.logits[-1],
            states.boxes[-1],
            states.centers[-1],
            model.embed_head(states.states[-1]),
            head.mask_features(states.maps),
            head.controller(states.states[-1]),
        )
    assert_outputs_equal(found, expected)


@pytest.mark.parametrize(('padded', 'size'), SIZES)
def test_mask_former(trained_mask_former, padded, size):
    model = built(trained_mask_former)
    frames = padded_noise(2, padded, size)
    with torch.no_grad():
        logits, embeds, features, parameters = network_of(model)(frames, torch.tensor(size))
        states = model.query_states(frames, [sample_of(size) for _ in frames])
        expected = states.cls_scores[-1], model.embed_head(states.states[-1]), states.masks[-1]
    masks = torch.einsum('bqc,bchw->bqhw', parameters, features)
    assert_outputs_equal((logits, embeds, masks), expected)


def test_the_model_is_left_as_it_is(trained):
    model = built(trained)
    before = {name: type(module) for name, module in model.named_modules()}
    network_of(model)
    assert {name: type(module) for name, module in model.named_modules()} == before


@pytest.mark.parametrize('what', ['detector', 'encoder', 'head'])
def test_another_network_is_told(trained, trained_mask_former, what):
    model = built(trained_mask_former if what == 'head' else trained)
    if what == 'detector':
        model.detector = torch.nn.Linear(1, 1)
    elif what == 'encoder':
        model.detector.encoder = torch.nn.Linear(1, 1)
    else:
        model.detector.panoptic_head = torch.nn.Linear(1, 1)
    with pytest.raises(InputError, match='cannot be exported; use a model with'):
        network_of(model)


def description(trained, **changes):
    inferencer = VISInferencer(*trained, 'cpu', prepare=False)
    for key, value in changes.items():
        place, _, last = key.rpartition('.')
        node = inferencer.cfg
        for part in place.split('.'):
            node = node[int(part)] if part.isdecimal() else node[part]
        node[last] = value
    given = inferencer.model, inferencer.cfg, inferencer.classes, (64, 96), 2, 'fp32'
    return write.describe(*given)


def test_what_a_file_says(trained):
    said = description(trained)
    assert said.classes == ['disk', 'triangle', 'star']
    assert said.mean == pytest.approx([123.675, 116.28, 103.53])
    assert said.std == pytest.approx([58.395, 57.12, 57.375])
    assert said.resize == dict(type='AlignedResize', scale=[224, 112], keep_ratio=True)
    assert said.detector['score_thr'] == 0 and said.detector['nms_iou_thr'] == 0.9
    assert said.tracker['type'] == 'MemoryBankTracker' and said.tracker['max_unseen'] == 10
    assert said.test_cfg == dict(mask_nms_thr=0.5, result_score_thr=0.0)
    assert (said.size, said.batch, said.precision) == ([64, 96], 2, 'fp32')
    assert isinstance(said, Description)


@pytest.mark.parametrize(
    ('key', 'value', 'said'),
    [
        ('model.tracker.type', 'RoITracker', 'the tracker of this config'),
        (
            'test_dataloader.dataset.pipeline.0.transforms.1.type',
            'RandomFlip',
            'the resize of this config',
        ),
        ('test_dataloader.dataset.pipeline.0.transforms.1.backend', 'cv2', 'AlignedResize between'),
        ('test_dataloader.dataset.pipeline', [dict(type='PackVISInputs')], 'nothing between'),
    ],
)
def test_what_no_file_can_say(trained, key, value, said):
    with pytest.raises(InputError, match=said):
        description(trained, **{key: value})


def test_colours_in_another_order_are_refused(trained):
    inferencer = VISInferencer(*trained, 'cpu', prepare=False)
    inferencer.model.data_preprocessor._channel_conversion = False
    with pytest.raises(InputError, match='bgr_to_rgb=True'):
        write.describe(inferencer.model, inferencer.cfg, ('a',) * 3, None, None, 'fp32')


def test_scopes_are_left_out():
    tracker = Config(dict(type='mmvis_cl.A', long_term=dict(type='mmvis_cl.B', n=1))).to_dict()
    assert write._without_scopes(tracker) == dict(type='A', long_term=dict(type='B', n=1))
