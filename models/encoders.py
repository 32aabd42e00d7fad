"""Every encoder by name, and the one place that builds them."""

from collections.abc import Callable
from pathlib import Path

from configs.schema import EncoderConfig
from models.cnn14 import Cnn14
from models.encoder import AudioEncoder, read_weights
from models.errors import CheckpointError
from models.mobilenet import MobileNet

ENCODERS: dict[str, Callable[[EncoderConfig], AudioEncoder]] = {"cnn14": Cnn14, "mobilenet": MobileNet}


def build_encoder(config: EncoderConfig) -> AudioEncoder:
    """The encoder that a configuration names, with its published weights when a file is given.

    Raises:
        CheckpointError: the file is missing, damaged, another one than the checkpoint was made with, or does not fit.
    """
    encoder = ENCODERS[config.name](config)
    if config.weights is not None:
        state = read_weights(Path(config.weights), config.weights_sha256)
        # A count that batch norm keeps for itself; some files leave it out.
        own = {name: value for name, value in encoder.state_dict().items() if not name.endswith("num_batches_tracked")}
        unfit = [name for name, tensor in own.items() if name not in state or state[name].shape != tensor.shape]
        if unfit:
            raise CheckpointError(
                f"{config.weights} does not fit {config.name} at this width: {unfit[0]} is missing or of another shape; "
                "check captioner.encoder.name, width and weights."
            )
        encoder.load_state_dict({name: state[name] for name in own}, strict=False)
    return encoder
