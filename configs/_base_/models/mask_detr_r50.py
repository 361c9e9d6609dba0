# The image network of ContrastiveVIS alone, a detector like any other of mmdet: no pairs, no
# embeddings, no tracker. Its weights start a ContrastiveVIS by detector.init_cfg.
_base_ = './contrastive_vis_r50.py'

model = dict(
    _delete_=True,
    data_preprocessor=dict(_base_.model.data_preprocessor, type='DetDataPreprocessor'),
    **_base_.model.detector,
)
