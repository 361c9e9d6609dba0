"""The objects of a clip, whichever of its frames they are seen in."""

from typing import NamedTuple

import torch
from mmdet.structures import SampleList
from torch import Tensor


class ClipObjects(NamedTuple):
    """The N objects that are annotated in any of a clip's T frames.

    Attributes:
        ids (Tensor): (N,) long, in order.
        place (Tensor): (T, N) long, where each is in its frame's ``gt_instances``; -1 where it is
            not to be seen.
        labels (Tensor): (T, N) long, its class; that of the background where it is not annotated.
    """

    ids: Tensor
    place: Tensor
    labels: Tensor


class ClipQueries(NamedTuple):
    """Which of Q queries stand for a clip's N objects in each of its T frames.

    Attributes:
        best (Tensor): (T, N) long, the query of each object, -1 where it is not to be seen.
        own (Tensor): (T, N, Q) bool, all queries that learn the object.
    """

    best: Tensor
    own: Tensor


def clip_objects(frames: SampleList, background: int) -> ClipObjects:
    """The objects of a clip.

    Args:
        frames (list[DetDataSample]): T frames with ``gt_instances`` (labels, instances_ids) and,
            for objects that were cut away, ``ignored_instances``; see :class:`LostObjects`.
        background (int): label of an object where it is not annotated.
    """
    annotated = []
    for frame in frames:
        seen, lost = frame.gt_instances, frame.get('ignored_instances')
        labels, ids = [seen.labels], [seen.instances_ids]
        if lost is not None and 'instances_ids' in lost:
            labels.append(lost.labels)
            ids.append(lost.instances_ids)
        annotated.append((torch.cat(ids).long(), torch.cat(labels).long(), len(seen.labels)))
    all_ids = torch.cat([ids for ids, *_ in annotated]).unique()
    place = all_ids.new_full((len(frames), len(all_ids)), -1)
    labels_of = all_ids.new_full((len(frames), len(all_ids)), background)
    for t, (ids, labels, num_seen) in enumerate(annotated):
        column = torch.searchsorted(all_ids, ids)
        labels_of[t, column] = labels
        place[t, column[:num_seen]] = torch.arange(num_seen, device=ids.device)
    return ClipObjects(all_ids, place, labels_of)
