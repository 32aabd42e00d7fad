"""Metrics by language models: fluency errors and sentence similarity, computed by aac-metrics.

aac-metrics, torch and sentence-transformers take seconds to import and are optional (`bash env.sh --eval`), so they are
imported on demand. Nothing here accesses the network.
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
    0.9  # FENSE (Zhou et al., arXiv 2110.04684) and SPIDEr-FL (DCASE 2023) scale scores of erroneous captions by 0.1
)
NUM_ERROR_CLASSES = 6  # add_tail, repeat_event, repeat_adv, remove_conj, remove_verb, error


def need_aac_metrics() -> None:
    """Check that aac-metrics is installed.

    Raises:
        UnavailableError: it is not.
    """
    for package in ("aac_metrics", "sentence_transformers"):
        if find_spec(package) is None:
            raise UnavailableError(f"{package.replace('_', '-')} is not installed: bash env.sh --eval")


def load_detector(checkpoint: Path, resources: Resources) -> tuple["BERTFlatClassifier", Any]:
    """Load FENSE's fluency detector and its tokenizer from a file.

    Raises:
        UnavailableError: the encoder named in the file is missing.
        MetricError: the file is damaged or of another format.
    """
    from aac_metrics.functional.fer import BERTFlatClassifier
    from transformers import AutoTokenizer

    content = read_detector(checkpoint)
    if content["num_classes"] != NUM_ERROR_CLASSES:
        raise MetricError(
            f"{checkpoint} has {content['num_classes']} classes of errors, expected {NUM_ERROR_CLASSES}: download the"
            f" published one."
        )
    encoder = str(resources.hub_folder(content["model_type"]))
    detector = BERTFlatClassifier(encoder, content["num_classes"])
    # Before transformers 4.31, position ids were saved with the weights; newer versions compute them.
    state = {name: value for name, value in content["state_dict"].items() if not name.endswith("position_ids")}
    try:
        detector.load_state_dict(state)
    except RuntimeError as error:
        raise MetricError(
            f"{checkpoint} does not fit its encoder {content['model_type']}: download it again."
        ) from error
    return detector.eval(), AutoTokenizer.from_pretrained(encoder)


def fluency_errors(candidates: Sequence[str], resources: Resources, device: str = "auto") -> NDArray[np.float64]:
    """Fluency errors (N,): 1 if the detector's error probability of a caption exceeds 0.9, else 0.

    Raises:
        UnavailableError: aac-metrics or the detector is missing.
    """
    need_aac_metrics()
    detector, tokenizer = load_detector(resources.fluency_detector(), resources)
    from aac_metrics.functional.fer import fer

    place = choose_device(device)

    _corpus, per_clip = fer(list(candidates), echecker=detector.to(place), echecker_tokenizer=tokenizer, device=place)
    return np.asarray(per_clip["fer"], dtype=np.float64)


def sentence_similarity(
    candidates: Sequence[str], references: Sequence[Sequence[str]], resources: Resources, device: str = "cpu"
) -> tuple[str, NDArray[np.float64]]:
    """Mean cosine similarity of sentence embeddings of captions and their references (Reimers, Gurevych, arXiv 1908.10084).

    Returns:
        Name of the sentence model, and (N,) similarities, -1 to 1.

    Raises:
        UnavailableError: there is no sentence model.
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
