"""Association and video output equal the authors' release on simulated network outputs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict

from mmvis_cl.models import MemoryBankTracker
from mmvis_cl.models.detectors.deformable_detr import MaskDeformableDETR
from mmvis_cl.models.vis.contrastive_vis import ContrastiveVIS

DATA = Path(__file__).parents[1] / 'data'


class SelectOnly(MaskDeformableDETR):
    """The detector's selection of queries, without a network."""

    def __init__(self, score_thr):
        torch.nn.Module.__init__(self)
        self.test_cfg = ConfigDict(score_thr=score_thr, nms_iou_thr=0.9)


class AssociateOnly(ContrastiveVIS):
    """The video model's association, without a network."""

    def __init__(self, tracker):
        torch.nn.Module.__init__(self)
        self.tracker = tracker
        self.test_cfg = dict(mask_nms_thr=0.5, result_score_thr=0.05)


@pytest.mark.parametrize('name', 'abcde')
def test_kept_queries_identities_and_results(name):
    fixture = np.load(DATA / f'track_{name}.npz')
    meta = json.loads(str(fixture['meta_json']))
    logits, boxes, masks, embeds = (
        torch.from_numpy(fixture[f'pred_{k}'].astype(np.float32))
        for k in ('logits', 'boxes', 'masks', 'inst_embed')
    )
    tracker = MemoryBankTracker(
        memory_len=meta['memory_len'],
        frame_weight=meta['frame_weight'],
        temporal_weight=meta['temporal_weight'],
    )
    # what the tracker was given and what it answered, frame by frame
    log = []
    track = tracker.track

    def logged_track(bank, frame, embeds, *args):
        ids, bank = track(bank, frame, embeds, *args)
        log.append((embeds, ids.tolist()))
        return ids, bank

    tracker.track = logged_track
    detector, model = SelectOnly(meta['select_thr']), AssociateOnly(tracker)
    session = model.start_video('video', len(logits), meta['ori_shape'])
    for t in range(len(logits)):
        index, prob = detector.select_queries(logits[t], boxes[t])
        session.add_frame(
            prob, boxes[t, index], embeds[t, index], masks[t, index, 0], meta['img_shape']
        )

    for t, (expected_queries, expected_ids) in enumerate(
        json.loads(str(fixture['frame_log_json']))
    ):
        given, ids = log[t]
        assert torch.equal(given, embeds[t, expected_queries]), f'kept queries of frame {t}'
        assert ids == expected_ids, f'identities of frame {t}'

    tracks = session.result.tracks
    assert [track.label for track in tracks] == fixture['labels'].tolist()
    np.testing.assert_allclose([track.score for track in tracks], fixture['scores'], atol=1e-6)
    assert [track.segmentations for track in tracks] == json.loads(str(fixture['masks_json']))
