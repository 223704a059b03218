"""What the vision tower found in pictures seen lately, least recently used first out. Modes share it: they differ
only later.
"""

from __future__ import annotations

from collections import OrderedDict

import torch


class FeatureCache:
    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.num_bytes = 0
        self.hits = self.misses = 0
        self._features: OrderedDict[bytes, torch.Tensor] = OrderedDict()

    def get(self, key: bytes) -> torch.Tensor | None:
        features = self._features.get(key)
        if features is None:
            self.misses += 1
        else:
            self.hits += 1
            self._features.move_to_end(key)
        return features

    def put(self, key: bytes, features: torch.Tensor) -> None:
        """Keeps `features` unless they alone are larger than the cache."""
        if key in self._features or features.nbytes > self.capacity_bytes:
            return
        self._features[key] = features
        self.num_bytes += features.nbytes
        while self.num_bytes > self.capacity_bytes:
            _, dropped = self._features.popitem(last=False)
            self.num_bytes -= dropped.nbytes

    def clear(self) -> None:
        self._features.clear()
        self.num_bytes = 0

    def check(self) -> None:
        assert self.num_bytes == sum(features.nbytes for features in self._features.values())
