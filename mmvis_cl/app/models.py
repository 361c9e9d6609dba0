"""The models that people choose from; one is in memory."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mmvis_cl.errors import InputError

if TYPE_CHECKING:
    from mmvis_cl.apis import VISInferencer


class Models:
    """Weights by the names that the page shows, of which the one that was chosen last is loaded.

    Args:
        weights: Files, names or addresses, as of ``mmvis-cl track --weights``.
        configs: One for all of them, or one for each; empty where the weights know theirs.
        device: As of :class:`~mmvis_cl.apis.VISInferencer`.
        amp: As of :class:`~mmvis_cl.apis.VISInferencer`.

    Attributes:
        names (list[str]): to choose from. No folder of this machine is in them.

    Raises:
        InputError: There are neither one nor as many configs as weights.
    """

    def __init__(
        self,
        weights: Sequence[str],
        configs: Sequence[str] = (),
        device: str | None = None,
        amp: bool = False,
    ) -> None:
        if len(configs) not in (0, 1, len(weights)):
            raise InputError(
                f'--config: {len(configs)} configs for {len(weights)} weights; give one for all, '
                'or one for each in their order'
            )
        of_each: list[str | None] = list(configs)
        if len(configs) != len(weights):
            of_each = [configs[0] if configs else None] * len(weights)
        self._given: dict[str, tuple[str, str | None]] = {}
        for file, config in zip(weights, of_each, strict=True):
            name = stem = os.path.basename(file) or file
            number = 2
            while name in self._given:
                name, number = f'{stem} ({number})', number + 1
            self._given[name] = file, config
        self._device, self._amp = device, amp
        self._loaded: tuple[str, VISInferencer] | None = None

    @property
    def names(self) -> list[str]:
        """What there is to choose from."""
        return list(self._given)

    def get(self, name: str) -> 'VISInferencer':
        """The model of a name, which is loaded if it is not the one that was asked for last.

        Raises:
            InputError: See :class:`~mmvis_cl.apis.VISInferencer`.
        """
        from mmvis_cl.apis import VISInferencer

        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None  # two need not fit into memory
            weights, config = self._given[name]
            self._loaded = (
                name,
                VISInferencer(config, weights, self._device, amp=self._amp),
            )
        return self._loaded[1]
