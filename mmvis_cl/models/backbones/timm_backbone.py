"""Any network of timm as a backbone."""

import difflib
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import timm
import timm.layers
from mmengine.model import BaseModule
from packaging.version import Version
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmvis_cl.checkpoints.reader import read_checkpoint, tensors_of
from mmvis_cl.errors import InputError
from mmvis_cl.registry import MODELS


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """The maps of a timm model that can give maps (``features_only``).

    Building it never downloads; weights are loaded by :meth:`init_weights`.

    Args:
        model_name (str): timm's name, with the tag of its weights: 'convnext_large.fb_in22k'.
        pretrained (bool | str): False: timm's random initialisation. True: timm's weights, which
            it downloads once. Else the path of a file (.pth, .safetensors) of timm, or of the
            model's own release where timm knows its names (ConvNeXt, Swin); its classifier is
            ignored.
        out_indices (Sequence[int]): which maps, in ascending order. Which index has which stride
            differs: strides 8, 16, 32 are (1, 2, 3) for ConvNeXt and Swin, (2, 3, 4) for ResNets.
        strides (Sequence[int], optional): what the strides of the maps must be.
        channels (Sequence[int], optional): what the channels of the maps must be.
        drop_path_rate (float, optional): rate of stochastic depth at the last block; timm's default
            if None.
        frozen_stages (int): -1: everything learns; 0: the stem is frozen; n: also the first n
            stages, a stage being what leads to the next of timm's maps of stride 4 and more. What
            is frozen has no gradients and is in evaluation mode.
        freeze_batch_norm (bool): BatchNorm layers keep their statistics and weights.
        with_cp (bool): compute the states inside of the blocks again in the backward pass, which
            saves memory (gradient checkpointing). BatchNorm layers that are not frozen then count
            each batch twice in their statistics.
        out_norm (bool): normalise the channels of each map with a layer of its own, which has no
            pretrained weights. Some timm models, as ConvNeXt, end their stages without a norm.
        init_cfg (dict, optional): mmengine's initialisation config, instead of ``pretrained``.
        **timm_kwargs: handed to ``timm.create_model``, e.g. ``strict_img_size=False``.

    Attributes:
        strides (tuple[int, ...]): of the maps.
        channels (tuple[int, ...]): of the maps.

    Raises:
        InputError: timm has no such model, option, maps or weights, or they are not as asked.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: bool | str = False,
        out_indices: Sequence[int] = (1, 2, 3),
        strides: Sequence[int] | None = None,
        channels: Sequence[int] | None = None,
        drop_path_rate: float | None = None,
        frozen_stages: int = -1,
        freeze_batch_norm: bool = False,
        with_cp: bool = False,
        out_norm: bool = False,
        init_cfg: dict | None = None,
        **timm_kwargs,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if pretrained and init_cfg:
            raise InputError(
                f'TimmBackbone {model_name}: has both pretrained={pretrained} and init_cfg; give '
                'one of the two'
            )
        self.model_name = model_name
        self.pretrained = pretrained
        self.timm_kwargs = dict(timm_kwargs)
        if drop_path_rate is not None:
            self.timm_kwargs['drop_path_rate'] = drop_path_rate
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.freeze_batch_norm = freeze_batch_norm
        self.model = self._create()
        self._check_size()
        info = self.model.feature_info
        self.strides, self.channels = tuple(info.reduction()), tuple(info.channels())
        for what, asked, given in (
            ('strides', strides, self.strides),
            ('channels', channels, self.channels),
        ):
            if asked is not None and tuple(asked) != given:
                raise InputError(
                    f'TimmBackbone {model_name}: maps {self.out_indices} have the {what} {given}, '
                    f'not {tuple(asked)}; {_maps(info)}'
                )
        self.norms = nn.ModuleList(
            timm.layers.LayerNorm2d(c, eps=1e-6) if out_norm else nn.Identity()
            for c in self.channels
        )
        for module in self._frozen_modules():
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad = False
        if with_cp:
            self._checkpoint_gradients()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps of some images.

        Args:
            x (Tensor): (B, 3, H, W) normalised images.

        Returns:
            tuple[Tensor, ...]: (B, channels, H / stride, W / stride) for each of ``out_indices``.
        """
        maps = self.model(x)
        if self._map_format == 'NHWC':
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        return tuple(norm(m) for norm, m in zip(self.norms, maps, strict=True))

    def train(self, mode: bool = True) -> 'TimmBackbone':
        """Set the mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        frozen = self._frozen_modules()
        for module in frozen:
            if frozen.issuperset(module.modules()):  # else a container of what learns as well
                module.training = False
        return self

    def init_weights(self) -> None:
        """Load the weights, once.

        Raises:
            InputError: timm could not get its weights, or the file does not fit.
        """
        if not self.pretrained or self.is_init:
            super().init_weights()
            return
        if self.pretrained is True:
            weights = self._timm_weights()
        else:
            weights = self._file_weights(self.pretrained)
        self.model.load_state_dict(weights)
        self.is_init = True

    def _create(self, **kwargs) -> nn.Module:
        """timm's feature extractor; each reason why there is none becomes one line."""
        name = self.model_name
        tagged = timm.list_models(pretrained=True)
        known = [*timm.list_models(), *tagged]
        if name not in known:
            near = difflib.get_close_matches(name, tagged if '.' in name else known, 4, 0.5)
            raise InputError(
                f'TimmBackbone: timm {timm.__version__} has no model {name!r}; '
                + (f'near names: {", ".join(near)}' if near else 'timm.list_models() lists them')
            )
        if list(self.out_indices) != sorted(set(self.out_indices)) or min(self.out_indices) < 0:
            raise InputError(
                f'TimmBackbone {name}: out_indices={self.out_indices} must be different numbers '
                'from 0 on, in ascending order'
            )
        options = dict(features_only=True, **self.timm_kwargs)
        try:
            return timm.create_model(name, out_indices=self.out_indices, **options, **kwargs)
        except (RuntimeError, TypeError, AssertionError, IndexError) as error:
            try:
                maps = timm.create_model(name, **options).feature_info
            except (RuntimeError, TypeError, AssertionError) as reason:
                raise InputError(
                    f'TimmBackbone {name}: timm {timm.__version__} cannot make it with {options}: '
                    f'{_one_line(reason)}; use another model or other options'
                ) from reason
            if self.out_indices[-1] < len(maps.info):
                raise  # not for the indices
            raise InputError(
                f'TimmBackbone {name}: out_indices={self.out_indices} are not all there; '
                f'{_maps(maps)}'
            ) from error

    def _check_size(self) -> None:
        """Frames have many sizes: a model of one size, or without maps, is of no use."""
        name = self.model_name
        sizes = {'img_size', 'strict_img_size', 'dynamic_img_size'}
        if self.model.pretrained_cfg.get('fixed_input_size') and not sizes & set(self.timm_kwargs):
            raise InputError(
                f'TimmBackbone {name}: takes images of one size only; add strict_img_size=False '
                '(Swin), dynamic_img_size=True (ViT), or img_size=(H, W) if all of yours have it'
            )
        self._map_format = timm.layers.Format(getattr(self.model, 'output_fmt', 'NCHW')).value
        if self._map_format not in ('NCHW', 'NHWC'):
            raise InputError(
                f'TimmBackbone {name}: gives {self._map_format} and no maps; use another model'
            )

    def _frozen_modules(self) -> set[nn.Module]:
        """What is frozen, in timm's order of use, which is the order of registration."""
        modules = dict(self.model.named_modules())
        frozen = set()
        if self.frozen_stages >= 0:
            stages = [i['module'] for i in self.model.feature_info.info if i['reduction'] >= 4]
            names = [_bare(name) for name in modules]
            stage = ''
            if self.frozen_stages <= len(stages):
                stage = _bare(stages[max(self.frozen_stages, 1) - 1])
            inside = [i for i, n in enumerate(names) if f'{n}_'.startswith(f'{stage}_')]
            if not stage or not inside:
                raise InputError(
                    f'TimmBackbone {self.model_name}: frozen_stages={self.frozen_stages}, but its '
                    f'{len(stages)} maps of stride 4 and more, up to the last of '
                    f'out_indices={self.out_indices}, are fewer; lower it'
                )
            end = inside[-1] + 1 if self.frozen_stages else inside[0]
            frozen.update(list(modules.values())[1:end])
        if self.freeze_batch_norm:
            frozen.update(m for m in modules.values() if isinstance(m, _BatchNorm))
        return frozen

    def _checkpoint_gradients(self) -> None:
        reentrant = getattr(timm.layers, 'use_reentrant_ckpt', lambda: True)()
        if reentrant and self.frozen_stages >= 0:
            raise InputError(
                f'TimmBackbone {self.model_name}: with_cp with frozen_stages='
                f'{self.frozen_stages} needs checkpoints that are not re-entrant, or the next '
                'stage learns nothing; pip install -U timm and leave TIMM_REENTRANT_CKPT unset'
            )
        module = timm.models.model_entrypoint(self.model_name).__module__
        if module == 'timm.models.resnet' and Version(timm.__version__) < Version('1.0.31'):
            raise InputError(
                f'TimmBackbone {self.model_name}: with_cp, but the gradients of a ResNet of timm '
                f'{timm.__version__} cannot be checkpointed; pip install -U timm, or set '
                'with_cp=False'
            )
        # The blocks one by one where the stages can; else timm's extractor, which takes stages.
        parts = [
            m
            for m in self.model.modules()
            if m is not self.model and hasattr(m, 'grad_checkpointing')
        ]
        for part in parts:
            part.grad_checkpointing = True
        if not parts:
            if not hasattr(self.model, 'set_grad_checkpointing'):
                raise InputError(
                    f'TimmBackbone {self.model_name}: timm {timm.__version__} has no gradient '
                    'checkpointing for it; set with_cp=False'
                )
            self.model.set_grad_checkpointing(True)

    def _timm_weights(self) -> dict[str, Tensor]:
        try:
            return self._create(pretrained=True).state_dict()
        except Exception as error:  # timm, huggingface_hub and their clients raise all kinds
            raise InputError(
                f'TimmBackbone {self.model_name}: timm could not get its weights '
                f'({_one_line(error)}); without a network, download {self._address()} elsewhere '
                'and give the file: pretrained=FILE'
            ) from error

    def _address(self) -> str:
        """Where timm has the weights from."""
        source = timm.get_pretrained_cfg(self.model_name)
        if source is not None and source.hf_hub_id:
            return f'https://huggingface.co/{source.hf_hub_id}/resolve/main/model.safetensors'
        return getattr(source, 'url', None) or f'the weights of {self.model_name}'

    def _file_weights(self, path: str) -> dict[str, Tensor]:
        """The weights of a file, under the names of timm's feature extractor."""
        weights = dict(tensors_of(read_checkpoint(path), path))
        whole = timm.create_model(self.model_name, num_classes=0, **self.timm_kwargs)
        # timm's own translation of other names; in most of its modules it is called so
        translate = getattr(sys.modules[type(whole).__module__], 'checkpoint_filter_fn', None)
        if translate:
            try:
                weights = translate(weights, whole)
            except (KeyError, RuntimeError, AttributeError) as error:
                self._misfit(path, _one_line(error), error)
        given = {name.replace('.', '_'): value for name, value in weights.items()}
        ours, missing, other_shape = {}, [], []
        for name, value in self.model.state_dict().items():
            found = given.get(_bare(name))
            if found is None and name.endswith('num_batches_tracked'):
                found = value  # old files have no such counter
            if found is None:
                missing.append(name)
            elif found.shape != value.shape:
                shapes = f'{tuple(found.shape)} instead of {tuple(value.shape)}'
                other_shape.append(f'{name} {shapes}')
            ours[name] = found

        classifier = whole.pretrained_cfg.get('classifier') or ()
        classifier = [classifier] if isinstance(classifier, str) else classifier
        heads = {name.partition('.')[0] for name in classifier}
        known = whole.state_dict().keys() | {_bare(name) for name in ours}
        unknown = [
            name
            for name in weights
            if not {name, name.replace('.', '_')} & known and name.partition('.')[0] not in heads
        ]
        problems = [
            f'{len(names)} {what} ({", ".join(names[:3])}{", ..." * (len(names) > 3)})'
            for names, what in (
                (missing, 'missing'),
                (unknown, 'unknown'),
                (other_shape, 'of another shape'),
            )
            if names
        ]
        if problems:
            self._misfit(path, ', '.join(problems))
        return ours

    def _misfit(self, path: str, reason: str, cause: Exception | None = None) -> NoReturn:
        raise InputError(
            f'{path}: not weights of {self.model_name}: {reason}; give the file that timm or the '
            'authors of the model published for this model'
        ) from cause


def _bare(name: str) -> str:
    """A name inside a feature extractor of timm as it is in the whole model, with '_' for '.'.

    The extractors put the model under ``model`` or ``body``, or take it apart, with '_' for '.'.
    """
    return re.sub(r'^(model|body)\.', '', name).replace('.', '_')


def _maps(info: timm.models.FeatureInfo) -> str:
    maps = ', '.join(f'{i}: {f["reduction"]} ({f["num_chs"]})' for i, f in enumerate(info.info))
    return f'its maps, with strides and channels, are {maps}'


def _one_line(error: Exception) -> str:
    return f'{type(error).__name__}: {" ".join(str(error).split())[:300]}'
