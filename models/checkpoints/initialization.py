"""Networks without initial values, for weights that a checkpoint has: drawing random ones takes longer than reading the file."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode


class NoInitialization(TorchFunctionMode):
    """Context in which the functions of `torch.nn.init` leave tensors as they are; every one must be loaded afterwards."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, unless it initializes its tensor, which is returned then."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
