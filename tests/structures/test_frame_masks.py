"""Masks drawn before it is known which are kept are those drawn afterwards."""

import numpy as np
import pytest
import torch

from mmvis_cl.ops import one_copy
from mmvis_cl.structures import encode_logits, encode_with_quality, frame_masks
from mmvis_cl.structures.frame_masks import FrameMasks


def logits_of(kind):
    noise = torch.randn(6, 9, 14, generator=torch.Generator().manual_seed(0))
    if kind == 'noise':
        return noise
    smooth = torch.nn.functional.avg_pool2d(noise[:, None], 5, 1, 2)[:, 0]
    smooth[1], smooth[2] = -1.0, 1.0  # nothing and everything
    return smooth


@pytest.mark.parametrize('kind', ['noise', 'objects'])
@pytest.mark.parametrize('out_shape', [(33, 51), (66, 90)])
@pytest.mark.parametrize('options', [{}, dict(flip=True), dict(smooth=True)])
@pytest.mark.parametrize('chosen', [[0, 1, 2, 3, 4, 5], [5, 2, 1], []])
def test_any_of_them_in_any_order(kind, out_shape, options, chosen):
    logits, index = logits_of(kind), torch.tensor(chosen, dtype=torch.long)
    masks = FrameMasks(logits, (33, 51), out_shape, **options, ahead=True)
    found, quality = masks.encode(index, one_copy.to_cpu(*masks.drawn()))
    assert found == encode_logits(logits[index], (33, 51), out_shape, **options)
    assert quality is None
    masks = FrameMasks(logits, (33, 51), out_shape, **options, quality=True, ahead=True)
    found, quality = masks.encode(index, one_copy.to_cpu(*masks.drawn()))
    expected, of_expected = encode_with_quality(logits[index], (33, 51), out_shape, **options)
    assert found == expected
    np.testing.assert_allclose(quality, of_expected, rtol=1e-6)


def test_masks_with_more_changes_than_there_is_room_for(monkeypatch):
    """They are drawn when they are known to be kept; nothing is cut off."""
    monkeypatch.setattr(frame_masks, 'CHANGES_PER_COLUMN', 1)
    logits = logits_of('noise')
    masks = FrameMasks(logits, (33, 51), (33, 51), ahead=True)
    places, number = masks.drawn()
    assert int(number) > len(places)
    index = torch.tensor([3, 0])
    assert masks.encode(index, [places, number])[0] == encode_logits(
        logits[index], (33, 51), (33, 51)
    )


def test_too_many_pixels_are_not_drawn_ahead(monkeypatch):
    logits = logits_of('objects')
    assert FrameMasks(logits, (33, 51), (33, 51), ahead=True).drawn()
    monkeypatch.setattr(frame_masks, 'MOST_PIXELS_AHEAD', 6 * 33 * 51 - 1)
    assert FrameMasks(logits, (33, 51), (33, 51), ahead=True).drawn() == ()
    assert FrameMasks(logits[:0], (33, 51), (33, 51), ahead=True).drawn() == ()
    assert FrameMasks(logits[:5], (33, 51), (33, 51)).drawn() == ()  # on a CPU
