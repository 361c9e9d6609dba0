"""Who was gone for longer than the bank remembers comes back as himself, or not at all."""

import pytest
import torch

from mmvis_cl.errors import InputError
from mmvis_cl.models import LongTermMemory, MemoryBankTracker

FAR_APART = torch.zeros(9, 9)
MANY = dict(type='mmvis_cl.LongTermMemory')


def one_hot(*index, scale=20.0):
    return scale * torch.eye(8)[list(index)]


class Video:
    """Frames for a tracker, one after the other."""

    def __init__(self, **options):
        self.tracker = MemoryBankTracker(**options)
        self.bank, self.frame = None, 0

    def see(self, embeds, labels=None, scores=None, boxes=None):
        n = len(embeds)
        given = [
            torch.full((n,), 0.9) if scores is None else torch.tensor(scores),
            torch.zeros(n, dtype=torch.long) if labels is None else torch.tensor(labels),
            torch.full((n, 4), 0.1) if boxes is None else torch.tensor(boxes),
        ]
        ids, self.bank = self.tracker.track(
            self.bank, self.frame, embeds, *given, FAR_APART[:n, :n]
        )
        self.frame += 1
        return ids.tolist()

    def wait(self, frames, others=()):
        for _ in range(frames):
            self.see(one_hot(*others))


def test_gone_for_long_and_back():
    """Without the long memory the identity is a new one."""
    for long_term, expected in ((MANY, [1, 0]), (None, [1, 2])):
        video = Video(long_term=long_term)
        for _ in range(4):
            assert video.see(one_hot(0, 1)) == [0, 1]
        video.wait(40, others=(1,))
        assert video.see(one_hot(1, 0)) == expected
        assert video.see(one_hot(0, 1)) == expected[::-1]
        assert video.bank.next_id == max(expected) + 1


def test_all_frames_count_for_who_it_was():
    """The last embeddings before it went are of what lay on it."""
    video = Video(long_term=MANY)
    for _ in range(9):
        video.see(one_hot(0))
    for _ in range(2):
        assert video.see(one_hot(0) + one_hot(5, scale=30.0)) == [0]
    video.wait(20)
    assert video.bank.gone.num_frames.tolist() == [11]
    expected = one_hot(0)[0] + one_hot(5, scale=30.0)[0] * 2 / 11
    torch.testing.assert_close(video.bank.gone.prototypes[0], expected)
    assert video.see(one_hot(0)) == [0]


def test_two_that_look_alike_come_back_as_themselves():
    """Each takes what fits both best, though one identity is most like both detections."""
    first, second = 8 * one_hot(0, scale=1.0)[0], one_hot(0, 1, scale=6.0).sum(0)
    video = Video(long_term=dict(MANY, cosine_thr=0.3))
    for _ in range(3):
        assert video.see(torch.stack((first, second))) == [0, 1]
    video.wait(15)
    assert video.see(torch.stack((second, first))) == [1, 0]


@pytest.mark.parametrize(
    ('long_term', 'seen', 'came', 'label'),
    [
        (dict(MANY, min_frames=5), 4, 0, 0),  # not seen often enough
        (MANY, 4, 0, 1),  # another class
        (MANY, 4, 2, 0),  # looks like nobody who was there
        (dict(MANY, cosine_thr=1), 4, 0, 0),  # never sure enough
    ],
)
def test_who_does_not_come_back(long_term, seen, came, label):
    video = Video(long_term=long_term)
    for _ in range(seen):
        video.see(one_hot(0))
    video.wait(15)
    assert video.see(one_hot(came), labels=[label]) == [1]


def test_a_class_that_changed_may_be_allowed():
    video = Video(long_term=dict(MANY, same_class=False))
    for _ in range(4):
        video.see(one_hot(0))
    video.wait(15)
    assert video.see(one_hot(0), labels=[1]) == [0]


def test_the_memory_is_bounded():
    """Who was seen least is dropped first, then who is gone for longest."""
    video = Video(long_term=dict(MANY, capacity=3), max_unseen=2)
    for who, frames in enumerate((4, 6, 3, 4, 5, 4)):
        for _ in range(frames):
            video.see(one_hot(who))
        video.wait(2)
        assert len(video.bank.gone) <= 3
    assert video.bank.gone.ids.tolist() == [1, 4, 5]
    assert video.see(one_hot(1, 0)) == [1, 6]


def test_nobody_is_twice_in_a_frame_or_in_memory():
    """Random crowds that come and go: one identity a detection; in memory each is there once."""
    generator = torch.Generator().manual_seed(0)
    video = Video(long_term=dict(MANY, capacity=5, same_class=False), max_unseen=3)
    for _ in range(300):
        n = int(torch.randint(0, 5, (1,), generator=generator))
        who = torch.randperm(8, generator=generator)[:n]
        noise = torch.randn(n, 8, generator=generator)
        ids = [i for i in video.see(one_hot(*who.tolist(), scale=5.0) + noise) if i >= 0]
        assert len(set(ids)) == len(ids)
        gone = [] if video.bank.gone is None else video.bank.gone.ids.tolist()
        known = video.bank.ids.tolist() + gone
        assert len(set(known)) == len(known) and max(known, default=-1) < video.bank.next_id
        assert len(gone) <= 5
    assert video.bank.next_id > 8


def test_who_is_back_is_not_gone_any_more():
    video = Video(long_term=MANY)
    for _ in range(4):
        video.see(one_hot(0, 1))
    video.wait(15)
    assert video.bank.gone.ids.tolist() == [0, 1]
    assert '2 gone: [0, 1]' in repr(video.bank)
    assert video.see(one_hot(1)) == [1]
    assert video.bank.gone.ids.tolist() == [0] and video.bank.ids.tolist() == [1]
    assert video.bank.num_frames.tolist() == [5] and video.bank.last_frame.tolist() == [19]


def test_an_identity_cannot_jump_through_a_motion_gate():
    """Farther with each frame in which it is not seen."""
    here, there = [[0.1, 0.1, 0.1, 0.1]], [[0.5, 0.1, 0.1, 0.1]]
    for gate, unseen, expected in (
        (1.0, 0, 1),
        (1.0, 2, 1),
        (1.0, 3, 0),
        (4.5, 0, 0),
        (None, 0, 0),
    ):
        video = Video(motion_gate=gate)
        assert video.see(one_hot(0), boxes=here) == [0]
        video.wait(unseen)
        assert video.see(one_hot(0), boxes=there) == [expected], (gate, unseen)


def test_nobody_is_who_he_does_not_look_like():
    """Alone with one identity in memory, a detection is most like that, whatever it looks like."""
    for cosine_thr, expected in ((None, 0), (0.5, 1)):
        video = Video(cosine_thr=cosine_thr)
        video.see(one_hot(0))
        assert video.see(one_hot(3)) == [expected]
        assert video.see(one_hot(3)) == [expected]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(capacity=0), 'capacity=0'),
        (dict(return_thr=2), 'return_thr=2'),
        (dict(cosine_thr=-0.1), 'cosine_thr=-0.1'),
    ],
)
def test_numbers_out_of_range(options, message):
    with pytest.raises(InputError, match=message):
        LongTermMemory(**options)
    with pytest.raises(InputError, match='motion_gate=0'):
        MemoryBankTracker(motion_gate=0)
    with pytest.raises(InputError, match='cosine_thr=50'):
        MemoryBankTracker(cosine_thr=50)
