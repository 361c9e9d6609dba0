"""The weights that have a name: a row each, with what their authors say of them."""

from typing import NamedTuple

IDOL_PAGE = 'https://github.com/wjf5203/VNext/blob/main/projects/IDOL/IDOL.md'
CTVIS_PAGE = 'https://github.com/KainingYing/CTVIS'
MASK2FORMER = 'https://dl.fbaipublicfiles.com/maskformer/mask2former/coco/instance'


class KnownWeights(NamedTuple):
    """A checkpoint that somebody published.

    Attributes:
        name: What stands for it.
        source: Address: ``https://``, ``gdrive:ID`` or ``hf://owner/name/file``; None if it can
            only be fetched by hand, from ``page``.
        page: Where its authors tell of it.
        config: Name of the config that it fits; None for what a training starts from.
        data: What it was trained on.
        ap: AP as its authors published it, on the validation set of ``data``; None if they do not
            say, or for a pretraining.
        licence: Of the release that it belongs to, as that states it; None where it states none
            that we know of.
        size: Bytes; None where nobody says.
        sha256: Of the file, in hex; None where nobody says.
    """

    name: str
    source: str | None
    page: str
    config: str | None
    data: str
    ap: float | None
    licence: str | None = None
    size: int | None = None
    sha256: str | None = None


def _idol(name: str, drive: str, config: str | None, data: str, ap: float | None) -> KnownWeights:
    return KnownWeights(f'idol-{name}', f'gdrive:{drive}', IDOL_PAGE, config, data, ap)


def _ctvis(name: str, config: str, data: str, ap: float) -> KnownWeights:
    return KnownWeights(f'ctvis-{name}', None, CTVIS_PAGE, f'ctvis/{config}', data, ap, 'MIT')


_2019, _2021, _OVIS, _COCO = 'YouTube-VIS 2019', 'YouTube-VIS 2021', 'OVIS', 'COCO'
KNOWN = {
    weights.name: weights
    for weights in (
        _idol('r50-ytvis19', '1FFbrfbK1oN4zTO5q_cw3zws2Z2Ppuzv7', 'r50_ytvis19', _2019, 49.3),
        _idol(
            'r50-ytvis19-second', '1BAZX99coA23RPrK8He3hDx59j11N7bUa', 'r50_ytvis19', _2019, 50.2
        ),
        _idol('r101-ytvis19', '1T8S3_tZRcMJ1c5ioe3MGUNwKg9UP5ROW', 'r101_ytvis19', _2019, 50.1),
        _idol('swin-l-ytvis19', '1Otlq8eqb_xg0eRF5dQHyxKvuEceOgwBk', 'swin-l_ytvis19', _2019, 64.3),
        _idol('r50-ytvis21', '1GqE7HEaJZCqUogsNi52vp_9NVEsiJwxL', 'r50_ytvis21', _2021, 47.7),
        _idol('r101-ytvis21', '1hYu32qR95QiZLKz40tsXrM_vsC9dcLLe', 'r101_ytvis21', _2021, 48.5),
        _idol('swin-l-ytvis21', '17CSYz31VvaD-3RjLo3x5JjD-wL3zcDSq', 'swin-l_ytvis21', _2021, 60.8),
        _idol('r50-ovis', '1CalS2qLNm1MRlNdWkKhAKvS4CyM7vHTv', 'r50_ovis', _OVIS, 29.5),
        _idol('swin-l-ovis', '1XXr5bx3CEwyurQvO4B8XMn2t6awYodGw', 'swin-l_ovis', _OVIS, 41.4),
        _idol('r50-coco', '1ip-pxavMcyWOxfBcl_4cUIBKXRTA4wrO', None, _COCO, None),
        _idol('r101-coco', '1Gm162LthxorsS6pMX_XoVTn5iDAAMWbU', None, _COCO, None),
        _idol('swin-l-coco', '1o-q4WIcMn_D5p1tSubJBWlPAnJLQ5Cbb', None, _COCO, None),
        _ctvis('r50-ytvis19', 'r50_ytvis19', _2019, 55.2),
        _ctvis('r50-ytvis21', 'r50_ytvis21', _2021, 50.1),
        _ctvis('r50-ovis', 'r50_ovis', _OVIS, 35.5),
        _ctvis('swin-l-ytvis19', 'swin-l_ytvis19', _2019, 65.6),
        _ctvis('swin-l-ytvis21', 'swin-l_ytvis21', _2021, 61.2),
        _ctvis('swin-l-ovis', 'swin-l_ovis', _OVIS, 46.9),
        KnownWeights(
            'mask2former-r50-coco',
            f'{MASK2FORMER}/maskformer2_R50_bs16_50ep/model_final_3c8ec9.pkl',
            'https://github.com/facebookresearch/Mask2Former/blob/main/MODEL_ZOO.md',
            *(None, _COCO, None),
        ),
        KnownWeights(
            'mask2former-swin-l-coco',
            f'{MASK2FORMER}/maskformer2_swin_large_IN21k_384_bs16_100ep/model_final_e5f453.pkl',
            'https://github.com/facebookresearch/Mask2Former/blob/main/MODEL_ZOO.md',
            *(None, _COCO, None),
        ),
    )
}
