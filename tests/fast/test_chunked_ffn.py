"""A feed-forward network in steps gives what mmcv's gives at once."""

import pytest
import torch
from mmcv.cnn.bricks.transformer import FFN

from mmvis_cl.fast.chunked_ffn import QUERIES_PER_STEP, ChunkedFFN


@pytest.mark.parametrize('queries', [1, QUERIES_PER_STEP, 2 * QUERIES_PER_STEP + 5])
@pytest.mark.parametrize('with_identity', [False, True])
def test_equals_mmcvs(queries, with_identity):
    torch.manual_seed(0)
    plain = FFN(embed_dims=8, feedforward_channels=16, ffn_drop=0.0)
    ours = ChunkedFFN(embed_dims=8, feedforward_channels=16, ffn_drop=0.0)
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, queries, 8)
    more = (torch.randn(2, queries, 8),) if with_identity else ()
    with torch.no_grad():
        torch.testing.assert_close(ours(x, *more), plain(x, *more), atol=1e-6, rtol=1e-5)
    assert torch.equal(ours(x, *more), plain(x, *more))  # with gradients: mmcv's own way
