"""``tools/test.py --tta``: from a config to one that tests at several sizes."""

from mmengine.config import Config, ConfigDict

from mmvis_cl.errors import InputError
from mmvis_cl.structures.merge_tracks import check_merge_options


def use_multi_scale(cfg: Config) -> None:
    """Change a config so that a test tracks each video at every size of ``cfg.tta``.

    Args:
        cfg: Has ``tta``, a dict with ``scales``, a list of what the resizing transform of the test
            pipeline takes as ``scale``; ``flip``, whether to track the mirrored frames of each size
            as well (False by default); and ``merge_cfg``, options of ``merge_tracks``.

    Raises:
        InputError: If there is no ``tta``, or the test pipeline has not just one resize.
    """
    tta = cfg.get('tta') or {}
    if not tta.get('scales'):
        raise InputError(
            f'{cfg.filename or "the config"}: no tta.scales, the sizes to test at; add for instance'
            ' tta = dict(scales=[(1333, 480), (1333, 640)]), or the base configs/_base_/tta.py'
        )
    flip, merge_cfg = tta.get('flip', False), tta.get('merge_cfg') or {}
    for name, options, known in (
        ('tta', tta, ('scales', 'flip', 'merge_cfg')),
        ('tta.merge_cfg', merge_cfg, ('method', 'iou_thr', 'score', 'weights')),
    ):
        unknown = [key for key in options if key not in known]
        if unknown:
            raise InputError(f'{name} has {unknown[0]!r}; known are {", ".join(known)}')
    check_merge_options(len(tta.scales) * (2 if flip else 1), **merge_cfg)
    if not cfg.get('test_dataloader'):
        raise InputError(f'{cfg.filename or "the config"}: no test_dataloader, nothing to test on')
    dataset = cfg.test_dataloader.dataset
    dataset.pipeline = _several_sizes(dataset.pipeline, tta.scales, flip)
    cfg.model = ConfigDict(type='mmvis_cl.MultiScaleVIS', module=cfg.model, merge_cfg=merge_cfg)


def _several_sizes(pipeline: list[dict], scales: list, flip: bool) -> list[dict]:
    """The pipeline with everything from its resize on done for each size.

    The resize is the one transform that has a ``scale``, among those for the single frames.
    """
    resizes = [
        (i, j)
        for i, step in enumerate(pipeline)
        for j, transform in enumerate(step.get('transforms', ()))
        if 'scale' in transform
    ]
    if len(resizes) != 1:
        raise InputError(
            f"the test pipeline has {len(resizes)} transforms with a 'scale' in a "
            'TransformBroadcaster; --tta needs one, which it repeats for each of tta.scales'
        )
    ((i, j),) = resizes
    frames, transforms = pipeline[i], pipeline[i]['transforms']
    sizes = [
        dict(frames, transforms=[dict(transforms[j], scale=scale), *transforms[j + 1 :]])
        for scale in scales
    ]
    flips = [dict(frames, transforms=[dict(type='RandomFlip', prob=prob)]) for prob in (0.0, 1.0)]
    rest = [[step] for step in pipeline[i + 1 :]]
    return [
        *pipeline[:i],
        dict(frames, transforms=transforms[:j]),
        dict(type='TestTimeAug', transforms=[sizes, *([flips] if flip else []), *rest]),
    ]
