"""The method as SVG pictures whose boxes link to the documentation of their code."""

from dataclasses import dataclass
from html import escape

BOX_WIDTH, BOX_HEIGHT = 236, 92
TITLE, LINE = 19, 17  # sizes of the text, for a page on which the picture is made smaller
# By role: data, network, learning, association. Light fills, so that black text reads on them in
# the light and in the dark scheme.
FILLS = dict(data='#e9ecef', network='#d0e4f7', learning='#fde2c4', association='#d3efd9')


@dataclass
class Box:
    """A box of a picture.

    Attributes:
        x: Of its left side.
        y: Of its upper side.
        title: First line.
        lines: Smaller lines below.
        role: Key of FILLS.
        target: Page of the reference and dotted path, as 'models mmvis_cl.registry'.
    """

    x: int
    y: int
    title: str
    lines: tuple[str, ...]
    role: str
    target: str = ''

    def svg(self) -> str:
        """The box, inside a link if it has a target."""
        middle = self.x + BOX_WIDTH / 2
        top = self.y + BOX_HEIGHT / 2 - (LINE + 4) / 2 * len(self.lines) + TITLE / 3
        text = f'<text x="{middle}" y="{top}" font-weight="bold">{escape(self.title)}</text>'
        for number, line in enumerate(self.lines, 1):
            text += (
                f'<text x="{middle}" y="{top + (LINE + 4) * number}" font-size="{LINE}">'
                f'{escape(line)}</text>'
            )
        shape = (
            f'<rect x="{self.x}" y="{self.y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="6" '
            f'fill="{FILLS[self.role]}" stroke="#495057"/>'
        )
        if not self.target:
            return shape + text
        page, path = self.target.split()
        return f'<a href="reference/{page}.html#{path}"><title>{path}</title>{shape}{text}</a>'


def _side(box: Box, side: str) -> tuple[float, float]:
    return {
        'left': (box.x, box.y + BOX_HEIGHT / 2),
        'right': (box.x + BOX_WIDTH, box.y + BOX_HEIGHT / 2),
        'top': (box.x + BOX_WIDTH / 2, box.y),
        'bottom': (box.x + BOX_WIDTH / 2, box.y + BOX_HEIGHT),
    }[side]


def _arrow(boxes: dict[str, Box], arrow: tuple[str, ...]) -> str:
    """A line 'from side to side' with a head and, if given, a label at its middle."""
    start, start_side, end, end_side, *label = arrow
    (x1, y1), (x2, y2) = _side(boxes[start], start_side), _side(boxes[end], end_side)
    line = f'<path d="M{x1} {y1} L{x2} {y2}" class="arrow" marker-end="url(#head)"/>'
    if label:
        line += (
            f'<text x="{(x1 + x2) / 2 + 6}" y="{(y1 + y2) / 2 + 4}" class="label">'
            f'{escape(label[0])}</text>'
        )
    return line


def _picture(title: str, boxes: dict[str, Box], arrows: list[tuple[str, ...]]) -> str:
    width = max(box.x for box in boxes.values()) + BOX_WIDTH + 10
    height = max(box.y for box in boxes.values()) + BOX_HEIGHT + 10
    # On one line: Markdown ends a block of HTML at an empty line.
    return ''.join(
        (
            '<div class="picture"><svg xmlns="http://www.w3.org/2000/svg" ',
            f'viewBox="0 0 {width} {height}" role="img" ',
            f'font-family="sans-serif" font-size="{TITLE}" text-anchor="middle" fill="#111">',
            f'<title>{escape(title)}</title>',
            '<style>.arrow{stroke:#868e96;stroke-width:2;fill:none}',
            '.label{font-size:17px;fill:#868e96;text-anchor:start}a:hover rect{stroke-width:3}',
            '</style><defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" ',
            'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#868e96"/></marker>',
            '</defs>',
            *(_arrow(boxes, arrow) for arrow in arrows),
            *(box.svg() for box in boxes.values()),
            '</svg></div>',
        )
    )


