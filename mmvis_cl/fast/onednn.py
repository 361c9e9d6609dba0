"""When oneDNN's operations for inference can be called, those that PyTorch's compiler uses."""

import torch
from torch import Tensor

_NAMES = '_reorder_linear_weight', '_linear_pointwise', '_convolution_pointwise'


def has_inference_ops() -> bool:
    """Whether this PyTorch has them."""
    return torch.backends.mkldnn.is_available() and all(
        hasattr(torch.ops.mkldnn, name) for name in _NAMES
    )


def inference_ops_take(x: Tensor) -> bool:
    """Whether they compute on this input what the layers would: float32 on a CPU, no gradients.

    torch.compile takes them where it wants them, and fails where they are there already.
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and x.device.type == 'cpu'
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled('cpu')
        and x.numel() > 0
        and has_inference_ops()
    )
