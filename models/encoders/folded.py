"""Convolutions with batch norm and activation, computed as one operation where no gradient is needed.

Shapes: B clips, K channels, F mel bands, T frames.
"""

from typing import Any

import torch
from torch import Tensor, nn

LARGEST_WEIGHT = (
    1e6  # larger ones are damaged; oneDNN's activations would hide that maps overflow, which torch's show as NaN
)
ACTIVATIONS: dict[type[nn.Module], str] = {nn.Hardswish: "hardswish", nn.ReLU: "relu", nn.Identity: "none"}


class ConvolutionNorm(nn.Sequential):
    """Convolution without bias, batch norm and activation (`nn.Hardswish`, `nn.ReLU` or `nn.Identity`).

    In evaluation mode, without gradients, in float32 on a CPU, the scale of the batch norm is folded into the weights, and oneDNN
    applies the activation to each value that it computes: maps are written once instead of three times, and small maps do
    not fall back to torch's slow convolution. Results differ by rounding.

    Args:
        convolution: convolution with zero padding and no dilation.
        norm: batch norm of its output.
        activation: activation of the norm's output.
    """

    def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d, activation: nn.Module) -> None:
        super().__init__(convolution, norm, activation)
        self._folded: Folded | None = None

    def train(self, mode: bool = True) -> "ConvolutionNorm":
        """Set the mode; weights are folded again when they are next needed."""
        self._folded = None
        return super().train(mode)

    def _apply(self, *arguments: Any, **options: Any) -> "ConvolutionNorm":
        """Move or convert the tensors, which `nn.Module.to` does; weights are folded again."""
        self._folded = None
        return super()._apply(*arguments, **options)

    def forward(self, maps: Tensor) -> Tensor:
        """Compute maps (B, K', F', T') of maps (B, K, F, T)."""
        if self._is_foldable(maps):
            if self._folded is None or not self._folded.is_current():
                self._folded = Folded(self[0], self[1], self[2])
            if not self._folded.may_overflow:
                return self._folded(maps)
        output: Tensor = super().forward(maps)
        return output

    def _is_foldable(self, maps: Tensor) -> bool:
        return not (
            self.training
            or torch.is_grad_enabled()
            or type(maps) is not Tensor
            or maps.device.type != "cpu"
            or maps.dtype != torch.float32
            or torch.is_autocast_enabled("cpu")
            or torch.jit.is_tracing()  # exported networks have standard operators
            or not torch.backends.mkldnn.is_available()
        )


class Folded:
    """A convolution whose weights and bias include the batch norm, followed by its activation.

    Args:
        convolution: convolution without bias.
        norm: batch norm in evaluation mode.
        activation: a module of a class in ACTIVATIONS.

    Attributes:
        may_overflow: whether weights are so large that maps may overflow.
    """

    def __init__(self, convolution: Any, norm: Any, activation: nn.Module) -> None:
        self._made_of = [convolution.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var]
        self._numbers = convolution.weight.detach().numpy()  # a view
        self._places = [self._numbers.size * eighth // 8 for eighth in range(8)]
        self._state = self._state_now()
        weight, scale, shift, mean, variance = (one.detach() for one in self._made_of)
        factor = scale * torch.rsqrt(variance + norm.eps)
        self._weight = (weight * factor[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        self._bias = shift - mean * factor
        self.may_overflow = not float(max(self._weight.abs().max(), self._bias.abs().max())) < LARGEST_WEIGHT
        self._padding, self._stride = list(convolution.padding), list(convolution.stride)
        self._dilation, self._groups = list(convolution.dilation), convolution.groups
        self._activation = ACTIVATIONS[type(activation)]

    def is_current(self) -> bool:
        """Return whether the tensors have kept their values."""
        return self._state == self._state_now()

    def _state_now(self) -> list[float]:
        """Address, version counters and some of the weights, which detect changes through `.data`."""
        # Reading them from the tensor takes fifty times as long.
        some = [self._numbers.item(place) for place in self._places]
        return [self._made_of[0].data_ptr(), *(one._version for one in self._made_of), *some]

    def __call__(self, maps: Tensor) -> Tensor:
        """Compute maps (B, K', F', T') of maps (B, K, F, T), float32 on the CPU."""
        found: Tensor = torch.ops.mkldnn._convolution_pointwise(
            maps,
            self._weight,
            self._bias,
            self._padding,
            self._stride,
            self._dilation,
            self._groups,
            self._activation,
            [],
            None,
        )
        return found
