"""Files of qiuqiangkong/mini_audio_caption: the original network's logits and greedy tokens."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from configs.errors import CheckpointError
from models.captioner import AudioCaptioner
from models.checkpoints.mini_audio_caption import MiniAudioCaption, read_mini_audio_caption
from models.decoder.whole_pass import lay_out, read_whole


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "fixtures" / "mini_audio_caption"


@pytest.fixture(scope="module")
def found(folder: Path) -> MiniAudioCaption:
    return read_mini_audio_caption(folder / "step=0.pth")


def logits(found: MiniAudioCaption, latent: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    prefix = F.linear(latent, found.projection["weight"], found.projection["bias"])
    rows = torch.arange(len(ids))
    layout = lay_out(torch.ones_like(rows), 1, torch.full_like(rows, ids.shape[1]), ids.shape[1], rows)
    hidden = read_whole(found.llama, prefix, found.llama.get_input_embeddings()(ids), layout)
    return found.llama.get_output_embeddings()(hidden).unflatten(0, ids.shape)


@torch.no_grad()
def test_logits_are_the_originals(found: MiniAudioCaption, folder: Path) -> None:
    expected = np.load(folder / "expected.npz")
    ours = logits(found, torch.from_numpy(expected["audio_latent"]), torch.from_numpy(expected["text_ids"]))
    assert np.abs(ours.numpy() - expected["text_logits"]).max() < 1e-4


@torch.no_grad()
def test_all_greedy_tokens_are_the_originals(found: MiniAudioCaption, folder: Path) -> None:
    expected = np.load(folder / "expected.npz")
    latent, ids = torch.from_numpy(expected["audio_latent"][:1]), [int(expected["greedy_ids"][0, 0])]
    while len(ids) < expected["greedy_ids"].shape[1]:
        ids.append(int(logits(found, latent, torch.tensor([ids]))[0, -1].argmax()))
    assert ids == expected["greedy_ids"][0].tolist()


def make_state(layers: int, width: int, heads: int, vocabulary: int) -> dict[str, torch.Tensor]:
    """A random file of that project's shape."""
    torch.manual_seed(layers)
    hidden = width * 8 // 3
    state = {
        "rope": torch.zeros(32, width // heads // 2, 2),
        "a2e.weight": torch.randn(width, 16),
        "a2e.bias": torch.randn(width),
        "wte.weight": torch.randn(vocabulary, width),
        "ln_f.scale": torch.ones(width),
        "audio_head.weight": torch.randn(16, width),
        "text_head.weight": torch.randn(vocabulary, width),
    }
    for layer in range(layers):
        shapes = {"att.c_attn": (3 * width, width), "att.c_proj": (width, width), "mlp.c_fc1": (hidden, width),
                  "mlp.c_fc2": (hidden, width), "mlp.c_proj": (width, hidden)}  # fmt: skip
        state |= {f"blocks.{layer}.{name}.weight": torch.randn(shape) * 0.1 for name, shape in shapes.items()}
        state |= {f"blocks.{layer}.{name}.scale": torch.ones(width) for name in ("att_norm", "ffn_norm")}
    return state


@pytest.mark.parametrize(("layers", "width", "heads", "vocabulary"), [(1, 16, 2, 11), (3, 48, 6, 40)])
def test_sizes_are_read_from_the_file(tmp_path: Path, layers: int, width: int, heads: int, vocabulary: int) -> None:
    torch.save(make_state(layers, width, heads, vocabulary), tmp_path / "step=1.pth")
    config = read_mini_audio_caption(tmp_path / "step=1.pth").llama.config
    assert (config.num_hidden_layers, config.hidden_size) == (layers, width)
    assert (config.num_attention_heads, config.vocab_size) == (heads, vocabulary)


def test_what_is_not_such_a_file_is_refused(tmp_path: Path) -> None:
    state = make_state(1, 16, 2, 11)
    del state["a2e.weight"]
    torch.save(state, tmp_path / "step=1.pth")
    with pytest.raises(CheckpointError, match="a2e.weight is missing"):
        AudioCaptioner.from_pretrained(tmp_path / "step=1.pth")
    torch.save({"model": Path("run me")}, tmp_path / "step=2.pth")
    with pytest.raises(CheckpointError, match="other data than tensors"):
        AudioCaptioner.from_pretrained(tmp_path / "step=2.pth")


def test_the_whole_captioner_loads_and_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From file to caption, with a tokenizer and an encoder of the test's own in place of BERT's and PANNs'."""
    from configs.schema import EncoderConfig
    from data.captions import train_tokenizer
    from models.checkpoints import mini_audio_caption
    from models.encoders.build import build_encoder

    tokenizer = train_tokenizer(["a dog barks", "rain falls"] * 4, 60)
    encoder = build_encoder(EncoderConfig(name="cnn14", width=1.0))
    torch.save({"model": encoder.state_dict()}, tmp_path / "Cnn14.pth")
    state = make_state(2, 16, 2, tokenizer.get_vocab_size())
    state["a2e.weight"] = torch.randn(16, 2048)
    torch.save(state, tmp_path / "step=7.pth")
    monkeypatch.setattr(
        mini_audio_caption, "Tokenizer", type("Stub", (), {"from_pretrained": staticmethod(lambda name: tokenizer)})
    )
    captioner = AudioCaptioner.from_pretrained(tmp_path / "step=7.pth", encoder_weights=str(tmp_path / "Cnn14.pth"))
    [captions] = captioner.caption([np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)])
    assert captions and captions[0].log_probability < 0
    captioner.save_pretrained(tmp_path / "folder")
    again = AudioCaptioner.from_pretrained(tmp_path / "folder")
    assert again.caption([np.zeros(32000, np.float32)]) == captioner.caption([np.zeros(32000, np.float32)])
