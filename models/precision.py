"""Modules whose buffers stay in float32 in a half-precision network."""

from collections.abc import Callable

from torch import Tensor, nn


class FullPrecisionBuffers(nn.Module):
    """A module without parameters whose buffers stay in float32 under `half()` and `bfloat16()`.

    Windows and filters of spectrograms and rotary frequencies lose more accuracy in half precision than weights do, and the
    transforms that use them only support float32.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FullPrecisionBuffers":
        """Apply a conversion or a move to the buffers, then restore their dtype and values."""
        exact = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            moved = self._buffers[name]
            if buffer is not None and moved is not None and moved.dtype != buffer.dtype:
                self._buffers[name] = buffer.to(moved.device)
        return self
