"""The initial captioner of a run."""

from collections.abc import Sequence

from configs.schema import Config
from data.captions import build_tokenizer, tokenizer_config
from data.clotho import Clip
from models.captioner import AudioCaptioner
from training.run_folder import TrainingError


def begin_with(config: Config, clips: Sequence[Clip]) -> AudioCaptioner:
    """Return a captioner with random weights and a vocabulary of the clips' captions, or that of `training.start_from`.

    Raises:
        TrainingError: the checkpoint has other networks than the configuration.
    """
    if config.training.start_from is None:
        captions = [text for clip in clips for text in clip.captions]
        captioner = AudioCaptioner(config, build_tokenizer(tokenizer_config(config.captioner), captions))
    else:
        captioner = _begin_with_checkpoint(config, config.training.start_from)
    if changes_encoder(config):
        captioner.encoder_is_published = False
    return captioner


def changes_encoder(config: Config) -> bool:
    """Return whether the encoder differs from its published weights: its tagger is fine-tuned, or it is from a checkpoint."""
    return config.training.tagger.num_steps > 0 or config.training.start_from is not None


def _begin_with_checkpoint(config: Config, path: str) -> AudioCaptioner:
    source = AudioCaptioner.from_pretrained(path)
    captioner = AudioCaptioner(config, source.tokenizer)
    try:
        captioner.load_state_dict(source.state_dict())
    except RuntimeError as error:
        what = str(error).strip().splitlines()[-1].strip()
        raise TrainingError(
            f"{path} has other networks than the configuration ({what}): use the captioner section of its config.yaml, or omit "
            "training.start_from."
        ) from error
    return captioner
