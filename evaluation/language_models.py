"""Scores by language models: fluency errors and the likeness of sentences, as aac-metrics computes them.

aac-metrics, torch and sentence-transformers take seconds to import and are an extra (`bash env.sh --eval`), so they are
imported when they are asked for. Nothing here goes to the network.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from captioning.options import choose_device
from evaluation.errors import MetricError, UnavailableError
from evaluation.resources import Resources, read_detector

if TYPE_CHECKING:
    from aac_metrics.functional.fer import BERTFlatClassifier

PENALTY = (
    0.9  # FENSE (Zhou et al., arXiv 2110.04684) and SPIDEr-FL (DCASE 2023) keep a tenth of an erroneous caption's score
)
NUM_ERROR_CLASSES = 6  # add_tail, repeat_event, repeat_adv, remove_conj, remove_verb, error


def need_aac_metrics() -> None:
    """Raises UnavailableError where aac-metrics is not installed."""
    for package in ("aac_metrics", "sentence_transformers"):
        if find_spec(package) is None:
            raise UnavailableError(f"{package.replace('_', '-')} is not installed: bash env.sh --eval")


def load_detector(checkpoint: Path, resources: Resources) -> tuple["BERTFlatClassifier", Any]:
    """The fluency detector of FENSE in a file, and its tokenizer.

    Raises:
        UnavailableError: the encoder that the file names is not here.
        MetricError: damaged, or of another format.
    """
    from aac_metrics.functional.fer import BERTFlatClassifier
    from transformers import AutoTokenizer

    content = read_detector(checkpoint)
    if content["num_classes"] != NUM_ERROR_CLASSES:
        raise MetricError(
            f"{checkpoint} tells {content['num_classes']} kinds of errors apart, expected {NUM_ERROR_CLASSES}: fetch the"
            f" published one."
        )
    encoder = str(resources.hub_folder(content["model_type"]))
    detector = BERTFlatClassifier(encoder, content["num_classes"])
    # Before transformers 4.31 positions were saved with the weights; they are numbered anew now.
    state = {name: value for name, value in content["state_dict"].items() if not name.endswith("position_ids")}
    try:
        detector.load_state_dict(state)
    except RuntimeError as error:
        raise MetricError(f"{checkpoint} does not fit its encoder {content['model_type']}: fetch it again.") from error
    return detector.eval(), AutoTokenizer.from_pretrained(encoder)


def fluency_errors(candidates: Sequence[str], resources: Resources, device: str = "auto") -> NDArray[np.float64]:
    """Whether the fluency detector finds an error in each caption (probability above 0.9): (N,) of 0 and 1.

    Raises:
        UnavailableError: aac-metrics or the detector is not here.
    """
    need_aac_metrics()
    detector, tokenizer = load_detector(resources.fluency_detector(), resources)
    from aac_metrics.functional.fer import fer

    place = choose_device(device)

    _corpus, per_clip = fer(list(candidates), echecker=detector.to(place), echecker_tokenizer=tokenizer, device=place)
    return np.asarray(per_clip["fer"], dtype=np.float64)


def sentence_likeness(
    candidates: Sequence[str], references: Sequence[Sequence[str]], resources: Resources, device: str = "cpu"
) -> tuple[str, NDArray[np.float64]]:
    """Mean cosine of each caption's sentence embedding with its references' (Reimers, Gurevych, arXiv 1908.10084).

    Returns:
        The sentence model's name, and (N,) values in -1 to 1.

    Raises:
        UnavailableError: no sentence model is here.
    """
    need_aac_metrics()
    name, folder = resources.sentence_model()
    from aac_metrics.functional.sbert_sim import sbert_sim
    from sentence_transformers import SentenceTransformer

    place = choose_device(device)
    model = SentenceTransformer(str(folder), device=str(place), local_files_only=True)
    _corpus, per_clip = sbert_sim(
        list(candidates), [list(group) for group in references], sbert_model=model, device=place
    )
    return name, np.asarray(per_clip["sbert_sim"], dtype=np.float64)
