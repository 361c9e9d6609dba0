# The same for Swin, whose norms and tables of window positions learn at the backbone's rate and do
# not decay.
_base_ = './ctvis_16k.py'

in_backbone = dict(lr_mult=0.1, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'relative_position_bias_table': in_backbone,
            'patch_embed.norm': in_backbone,
            'downsample.norm': in_backbone,
            'norm0.weight': in_backbone,
            'norm0.bias': in_backbone,
            'norm1.weight': in_backbone,
            'norm1.bias': in_backbone,
            'norm2.weight': in_backbone,
            'norm2.bias': in_backbone,
            'norm3.weight': in_backbone,
            'norm3.bias': in_backbone,
        }
    )
)
