"""Association and video output equal those of CTVIS's release on simulated network outputs."""

import json
from collections import Counter

import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from mmengine.config import Config, ConfigDict
from release_fixtures import ROOT, build, load, video_batch

from mmvis_cl.models import MemoryBankTracker, QueryMaskFormer
from mmvis_cl.models.detectors.query_mask_former import MaskQueryStates
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS


class SelectOnly(QueryMaskFormer):
    """The image network's choice of queries, without a network."""

    def __init__(self, test_cfg):
        torch.nn.Module.__init__(self)
        self.test_cfg = ConfigDict(test_cfg)


class AssociateOnly(ContrastiveVIS):
    """The video model's association, without a network: states are embeddings already."""

    def __init__(self, cfg, num_results):
        torch.nn.Module.__init__(self)
        self.detector = SelectOnly(cfg.detector.test_cfg)
        self.embed_head = torch.nn.Identity()
        tracker = dict(cfg.tracker)
        tracker.pop('type')
        self.tracker = MemoryBankTracker(**tracker)
        self.test_cfg = dict(cfg.test_cfg, max_tracks=num_results)


@pytest.fixture(scope='module')
def cfg():
    return Config.fromfile(ROOT.parent / 'configs' / '_base_' / 'models' / 'ctvis_r50.py').model


@pytest.mark.parametrize('name', 'abce')
def test_kept_queries_identities_and_results(name, cfg):
    fixture = load(f'ctvis_track_{name}')
    meta = json.loads(str(fixture['meta_json']))
    logits, masks, embeds = (
        torch.from_numpy(fixture[f'pred_{k}'].astype(np.float32))
        for k in ('logits', 'masks', 'embeds')
    )
    model = AssociateOnly(cfg, meta['num_results'])
    # what the tracker was given and what it answered, frame by frame
    log = []
    track = model.tracker.track

    def logged_track(bank, frame, embeds, *args):
        ids, bank = track(bank, frame, embeds, *args)
        log.append((embeds, ids))
        return ids, bank

    model.tracker.track = logged_track
    shape = meta['input_size']
    states = MaskQueryStates(
        embeds[None],
        logits.softmax(-1)[..., :-1].logit(eps=1e-6)[None],
        [logits],
        [masks],
        [shape] * len(logits),
    )
    session = model.start_video('video', len(logits), meta['original_size'])
    for t in range(len(logits)):
        model.track_frame(session, states, t, shape)

    for t, expected in enumerate(json.loads(str(fixture['frame_log_json']))):
        given, ids = log[t]
        assert torch.equal(given, embeds[t, expected['kept']]), f'kept queries of frame {t}'
        named = dict(zip(expected['queries'], expected['ids'], strict=True))
        ids = [i if i >= 0 else None for i in ids.tolist()]
        assert ids == [named.get(q) for q in expected['kept']], f'frame {t}'

    tracks = session.result.tracks
    assert len(tracks) == meta['num_results']
    found = {(t.identity, t.label): t for t in tracks}
    keys = list(zip(fixture['identities'].tolist(), fixture['labels'].tolist(), strict=True))
    assert set(found) == set(keys)
    np.testing.assert_allclose(
        [found[key].score for key in keys], fixture['scores'], atol=1e-6, rtol=0
    )
    wrong = 0
    for identity, counts in json.loads(str(fixture['masks_json'])).items():
        segmentations = next(t for t in tracks if t.identity == int(identity)).segmentations
        for mask, count in zip(segmentations, counts, strict=True):
            theirs = mask_util.decode(dict(size=meta['original_size'], counts=count))
            ours = 0 if mask is None else mask_util.decode(mask)
            wrong += int((ours != theirs).sum())
    assert wrong <= 5  # tens of pixels have a logit of 0 within 1e-4


def test_a_video_through_network_tracker_and_output():
    fixture = load('ctvis_r50_small')
    model = build('ctvis_r50_small', fixture)
    batch = model.data_preprocessor(video_batch(fixture))
    inputs, samples = batch['inputs'][0], list(batch['data_samples'][0])
    shape = fixture['frames'].shape[1:3]
    session = model.start_video('video', len(inputs), shape)
    model.track_frames(session, inputs, samples)
    tracks = session.result.tracks
    # adjacent results can be near in probability: compared by label and score
    assert Counter(t.label for t in tracks) == Counter(fixture['video_labels'].tolist())
    order = np.argsort(fixture['video_scores'])
    scores = np.array([t.score for t in tracks])
    ours = np.argsort(scores)
    np.testing.assert_allclose(scores[ours], fixture['video_scores'][order], atol=1e-5)
    masks = np.unpackbits(fixture['video_masks'])
    masks = masks[: np.prod(fixture['video_mask_shape'])].reshape(fixture['video_mask_shape'])
    for i, j in zip(ours, order, strict=True):
        assert tracks[i].label == fixture['video_labels'][j]
        for mask, theirs in zip(tracks[i].segmentations, masks[j], strict=True):
            found = np.zeros(shape) if mask is None else mask_util.decode(mask)
            assert (found != theirs).sum() <= 3
