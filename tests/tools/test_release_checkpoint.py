"""A checkpoint made ready to ship."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from configs.checkpoint_files import MODEL_FILE
from models.captioner import AudioCaptioner
from models.checkpoints.folder import read_metadata
from tools.release_checkpoint import main


def test_half_of_the_decoder_and_all_of_the_encoder(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert main([str(tiny_checkpoint), str(tmp_path / "ship"), "--licence", "MIT"]) == 0
    tensors = load_file(tmp_path / "ship" / MODEL_FILE)
    floats = {name: tensor.dtype for name, tensor in tensors.items() if tensor.is_floating_point()}
    assert {kind for name, kind in floats.items() if name.startswith("encoder.")} == {torch.float32}
    assert {kind for name, kind in floats.items() if not name.startswith("encoder.")} == {torch.float16}
    assert read_metadata(tmp_path / "ship")["licence"] == "MIT"
    before, after = (AudioCaptioner.from_pretrained(path) for path in (tiny_checkpoint, tmp_path / "ship"))
    assert {parameter.dtype for parameter in after.parameters()} == {torch.float32}
    sound = [np.random.default_rng(0).normal(size=32000).astype(np.float32) * 0.1]
    assert [c.text for c in before.caption(sound)[0]] == [c.text for c in after.caption(sound)[0]]


def test_what_is_not_there_is_reported(tmp_path: Path) -> None:
    assert main([str(tmp_path / "nothing"), str(tmp_path / "ship"), "--licence", "MIT"]) == 2
