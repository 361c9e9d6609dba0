import numpy as np
import pytest
import torch

from mmvis_cl.errors import InputError
from mmvis_cl.models import MemoryBankTracker

FAR_APART = torch.zeros(9, 9)  # masks that do not overlap


def one_hot(*index, scale=20.0):
    """Embeddings that are far from each other unless they have the same index."""
    return scale * torch.eye(8)[list(index)]


def track(tracker, bank, frame, embeds, scores=None, iou=None):
    n = len(embeds)
    scores = torch.full((n,), 0.9) if scores is None else torch.tensor(scores)
    ids, bank = tracker.track(
        bank,
        frame,
        embeds,
        scores,
        torch.zeros(n, dtype=torch.long),
        torch.rand(n, 4),
        FAR_APART[:n, :n] if iou is None else iou,
    )
    return ids.tolist(), bank


def test_identities_follow_embeddings():
    tracker, bank = MemoryBankTracker(), None
    ids, bank = track(tracker, bank, 0, one_hot(0, 1, 2))
    assert ids == [0, 1, 2]
    ids, bank = track(tracker, bank, 1, one_hot(2, 0))
    assert ids == [2, 0]
    ids, bank = track(tracker, bank, 2, one_hot(3, 1, 2))
    assert ids == [3, 1, 2]
    assert bank.num_frames.tolist() == [2, 2, 3, 1]


def test_two_detections_never_share_an_identity():
    tracker = MemoryBankTracker()
    _, bank = track(tracker, None, 0, one_hot(0, 1))
    ids, _ = track(tracker, bank, 1, one_hot(0, 0, 1))
    seen = [i for i in ids if i >= 0]
    assert len(seen) == len(set(seen))


def test_weak_detections_start_no_identity():
    tracker = MemoryBankTracker(new_thr=0.3, first_thr=0.2)
    ids, bank = track(tracker, None, 0, one_hot(0, 1), [0.9, 0.1])
    assert ids == [0, -1]
    ids, bank = track(tracker, bank, 1, one_hot(0, 2, 3), [0.9, 0.31, 0.29])
    assert ids == [0, 1, -1]


def test_a_score_of_exactly_the_threshold_starts_no_identity():
    tracker = MemoryBankTracker(new_thr=0.25, first_thr=0.5)
    ids, bank = track(tracker, None, 0, one_hot(0, 1), [0.75, 0.5])
    assert ids == [0, -1]
    ids, _ = track(tracker, bank, 1, one_hot(0, 2, 3), [0.75, 0.5, 0.25])
    assert ids == [0, 1, -1]


def test_background_is_kept_only_where_it_overlaps_nothing_better():
    tracker = MemoryBankTracker()
    iou = torch.eye(3)
    iou[0, 2] = iou[2, 0] = 0.2
    ids, _ = track(tracker, None, 0, one_hot(0, 1, 2), [0.9, 0.1, 0.1], iou)
    assert ids == [0, -1, -2]
    # by less than the threshold, and also by a weak one that comes just before
    tracker = MemoryBankTracker(background_iou_thr=0.25)
    iou = torch.eye(4)
    iou[1, 2] = iou[2, 1] = 0.25
    iou[2, 3] = iou[3, 2] = 0.125
    ids, _ = track(tracker, None, 0, one_hot(0, 1, 2, 3), [0.9, 0.1, 0.1, 0.1], iou)
    assert ids == [0, -1, -2, -1]


def test_unseen_identities_are_forgotten():
    tracker = MemoryBankTracker(max_unseen=10)
    _, bank = track(tracker, None, 0, one_hot(0, 1))
    for frame in range(1, 10):
        _, bank = track(tracker, bank, frame, one_hot(1))
    assert bank.ids.tolist() == [0, 1]
    _, bank = track(tracker, bank, 10, one_hot(1))
    assert bank.ids.tolist() == [1]
    ids, bank = track(tracker, bank, 11, one_hot(0, 1))
    assert ids == [2, 1]  # an identity is never given twice


def test_matching_embedding_is_the_weighted_mean():
    tracker, bank = MemoryBankTracker(memory_len=3), None
    embeds = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) + 10
    scores = [0.5, 0.6, 0.7, 0.8, 0.9]
    for t in range(5):
        _, bank = track(tracker, bank, t, embeds[t : t + 1], [scores[t]])
        kept = range(max(0, t - 2), t + 1)
        weights = torch.tensor([scores[k] + (i + 1) / len(kept) for i, k in enumerate(kept)])
        expected = (embeds[list(kept)] * weights[:, None]).sum(0) / weights.sum()
        torch.testing.assert_close(tracker.matching_embeds(bank)[0], expected)
    assert bank.embeds.shape == (1, 3, 4)  # bounded by memory_len


def test_similarity_is_the_mean_of_both_softmaxes():
    torch.manual_seed(0)
    v, m = torch.randn(3, 4), torch.randn(2, 4)
    f = MemoryBankTracker.similarity(v, m)
    e = torch.exp(v @ m.T)
    expected = (e / e.sum(1, keepdim=True) + e / e.sum(0, keepdim=True)) / 2
    torch.testing.assert_close(f, expected)


def test_of_two_similar_identities_the_older_one_wins():
    similarity, num_frames = torch.tensor([[0.70, 0.65]]).numpy(), torch.tensor([2, 9]).numpy()
    assert MemoryBankTracker().match(similarity, num_frames).tolist() == [1]
    assert MemoryBankTracker(frame_weight=False).match(similarity, num_frames).tolist() == [0]


