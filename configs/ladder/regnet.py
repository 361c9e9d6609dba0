# The ladder's second backbone: a RegNetX of about the size of the first, a ResNet-18 of half width.
regnet = dict(
    backbone=dict(
        _delete_=True,
        type='TimmBackbone',
        model_name='regnetx_002',
        out_indices=(2, 3, 4),
        strides=(8, 16, 32),
    ),
    neck=dict(in_channels=[56, 152, 368]),
)
