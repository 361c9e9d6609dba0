import numpy as np

from mmvis_cl.evaluation.identity_events import identity_events, object_of_identity


def events_of(frames, n, m, found=None, present=None):
    """``frames`` are dicts of (identity, object): IoU."""
    iou = np.zeros((n, m, len(frames)))
    for frame, pairs in enumerate(frames):
        for (identity, obj), value in pairs.items():
            iou[identity, obj, frame] = value
    found = np.ones((n, len(frames)), bool) if found is None else np.array(found, bool)
    present = np.ones((m, len(frames)), bool) if present is None else np.array(present, bool)
    return identity_events(iou, found, present), iou


def test_two_identities_that_swap():
    straight, crossed = {(0, 0): 0.9, (1, 1): 0.8}, {(0, 1): 0.9, (1, 0): 0.8}
    events, _ = events_of([straight, straight, crossed, crossed], 2, 2)
    assert [event.switches for event in events] == [[], [], [(1, 1, 0), (0, 0, 1)], []]
    assert all(event.misses == event.extra == [] for event in events)
    assert events[3].matches == {0: 1, 1: 0}


def test_a_split_object_is_a_switch_after_the_gap_too():
    # Seen as 0, unseen, seen as 1, unseen again, back as 1.
    events, _ = events_of([{(0, 0): 0.9}, {}, {(1, 0): 0.9}, {}, {(1, 0): 0.9}], 2, 1)
    assert [event.switches for event in events] == [[], [], [(0, 0, 1)], [], []]
    assert [event.misses for event in events] == [[], [0], [], [0], []]
    assert [event.extra for event in events] == [[1], [0, 1], [0], [0, 1], [0]]


def test_a_match_is_kept_while_it_holds():
    # Identity 1 overlaps the object more from frame 1 on, but 0 still reaches the threshold.
    frames = [{(0, 0): 0.9}, {(0, 0): 0.6, (1, 0): 0.9}, {(0, 0): 0.4, (1, 0): 0.9}]
    events, _ = events_of(frames, 2, 1)
    assert [event.matches for event in events] == [{0: 0}, {0: 0}, {0: 1}]
    assert [event.switches for event in events] == [[], [], [(0, 0, 1)]]


def test_as_many_matches_as_possible_come_first():
    events, _ = events_of([{(0, 0): 0.9, (0, 1): 0.6, (1, 0): 0.6}], 2, 2)
    assert events[0].matches == {0: 1, 1: 0}


def test_what_is_not_there_is_neither_missed_nor_extra():
    events, _ = events_of([{}, {}], 1, 1, found=[[0, 1]], present=[[1, 0]])
    assert [event.misses for event in events] == [[0], []]
    assert [event.extra for event in events] == [[], [0]]
    assert events_of([{}], 0, 1)[0][0].misses == [0]
    assert events_of([{}], 1, 0)[0][0].extra == [0]


def test_an_identity_is_of_the_object_it_lies_on_in_most_frames():
    frames = [
        {(0, 0): 0.99, (1, 0): 0.4, (2, 1): 0.6},
        {(0, 1): 0.5, (1, 0): 0.4, (2, 0): 0.7},
        {(0, 1): 0.5, (1, 0): 0.4},
    ]
    _, iou = events_of(frames, 3, 2)
    # 0: two frames beat one of higher IoU. 1: never half. 2: of one frame each the better.
    assert object_of_identity(iou) == [1, None, 0]
    assert object_of_identity(np.zeros((2, 0, 3))) == [None, None]
