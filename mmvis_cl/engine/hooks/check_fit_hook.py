"""Do model, data and checkpoint belong together? Asked before any time is spent."""

from typing import NamedTuple

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import BaseLoop
from torch import Tensor, nn

from mmvis_cl.checkpoints.inert_pickle import placeholders
from mmvis_cl.checkpoints.releases import release_of
from mmvis_cl.errors import InputError, quoted
from mmvis_cl.models.pretrained import check_pretrained
from mmvis_cl.registry import HOOKS

HEADS = 'bbox_head', 'panoptic_head'


@HOOKS.register_module()
class CheckFitHook(Hook):
    """Stops a run whose model does not fit its classes or its checkpoint.

    - Before a run: ``num_classes`` of every ``bbox_head`` or ``panoptic_head`` in the model must be
      the number of classes of each data set in use; and what a part of the model is to start from
      (``init_cfg``) must have weights of it.
    - When a checkpoint is loaded for testing or resuming: its keys and shapes must be the model's.
    - When training starts from a checkpoint (``load_from``): what does not fit starts fresh, as is
      usual for class branches, and one log line says what; if nothing fits, the run stops.

    Raises:
        InputError: In a single line, as described.
    """

    priority = 'HIGHEST'

    def before_run(self, runner) -> None:
        """Compare ``num_classes`` with the classes of the data sets of the loops that are built."""
        heads = [
            (name, module.num_classes)
            for name, module in _unwrap(runner.model).named_modules()
            if name.split('.')[-1] in HEADS and hasattr(module, 'num_classes')
        ]
        for split in ('train', 'val', 'test'):
            loop = getattr(runner, f'_{split}_loop')
            if not isinstance(loop, BaseLoop):
                continue
            classes = getattr(loop.dataloader.dataset, 'metainfo', {}).get('classes')
            if classes is None:
                continue
            for name, num_classes in heads:
                if num_classes != len(classes):
                    raise InputError(
                        f'model.{name}.num_classes is {num_classes}, but the data set of '
                        f'{split}_dataloader has {len(classes)} classes; set '
                        f'model.{name}.num_classes={len(classes)} or change '
                        f'{split}_dataloader.dataset'
                    )
        if isinstance(runner._train_loop, BaseLoop):
            check_pretrained(_unwrap(runner.model))
            _warn_of_custom_keys(runner)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the checkpoint's weights with the model's."""
        if not isinstance(checkpoint, dict):
            raise InputError(
                f'{runner._load_from}: holds a {type(checkpoint).__name__}, not a state dict; give '
                'a checkpoint'
            )
        weights = checkpoint.get('state_dict', checkpoint)
        if not isinstance(weights, dict):
            raise InputError(
                f"{runner._load_from}: holds a {type(weights).__name__} under 'state_dict'; give a "
                'checkpoint'
            )
        if runner._resume:
            _check_state(checkpoint, runner._load_from or runner.work_dir)
        # The path is known to the runner only; `load_checkpoint()` called by hand may have another.
        name = f'the checkpoint (load_from={runner._load_from})'
        theirs = weights.get('model')
        release = release_of(theirs if isinstance(theirs, dict) else weights)
        if release:
            raise InputError(
                f'{name} is one of {release.name}: convert it with python '
                f'tools/model_converters/{release.tool} {runner._load_from} OUT.pth, and '
                'give OUT.pth'
            )
        misfit = compare_weights(name, weights, runner.model)
        if misfit is None:
            return
        training = isinstance(runner._train_loop, BaseLoop)
        if training and not runner._resume:
            runner.logger.warning(
                f'{name} fits in part: {misfit.what}. {misfit.loaded} of {misfit.wanted} weights '
                'are loaded, the others of the model start fresh'
            )
            return
        raise misfit.error


def _check_state(checkpoint: dict, path: str) -> None:
    """A run goes on from its state: weights alone are not enough."""
    meta = checkpoint.get('meta')
    missing = [key for key in ('meta', 'optimizer', 'message_hub') if key not in checkpoint]
    counts = [meta.get(key) for key in ('iter', 'epoch')] if isinstance(meta, dict) else [None]
    if missing or not all(type(count) is int and count >= 0 for count in counts):
        raise InputError(
            f'{path}: has no state of a training to resume ({", ".join(missing) or "meta"}); start '
            f'from its weights: without --resume, with --cfg-options load_from={path}'
        )
    other = next(placeholders(checkpoint), None)
    if other is not None:
        raise InputError(
            f'{path}: the state of the training holds an object of type {other.type_name}, and '
            'making objects could run code; if the file is your own, let it: --trust-checkpoint'
        )


class Misfit(NamedTuple):
    """How weights and a model differ.

    Attributes:
        what (str): the differences in words.
        loaded (int): weights that the model can take.
        wanted (int): weights that the model has.
        error (InputError): to raise where all must fit.
    """

    what: str
    loaded: int
    wanted: int
    error: InputError


def compare_weights(name: str, weights: dict, model: nn.Module) -> Misfit | None:
    """Compare the names and shapes of a checkpoint's weights with a model's.

    Args:
        name (str): of the checkpoint, for the error.
        weights (dict): its state dict.
        model (nn.Module): the model, wrapped or not.

    Returns:
        Misfit | None: the differences, None if there are none.

    Raises:
        InputError: not one weight fits, a name is no text, or a value is NaN or of another kind of
            number than the model's, which PyTorch would load without a word.
    """
    for key in weights:
        if not isinstance(key, str):
            raise InputError(
                f'{name}: a weight is called {quoted(key)}, which is no text; save it with names'
            )
    tensors = {
        key.removeprefix('module.'): value
        for key, value in weights.items()
        if isinstance(value, Tensor)
    }
    state = _unwrap(model).state_dict()
    for key, value in tensors.items():
        if key in state:
            _check_values(f'{name}: {key}', value, state[key])
    found = {key: tuple(value.shape) for key, value in tensors.items()}
    wanted = {
        key: tuple(value.shape)
        for key, value in state.items()
        # how many batches a norm has seen is not used, and the release does not save it
        if key in found or not key.endswith('.num_batches_tracked')
    }
    missing = [key for key in wanted if key not in found]
    unexpected = [key for key in found if key not in wanted]
    other_shape = [key for key in wanted if key in found and found[key] != wanted[key]]
    if not (missing or unexpected or other_shape):
        return None

    if len(missing) + len(other_shape) == len(wanted):
        raise InputError(
            f'{name} has none of the {len(wanted)} weights of the model ({_few(list(wanted))}; it '
            f'has {_few(list(found))}): it was made by another program or for another '
            'kind of model'
        )
    parts = []
    if other_shape:
        key = other_shape[0]
        parts.append(
            f'{len(other_shape)} weights of another shape ({_few(other_shape)}; the first is '
            f'{found[key]} in the checkpoint, {wanted[key]} in the model)'
        )
    if missing:
        parts.append(f'{len(missing)} missing ({_few(missing)})')
    if unexpected:
        parts.append(f'{len(unexpected)} that the model does not have ({_few(unexpected)})')
    what = '; '.join(parts)
    only_classes = other_shape and not missing and not unexpected
    cause = (
        'probably num_classes differs'
        if only_classes and all('cls' in key for key in other_shape)
        else 'probably it was trained with another config'
    )
    return Misfit(
        what,
        len(wanted) - len(missing) - len(other_shape),
        len(wanted),
        InputError(
            f'{name} does not fit the model: {what}; {cause}: use the config that it was trained '
            'with'
        ),
    )


def _check_values(name: str, value: Tensor, wanted: Tensor) -> None:
    kinds = [(v.is_floating_point(), v.is_complex()) for v in (value, wanted)]
    if kinds[0] != kinds[1]:
        raise InputError(
            f'{name} holds {value.dtype}, the model has {wanted.dtype} there; give the checkpoint '
            'of a training, not one that was quantized or made for another program'
        )
    if value.is_floating_point() and value.isnan().any():
        raise InputError(
            f'{name} has values that are not a number (NaN): its training had diverged; give an '
            'earlier checkpoint'
        )


def _warn_of_custom_keys(runner) -> None:
    """A rate for parameters that are not there changes nothing: most often the name is wrong."""
    paramwise = (runner.cfg.get('optim_wrapper') or {}).get('paramwise_cfg') or {}
    names = [name for name, _ in _unwrap(runner.model).named_parameters()]
    for key in paramwise.get('custom_keys') or {}:
        if not any(key in name for name in names):
            runner.logger.warning(
                f'optim_wrapper.paramwise_cfg.custom_keys: no parameter of the model has {key!r} '
                'in its name, so its options change nothing'
            )


def _unwrap(model):
    """The model without what is around it for several processes or for multi-scale testing."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model


def _few(keys: list[str]) -> str:
    return ', '.join(keys[:3]) + (', ...' if len(keys) > 3 else '') or 'no weights at all'
