"""A pretend accelerator: tensors that report the device "fakegpu:0" and hold their numbers on the CPU.

As on CUDA, operations that mix devices raise. Copies between the host and the device, and reads of single numbers, are
counted: on a real accelerator each of them waits until the device is done. Importing this module registers the device for
the whole process, so that tests run it in a process of its own.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

backend_registration._DummyBackendModule.get_amp_supported_dtype = lambda self: [torch.bfloat16, torch.float16]
backend_registration._setup_privateuseone_for_python_backend("fakegpu")
DEVICE = torch.device("fakegpu:0")
COUNTS = {"to_device": 0, "to_host": 0, "reads": 0}
COPIES = ("aten::_to_copy", "aten::copy_", "aten::lift_fresh", "aten::detach", "aten::alias")
INDEXING = ("aten::index", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_", "aten::_unsafe_index")
READS = ("aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::nonzero")


class DeviceTensor(torch.Tensor):
    """A tensor on the pretend device; its numbers are in `held`, on the CPU."""

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "DeviceTensor":
        tensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
            requires_grad=False,
        )
        tensor.held = held
        return tensor

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    def tolist(self) -> Any:
        COUNTS["reads"] += 1
        return self.held.tolist()

    def numpy(self, *_arguments: Any, **_options: Any) -> Any:
        raise TypeError("can't convert fakegpu:0 device type tensor to numpy. Use Tensor.cpu() first")

    __array__ = numpy

    def __repr__(self) -> str:
        return f"DeviceTensor({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return dispatch(func, args, kwargs or {})


class PretendAccelerator(TorchDispatchMode):
    """While entered, tensors can be made on the pretend device and copied to it."""

    def __enter__(self) -> "PretendAccelerator":
        self._lifts = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        torch._C._set_only_lift_cpu_tensors(self._lifts)
        super().__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        return dispatch(func, args, kwargs or {})


def dispatch(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Run an operation on the held numbers, as the device would, or raise as it would."""
    name = func._schema.name
    flat, layout = pytree.tree_flatten((args, kwargs))
    on_device = [value for value in flat if isinstance(value, DeviceTensor)]
    on_host = [value for value in flat if isinstance(value, torch.Tensor) and not isinstance(value, DeviceTensor)]
    wanted = None if kwargs.get("device") is None else torch.device(kwargs["device"])
    result_on_device = bool(on_device) if wanted is None else wanted.type == DEVICE.type
    if on_device and name not in (*COPIES, *INDEXING) and any(tensor.dim() for tensor in on_host):
        raise RuntimeError(f"Expected all tensors to be on the same device: {name} got {DEVICE} and cpu")
    if name in INDEXING and on_device and not isinstance(args[0], DeviceTensor):
        raise RuntimeError(f"{name}: indices on {DEVICE} for a tensor on the CPU")
    generator = kwargs.get("generator")
    if result_on_device and generator is not None and generator.device.type == "cpu":
        raise RuntimeError(f"{name}: expected a {DEVICE.type} generator but found cpu")
    if name == "aten::copy_":
        result_on_device = isinstance(args[0], DeviceTensor)
        COUNTS["to_device"] += result_on_device and not isinstance(args[1], DeviceTensor)
        COUNTS["to_host"] += not result_on_device and bool(on_device)
    elif name == "aten::_to_copy" and wanted is not None:
        COUNTS["to_device"] += result_on_device and bool(on_host)
        COUNTS["to_host"] += not result_on_device and bool(on_device)
    elif name in READS:
        COUNTS["reads"] += bool(on_device)
    plain = [_held(value) for value in flat]
    args_held, kwargs_held = pytree.tree_unflatten(plain, layout)
    result = func(*args_held, **kwargs_held)
    if not result_on_device:
        return result
    result = pytree.tree_map(lambda value: DeviceTensor(value) if isinstance(value, torch.Tensor) else value, result)
    if not on_device:
        return result
    try:
        return return_and_correct_aliasing(func, args, kwargs, result)
    except (AssertionError, RuntimeError):  # operations without a schema of their aliases
        return result


def _held(value: Any) -> Any:
    if isinstance(value, DeviceTensor):
        return value.held
    return torch.device("cpu") if isinstance(value, torch.device) and value.type == DEVICE.type else value


def reset_counts() -> None:
    """Begin to count anew."""
    COUNTS.update(dict.fromkeys(COUNTS, 0))
