"""The configs of COCO's stages with the small network, on tests/coco_files.py, on a CPU."""

from pathlib import Path

from mmengine.config import Config

CONFIGS = Path(__file__).parents[1] / 'configs' / 'vis_cl'


def small_config(name: str, root: Path, work_dir: Path, iterations: int = 1) -> Config:
    """``configs/vis_cl/NAME.py`` with the network of small_moving-shapes.py, small images, and
    short training.

    Args:
        name: r50_coco or r50_coco-pseudo.
        root: of the COCO tree.
        work_dir: for logs and checkpoints.
        iterations: of training, of two samples each.
    """
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    small = Config.fromfile(CONFIGS / 'small_moving-shapes.py').model.to_dict()
    own = cfg.model.get('detector', cfg.model)
    small['detector']['bbox_head']['num_classes'] = own.bbox_head.num_classes
    if 'detector' in cfg.model:
        small['detector']['init_cfg'] = own.init_cfg
        cfg.model = small
    else:
        small['detector']['test_cfg'] = own.test_cfg
        cfg.model = dict(small['detector'], data_preprocessor=cfg.model.data_preprocessor)
    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
    cfg.merge_from_dict({'default_hooks.logger.interval': 1})
    cfg.launcher, cfg.work_dir = 'none', str(work_dir)
    cfg.visualizer.name = str(work_dir)  # mmengine keeps one of each name
    train = cfg.train_dataloader.dataset.pipeline
    train = train[1].transforms if train[0].type == 'PseudoPair' else train
    next(t for t in train if t.type == 'RandomChoiceResize').scales = [(160, 60), (160, 90)]
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if loader is not None:
            loader.update(num_workers=0, persistent_workers=False)
            loader.dataset.data_root = str(root)
    cfg.train_dataloader.batch_size = 2
    if cfg.get('val_evaluator'):
        cfg.val_dataloader.dataset.pipeline[1].scale = (160, 90)
        path = str(root / cfg.val_dataloader.dataset.ann_file)
        cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = path
    return cfg
