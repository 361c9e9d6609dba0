"""What Python shows of a result is a line."""

import numpy as np
import torch

from mmvis_cl.models.trackers.memory_bank import MemoryBank
from mmvis_cl.structures import FrameResult, MergedResult, Track, VideoResult


def test_results_show_in_a_line():
    rle = dict(size=[40, 60], counts='0' * 5000)
    result = VideoResult('walk', 0, (40, 60))
    for t in range(50):
        result.add_frame(t, np.array([7]), np.array([[0.1, 0.9]]), [rle], np.zeros((1, 4)))
    merged = MergedResult('walk', 50, (40, 60), merged=result.tracks)
    frame = FrameResult(
        index=3,
        time=0.5,
        image=np.zeros((40, 60, 3), np.uint8),
        identities=np.array([7, 12]),
        labels=np.array([0, 1]),
        classes=['dog', 'cat'],
        scores=np.array([0.5, 0.25]),
        bboxes=np.zeros((2, 4)),
        rles=[rle, rle],
    )
    bank = MemoryBank.empty(3, torch.zeros(2, 256))
    shown = [repr(x) for x in (result, merged, result.tracks[1], frame, bank)]
    assert shown == [
        "VideoResult(video_id='walk', 50 frames of 60x40, 2 tracks)",
        "MergedResult(video_id='walk', 50 frames of 60x40, 2 tracks)",
        'Track(identity=7, label=1, score=0.900, seen in 50 of 50 frames)',
        'FrameResult(index=3, time=0.500, size=60x40, 2 identities: #7 dog, #12 cat)',
        'MemoryBank(0 identities: [], next_id=0, 3 embeddings of 256 at most each)',
    ]
    assert isinstance(result.tracks[0], Track)
