"""Modules whose buffers keep their digits in a network of half precision."""

from collections.abc import Callable

from torch import Tensor, nn


class FullPrecisionBuffers(nn.Module):
    """A module without parameters that `half()` and `bfloat16()` move with the network, but leave in float32.

    Windows and filters of spectrograms and frequencies of rotary positions lose more in half precision than weights do, and the
    transforms that take them accept float32 alone.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FullPrecisionBuffers":
        """Apply a conversion or a move to the buffers, then restore their type and their digits."""
        exact = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            moved = self._buffers[name]
            if buffer is not None and moved is not None and moved.dtype != buffer.dtype:
                self._buffers[name] = buffer.to(moved.device)
        return self
