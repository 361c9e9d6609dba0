# CTVIS's training of the embeddings and the memory that goes with it, for the report's network.
# Beside a base with the network: model = _base_.clip_training
clip_training = dict(
    embed_head=dict(
        _delete_=True,
        type='ClipContrastiveHead',
        loss_embed=dict(type='LogSumExpContrastiveLoss', loss_weight=2.0),
        loss_embed_aux=dict(
            type='AuxiliaryCosineLoss', negatives_per_positive=None, loss_weight=3.0
        ),
    ),
    tracker=dict(memory='guided', memory_len=10),
)