def tracking() -> str:
    """What happens to a frame at test time."""
    column = [10, 286, 562, 838]
    row = [10, 140, 270, 400]
    boxes = dict(
        frame=Box(
            column[0],
            row[0],
            'frame',
            ('loaded, resized, padded',),
            'data',
            'datasets mmvis_cl.datasets.transforms.resize.AlignedResize',
        ),
        backbone=Box(
            column[1],
            row[0],
            'backbone',
            ('maps at strides 8, 16, 32',),
            'network',
            'models mmvis_cl.models.backbones.timm_backbone.TimmBackbone',
        ),
        detr=Box(
            column[2],
            row[0],
            'Deformable DETR',
            ('encoder, decoder', '300 queries'),
            'network',
            'models mmvis_cl.models.detectors.deformable_detr.MaskDeformableDETR',
        ),
        attention=Box(
            column[3],
            row[0],
            'deformable attention',
            ('gathered rows where mmcv', 'has no CUDA op'),
            'network',
            'models mmvis_cl.models.layers.deformable_attention.GatherDeformableAttention',
        ),
        query=Box(
            column[1],
            row[1],
            'class and box',
            ('a branch for each layer',),
            'network',
            'models mmvis_cl.models.dense_heads.query_head.QueryHead',
        ),
        mask=Box(
            column[2],
            row[1],
            'mask',
            ('each query writes the', 'weights that draw it'),
            'network',
            'models mmvis_cl.models.dense_heads.dynamic_mask_head.DynamicMaskHead',
        ),
        embed=Box(
            column[3],
            row[1],
            'embedding',
            ('one vector a query',),
            'network',
            'models mmvis_cl.models.tracking_heads.contrastive_head.ContrastiveHead',
        ),
        keep=Box(
            column[1],
            row[2],
            'queries kept',
            ('score, box NMS, mask NMS',),
            'association',
            'models mmvis_cl.models.vis.contrastive_vis.ContrastiveVIS',
        ),
        tracker=Box(
            column[2],
            row[2],
            'identities',
            ('similarity to the bank,', 'best first'),
            'association',
            'models mmvis_cl.models.trackers.memory_bank_tracker.MemoryBankTracker',
        ),
        bank=Box(
            column[3],
            row[2],
            'memory bank',
            ('the last 3 embeddings', 'of each identity'),
            'association',
            'models mmvis_cl.models.trackers.memory_bank.MemoryBank',
        ),
        result=Box(
            column[2],
            row[3],
            'tracks',
            ('RLE masks, class scores', 'averaged over time'),
            'data',
            'structures mmvis_cl.structures.video_result.VideoResult',
        ),
        metric=Box(
            column[1],
            row[3],
            'AP of tracks',
            ('or files, or a video',),
            'data',
            'evaluation mmvis_cl.evaluation.vis_metric.VISMetric',
        ),
        merge=Box(
            column[3],
            row[3],
            'merging',
            ('several sizes or models',),
            'data',
            'structures mmvis_cl.structures.merge_tracks',
        ),
    )
    return _picture(
        'From a frame to tracks',
        boxes,
        [
            ('frame', 'right', 'backbone', 'left'),
            ('backbone', 'right', 'detr', 'left'),
            ('attention', 'left', 'detr', 'right'),
            ('detr', 'bottom', 'query', 'top'),
            ('detr', 'bottom', 'mask', 'top'),
            ('detr', 'bottom', 'embed', 'top'),
            ('query', 'bottom', 'keep', 'top'),
            ('mask', 'bottom', 'keep', 'top'),
            ('keep', 'right', 'tracker', 'left'),
            ('embed', 'bottom', 'tracker', 'top'),
            ('bank', 'left', 'tracker', 'right'),
            ('tracker', 'bottom', 'result', 'top'),
            ('result', 'left', 'metric', 'right'),
            ('result', 'right', 'merge', 'left'),
        ],
    )


def training() -> str:
    """What is learned from a pair of frames."""
    column = [10, 286, 562, 838]
    row = [10, 140, 270]
    boxes = dict(
        video=Box(
            column[0],
            row[0],
            'video',
            ('YouTube-VIS JSON',),
            'data',
            'datasets mmvis_cl.datasets.youtube_vis.VISDataset',
        ),
        sample=Box(
            column[1],
            row[0],
            'key and reference',
            ('two frames at most', '10 apart'),
            'data',
            'datasets mmvis_cl.datasets.transforms.frame_sampling.KeyRefFrameSample',
        ),
        image=Box(
            column[0],
            row[1],
            'image',
            ('COCO',),
            'data',
            'datasets mmvis_cl.datasets.coco_images.COCOImages',
        ),
        pseudo=Box(
            column[1],
            row[1],
            'pseudo pair',
            ('one image, augmented twice',),
            'data',
            'datasets mmvis_cl.datasets.transforms.pseudo_pair.PseudoPair',
        ),
        network=Box(
            column[2],
            row[0],
            'image network',
            ('same weights for both',),
            'network',
            'models mmvis_cl.models.detectors.deformable_detr.MaskDeformableDETR',
        ),
        match=Box(
            column[3],
            row[0],
            'matching',
            ('several queries an object',),
            'learning',
            'models mmvis_cl.models.task_modules.ota_assigner.OTAAssigner',
        ),
        losses=Box(
            column[3],
            row[1],
            'class, box, mask',
            ('focal, L1 and GIoU, dice;', 'key frame only'),
            'learning',
            'models mmvis_cl.models.losses.focal_loss.SigmoidFocalLoss',
        ),
        select=Box(
            column[2],
            row[1],
            'positives, negatives',
            ('queries of the reference', 'frame, by two matchings'),
            'learning',
            'models mmvis_cl.models.tracking_heads.reference_selector.ReferenceSelector',
        ),
        contrast=Box(
            column[2],
            row[2],
            'contrastive loss',
            ('log-sum-exp over pairs',),
            'learning',
            'models mmvis_cl.models.losses.contrastive_loss.LogSumExpContrastiveLoss',
        ),
        cosine=Box(
            column[3],
            row[2],
            'auxiliary loss',
            ('cosine towards 1 and 0',),
            'learning',
            'models mmvis_cl.models.losses.contrastive_loss.AuxiliaryCosineLoss',
        ),
    )
    return _picture(
        'From a pair of frames to losses',
        boxes,
        [
            ('video', 'right', 'sample', 'left'),
            ('image', 'right', 'pseudo', 'left'),
            ('sample', 'right', 'network', 'left'),
            ('pseudo', 'right', 'network', 'left'),
            ('network', 'right', 'match', 'left'),
            ('match', 'bottom', 'losses', 'top'),
            ('network', 'bottom', 'select', 'top'),
            ('select', 'bottom', 'contrast', 'top'),
            ('select', 'bottom', 'cosine', 'top'),
        ],
    )


PICTURES = dict(tracking=tracking, training=training)