def test_what_is_exactly_at_a_threshold_is_below_it():
    """Of an identity (more than ``match_thr``) and of being similar (more than 0.5)."""
    tracker = MemoryBankTracker(match_thr=0.75)
    assert tracker.match(np.array([[0.75]]), np.array([1])).tolist() == [-1]
    assert tracker.match(np.array([[0.5, 0.75, 0.8]]), np.array([9, 1, 1])).tolist() == [2]


def test_one_similar_identity_is_not_weighted_by_its_frames():
    """Though another was similar before it was taken."""
    similarity, num_frames = np.array([[0.9, 0.1], [0.8, 0.6]]), np.array([9, 9])
    assert MemoryBankTracker(match_thr=0.7).match(similarity, num_frames).tolist() == [0, -1]


def test_the_numbers_are_the_methods():
    tracker = MemoryBankTracker()
    assert (tracker.memory_len, tracker.max_unseen) == (3, 10)
    assert (tracker.match_thr, tracker.background_iou_thr) == (0.5, 0.05)
    assert tracker.new_thr == tracker.first_thr == 0.2
    assert tracker.frame_weight and tracker.temporal_weight


def test_two_videos_at_once():
    """The state is in the bank alone, so that videos do not disturb each other."""
    tracker = MemoryBankTracker()
    _, bank_a = track(tracker, None, 0, one_hot(0, 1))
    _, bank_b = track(tracker, None, 0, one_hot(1))
    ids_a, _ = track(tracker, bank_a, 1, one_hot(1))
    ids_b, _ = track(tracker, bank_b, 1, one_hot(1))
    assert (ids_a, ids_b) == ([1], [0])


def test_frame_without_detections():
    tracker = MemoryBankTracker()
    ids, bank = track(tracker, None, 0, torch.zeros(0, 8))
    assert ids == [] and len(bank) == 0
    ids, bank = track(tracker, bank, 1, one_hot(0))
    ids, bank = track(tracker, bank, 2, torch.zeros(0, 8))
    assert ids == [] and bank.ids.tolist() == [0]


@pytest.mark.parametrize('frame_weight', [False, True])
@pytest.mark.parametrize('shape', [(0, 4), (5, 1), (12, 12), (30, 9), (9, 30)])
def test_matching_is_that_of_one_row_after_the_other(shape, frame_weight):
    """The reference looks at each row anew, with what was taken before set to 0."""
    rng = np.random.default_rng(shape[0])
    for spread in (0.3, 1, 3):  # from many similar identities to none
        similarity = (rng.random(shape) ** spread).astype(np.float32)
        num_frames = rng.integers(1, 9, shape[1])
        left, expected = similarity.copy(), []
        for row in left:
            similar = row > 0.5
            if frame_weight and similar.sum() > 1:
                row = row * np.where(similar, num_frames, num_frames[similar].mean())
            best = row.argmax()
            expected.append(best if row[best] > 0.55 else -1)
            if expected[-1] >= 0:
                left[:, best] = 0
        tracker = MemoryBankTracker(match_thr=0.55, frame_weight=frame_weight)
        given = similarity.copy()
        assert tracker.match(given, num_frames).tolist() == expected
        assert (given == similarity).all()


def seen_again(tracker, bank, frame, identity, embedding):
    one = torch.zeros(1)
    identity = torch.tensor([identity])
    return tracker.remember(
        bank, frame, identity, embedding[None], one, one.long(), torch.rand(1, 4)
    )


def test_guided_memory_follows_what_looks_like_the_object():
    tracker = MemoryBankTracker(memory='guided', memory_len=2)
    a, b, c = (
        torch.tensor([4.0, 0, 0, 0]),
        torch.tensor([3.0, 4, 0, 0]),
        torch.tensor([-1.0, 0, 0, 0]),
    )
    _, bank = track(tracker, None, 0, a[None])
    assert bank.guided.tolist() == [a.tolist()]
    # cosine 0.6 with the one before
    _, bank = track(tracker, bank, 1, b[None])
    memory = 0.4 * a + 0.6 * b
    torch.testing.assert_close(bank.guided[0], memory)
    # mean cosine (-1 - 0.6) / 2: nothing of it
    bank = seen_again(tracker, bank, 2, 0, c)
    torch.testing.assert_close(bank.guided[0], memory)
    # with the last two alone: (0.6 - 0.6) / 2 of b and c
    bank = seen_again(tracker, bank, 3, 0, a)
    torch.testing.assert_close(bank.guided[0], memory)
    # a second identity starts with its own embedding, the first one stays
    far = torch.tensor([0.0, 0, 0, 9])
    bank = seen_again(tracker, bank, 4, 1, far)
    torch.testing.assert_close(bank.guided, torch.stack((memory, far)))


def test_similarity_from_which_frames_count():
    """Two similar identities: above the threshold the one seen more often is preferred."""
    similarity = np.array([[0.42, 0.40, 0.0]], dtype=np.float32)
    frames = np.array([1, 9, 2])
    assert MemoryBankTracker(match_thr=0.3, similar_thr=0.3).match(similarity, frames)[0] == 1
    assert MemoryBankTracker(match_thr=0.3, similar_thr=0.5).match(similarity, frames)[0] == 0


def test_an_unknown_memory_is_a_clear_error():
    with pytest.raises(InputError, match="has no memory='momentum'; give 'mean'"):
        MemoryBankTracker(memory='momentum')
