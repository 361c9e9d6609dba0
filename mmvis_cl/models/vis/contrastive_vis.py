"""The video model: joins the image network, the embeddings, the association and the results."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby, repeat

import torch
from mmdet.models.mot import BaseMOTModel
from mmdet.structures import DetDataSample, TrackSampleList
from mmengine.structures import InstanceData
from torch import Tensor

from mmvis_cl.config.checks import check_keys
from mmvis_cl.errors import InputError
from mmvis_cl.models.detectors.deformable_detr import QueryStates, unpadded_samples
from mmvis_cl.models.task_modules.clip_objects import clip_objects
from mmvis_cl.models.tracking_heads.clip_contrastive_head import ClipContrastiveHead
from mmvis_cl.models.vis.video_session import VideoSession
from mmvis_cl.registry import MODELS
from mmvis_cl.structures import VideoResult

TEST_KEYS = (
    *('mask_nms_thr', 'result_score_thr', 'frames_per_pass', 'autocast'),
    *('score_mean', 'max_tracks', 'noise_from_frame', 'noise_min_frames'),
    *('greedy_nms', 'smooth_masks', 'mask_quality', 'join_thr', 'join_max_gap'),
    *('cuda_graph', 'tf32'),  # for the prepared model
)


@MODELS.register_module()
class ContrastiveVIS(BaseMOTModel):
    """Online video instance segmentation with contrastive embeddings.

    Training takes a key and a reference frame of each video: classes, boxes and masks are learned
    on the key frame, embeddings between the two. Or it takes clips, and all is learned on all
    frames. At test time the frames come in order.

    Args:
        detector (dict): the image network, a :class:`MaskDeformableDETR` or a
            :class:`QueryMaskFormer`.
        embed_head (dict): a :class:`ContrastiveHead`, for clips a :class:`ClipContrastiveHead`; its
            ``embed_dims`` is set.
        tracker (dict): a :class:`MemoryBankTracker`.
        test_cfg (dict): ``mask_nms_thr``, IoU of the mask NMS; ``result_score_thr``, each class of
            an identity with a score above it gives a track; ``score_mean``, what of the class
            scores is averaged over an identity's frames, 'probabilities' (if not given) or
            'logits'; ``max_tracks``, ``noise_from_frame`` and ``noise_min_frames``, see
            :class:`VideoResult`; ``greedy_nms``, ``smooth_masks`` and ``mask_quality``, see
            :class:`VideoSession` (not, if not given); ``frames_per_pass``, most
            frames that go through the network at once (8); ``autocast``, 'bfloat16' or 'float16'
            to run its matrix products and convolutions in (float32 if None or not given);
            ``cuda_graph``, let what :func:`prepare_for_inference` makes of the model repeat a pass
            as one CUDA graph (if not given, where the network can be recorded); ``tf32``, let its
            float32 products on a GPU use 10 of the 23 bits after the point (not if not given).
        both_ways (bool): let each frame of a pair be the key frame once. Not in the report, whose
            reference frame teaches only embeddings; twice the supervision for one pass through the
            network, for short training from scratch.
        data_preprocessor (dict, optional): a :class:`VISDataPreprocessor`.
        init_cfg (dict, optional): mmengine's initialisation config.

    Raises:
        InputError: ``frames_per_pass`` or ``autocast`` is out of range, or ``test_cfg`` has
            another key.
    """

    def __init__(
        self,
        detector: dict,
        embed_head: dict,
        tracker: dict,
        test_cfg: dict,
        both_ways: bool = False,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.detector = MODELS.build(detector)
        self.embed_head = MODELS.build(dict(embed_head, embed_dims=self.detector.embed_dims))
        self.tracker = MODELS.build(tracker)
        check_keys('test_cfg of ContrastiveVIS', test_cfg, TEST_KEYS)
        self.test_cfg = test_cfg
        if test_cfg.get('autocast') not in (None, 'bfloat16', 'float16'):
            raise InputError(
                f'test_cfg.autocast={test_cfg["autocast"]!r}: must be bfloat16, float16 or None'
            )
        if test_cfg.get('frames_per_pass', 1) < 1:
            raise InputError('test_cfg.frames_per_pass: at least 1 is needed')
        if test_cfg.get('score_mean', 'logits') not in ('probabilities', 'logits'):
            raise InputError(
                f'test_cfg has no score_mean={test_cfg["score_mean"]!r}; give probabilities or '
                'logits'
            )
        if not 0 <= (test_cfg.get('join_thr') or 0) < 1:
            raise InputError(
                f'test_cfg.join_thr={test_cfg["join_thr"]!r} is no cosine; give one from 0 to '
                'below 1, or None to join nothing'
            )
        self.both_ways = both_ways
        # The video that predict() is in; who watches several at once changes it between frames.
        self.session: VideoSession | None = None

    def loss(self, inputs: Tensor, data_samples: TrackSampleList, **kwargs) -> dict[str, Tensor]:
        """Losses of a batch of frame pairs, or of clips for a :class:`ClipContrastiveHead`.

        Args:
            inputs (Tensor): (N, 2, 3, H, W), key frame first; clips (N, T, 3, H, W) in order of
                time.
            data_samples (list[TrackDataSample]): N samples of 2 or T frames with ``gt_instances``
                (bboxes, labels, masks, instances_ids).

        Returns:
            dict[str, Tensor]: ``loss_cls``, ``loss_bbox``, ``loss_iou``, ``loss_mask``,
            ``loss_dice`` with ``d0.`` ... for the layers before the last, ``loss_embed``,
            ``loss_embed_aux``.
        """
        if isinstance(self.embed_head, ClipContrastiveHead):
            return self.loss_of_clips(inputs, data_samples)
        n = len(data_samples)
        samples = [sample[t] for t in (0, 1) for sample in data_samples]
        states = self.detector.query_states(inputs.transpose(0, 1).flatten(0, 1), samples)
        key = list(range(2 * n if self.both_ways else n))
        ref = [(i + n) % (2 * n) for i in key]
        keys, refs = ([samples[i] for i in index] for index in (key, ref))
        key_states = states.images(key)
        losses, matches = self.detector.loss_of_states(key_states, keys)

        key_embeds = [
            self.embed_head(key_states.states[-1, i, match.best_query[-1]])
            for i, match in enumerate(matches)
        ]
        losses |= self.embed_head.loss(
            key_embeds,
            self.embed_head(states.states[-1, ref]),
            states.logits[-1, ref].detach(),
            states.boxes[-1, ref].detach(),
            keys,
            refs,
        )
        return losses

    def loss_of_clips(self, inputs: Tensor, data_samples: TrackSampleList) -> dict[str, Tensor]:
        """See :meth:`loss`: classes, boxes and masks of all frames, embeddings of whole clips."""
        frames = [frame for clip in data_samples for frame in clip]
        states = self.detector.query_states(inputs.flatten(0, 1), frames)
        clips = [clip_objects(list(clip), self.detector.num_classes) for clip in data_samples]
        losses, queries = self.detector.loss_of_clips(states, frames, clips)
        embeds = self.embed_head(states.states[-1]).unflatten(0, inputs.shape[:2])
        return losses | self.embed_head.loss_of_clips(embeds, queries)

    def predict(
        self,
        inputs: Tensor,
        data_samples: TrackSampleList,
        states: Iterable[tuple[QueryStates, int]] | None = None,
        **kwargs,
    ) -> TrackSampleList:
        """Track the next frames of a video, or whole videos.

        Frames must come in order; frame 0 starts a video. Each frame's ``pred_track_instances`` is
        the state at that frame. With a video's last frame the sample also gets ``video_result``.
        The frames go through the network ``frames_per_pass`` at a time.

        Args:
            inputs (Tensor): (N, T, 3, H, W), N videos or N parts of T frames one after the other.
            data_samples (list[TrackDataSample]): N samples of T frames, with ``frame_id``,
                ``video_id``, ``ori_video_length``, ``img_shape``, ``ori_shape`` and, if the frames
                of the video are mirrored, ``flip``.
            states (Iterable, optional): of :meth:`frame_states`, where that was called before.

        Returns:
            list[TrackDataSample]: the samples with predictions: instances_id, labels, scores,
            bboxes (x1 y1 x2 y2 in original pixels) and masks (COCO RLE dicts).

        Raises:
            ValueError: a frame came out of order.
        """
        frames = [frame for sample in data_samples for frame in sample]
        states = iter(states or self.frame_states(inputs.flatten(0, 1), frames))
        for sample in data_samples:
            first = sample[0]
            if first.frame_id == 0:
                self.session = self.start_video(
                    first.video_id,
                    first.ori_video_length,
                    first.ori_shape,
                    flip=first.get('flip', False),
                )
            session = self.session
            if session is None or (first.video_id, first.frame_id) != (
                session.result.video_id,
                session.next_frame,
            ):
                raise ValueError(
                    f'frame {first.frame_id} of video {first.video_id} came out of order: frames '
                    'must come one by one from frame 0 (use TrackImgSampler)'
                )
            for frame in sample:
                frame.pred_track_instances = self.track_frame(
                    session, *next(states), frame.img_shape
                )
            if session.next_frame == first.ori_video_length:
                sample.set_metainfo(dict(video_result=session.result))
                self.session = None
        return data_samples

    def frame_states(
        self, inputs: Tensor, samples: list[DetDataSample]
    ) -> Iterator[tuple[QueryStates, int]]:
        """For each frame the states of its pass and its place in them; a pass when it is needed.

        A frame must not see how large the others of its batch are: frames of one size go together,
        with the padding that they have alone.
        """
        per_pass = self.test_cfg.get('frames_per_pass', 8)
        multiple = getattr(self.data_preprocessor, 'pad_size_divisor', None)
        for (h, w), run in groupby(range(len(samples)), lambda i: samples[i].img_shape[:2]):
            if multiple:
                h, w = (-(-side // multiple) * multiple for side in (h, w))
                inputs_of_size = inputs[..., :h, :w]
            else:
                inputs_of_size = inputs
            run = list(run)
            for i in range(run[0], run[-1] + 1, per_pass):
                end = min(i + per_pass, run[-1] + 1)
                states = self.query_states(inputs_of_size[i:end], samples[i:end])
                yield from zip(repeat(states), range(end - i))

    def _forward(self, inputs: Tensor, data_samples=None, **kwargs) -> dict[str, Tensor]:
        """Raw outputs of the last layer for all frames, nothing selected.

        Args:
            inputs (Tensor): (N, T, 3, H, W) or (T, 3, H, W); T below stands for all frames.
            data_samples (list[TrackDataSample], optional): with ``img_shape``; without them the
                frames count as unpadded.

        Returns:
            dict[str, Tensor]: ``pred_logits`` (T, Q, K), ``pred_boxes`` (T, Q, 4; cx cy w h over
            the unpadded size), ``pred_masks`` (T, Q, H / 4, W / 4), ``pred_embeds`` (T, Q, E),
            ``reference_points`` (T, Q, 2).
        """
        frames = inputs.flatten(0, -4)
        if data_samples is None:
            samples = unpadded_samples(frames)
        else:
            samples = [frame for sample in data_samples for frame in sample]
        with self._autocast(frames.device):
            states = self.detector.query_states(frames, samples)
            outputs = self.detector.raw_outputs(states, samples)
        return outputs | dict(pred_embeds=self.embed_head(states.states[-1]))

    def start_video(
        self, video_id: int | str, length: int, ori_shape: tuple[int, int], flip: bool = False
    ) -> VideoSession:
        """A session for a video of ``length`` frames of ``ori_shape`` (h, w), mirrored or not."""
        cfg = self.test_cfg
        of_result = ('max_tracks', 'noise_from_frame', 'noise_min_frames')
        of_result += ('join_thr', 'join_max_gap')
        of_session = ('greedy_nms', 'smooth_masks', 'mask_quality')
        if cfg.get('score_mean') == 'logits':
            scores_are = self.detector.class_logits_are
        else:
            scores_are = 'probabilities'
        result = VideoResult(
            video_id,
            length,
            tuple(ori_shape[:2]),
            score_thr=cfg['result_score_thr'],
            scores_are=scores_are,
            **{key: cfg[key] for key in of_result if key in cfg},
        )
        options = {key: cfg[key] for key in of_session if key in cfg}
        return VideoSession(result, self.tracker, cfg['mask_nms_thr'], flip=flip, **options)

    def _autocast(self, device: torch.device) -> AbstractContextManager:
        name = self.test_cfg.get('autocast')
        if name is None:  # as it is around: a test loop may have one of its own
            return nullcontext()
        return torch.autocast(device.type, getattr(torch, name))

    @torch.no_grad()
    def query_states(self, frames: Tensor, samples: list[DetDataSample]) -> QueryStates:
        """Run the network on frames (T, 3, H, W) at once, in the precision of the test."""
        with self._autocast(frames.device):
            return self.detector.query_states(frames, samples, last_layer=True)

    def track_frames(
        self, session: VideoSession, frames: Tensor, samples: list[DetDataSample]
    ) -> list[InstanceData]:
        """Run the network on some frames at once, then associate them one after the other.

        Args:
            session (VideoSession): of the video; it is brought up to date.
            frames (Tensor): (T, 3, H, W) normalised, padded.
            samples (list[DetDataSample]): T samples with ``img_shape``.

        Returns:
            list[InstanceData]: of each frame, its identities; see :meth:`predict`.
        """
        states = self.query_states(frames, samples)
        return [
            self.track_frame(session, states, t, sample.img_shape)
            for t, sample in enumerate(samples)
        ]

    @torch.no_grad()
    def track_frame(
        self, session: VideoSession, states: QueryStates, t: int, img_shape: tuple[int, int]
    ) -> InstanceData:
        """Select, associate and record the detections of one frame.

        Args:
            session (VideoSession): of the video; it is brought up to date.
            states (QueryStates): of some frames.
            t (int): which of them.
            img_shape (tuple[int, int]): h, w without padding.

        Returns:
            InstanceData: the identities of the frame.
        """
        detector, device = self.detector, states.states.device
        index, prob = detector.confident_queries(states, t)
        chosen = index.to(device, non_blocking=True)
        with self._autocast(device):
            masks = detector.mask_logits(states, t, chosen, img_shape)
        embeds = self.embed_head(states.states[-1, t, chosen])
        boxes = detector.query_boxes(states, t, index, masks)
        class_scores = None
        if self.test_cfg.get('score_mean') == 'logits':
            class_scores = detector.class_logits(states, t, index)
        return session.add_frame(prob, boxes, embeds, masks, img_shape, class_scores)
