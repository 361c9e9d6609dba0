# The image network of ContrastiveVIS alone, see mask_detr_r50.py.
_base_ = './contrastive_vis_swin-l.py'

model = dict(
    _delete_=True,
    data_preprocessor=dict(_base_.model.data_preprocessor, type='DetDataPreprocessor'),
    **_base_.model.detector,
)
