"""Exported captioners: networks equal to torch's, the same captions, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

import export
import inference
from configs.checkpoint_files import sha256_of
from configs.errors import CheckpointError
from configs.schema import (
    CaptionerConfig,
    Config,
    DecoderConfig,
    DecodingConfig,
    EncoderConfig,
    ProjectionConfig,
    TagDecodingConfig,
    TagsConfig,
)
from data.captions import train_tokenizer
from generation.calibration import CALIBRATION_KEY, Calibration
from generation.retrieval import CaptionStore
from models.captioner import AudioCaptioner
from models.checkpoints.onnx_files import export as export_captioner
from models.checkpoints.onnx_networks import DecoderNetwork, EncoderNetwork, PrefixNetwork
from models.encoders.mobilenet import LogMel
from runtime.captioner import OnnxCaptioner
from runtime.folder import read_folder
from runtime.front_end import FrontEnd
from vocabulary.audioset import named_tags

CAPTIONS = [
    "a dog barks twice",
    "rain falls on a tin roof",
    "a siren wails in the distance",
    "waves break on the shore",
]
TAGS = ["Dog", "Rain", "Siren", "Waves, surf"]


def small_captioner(kind: str) -> AudioCaptioner:
    """A captioner of random weights whose decoder takes tags, embeddings or both."""
    torch.manual_seed(0)
    config = Config(
        captioner=CaptionerConfig(
            encoder=EncoderConfig(
                name="mobilenet", width=0.1, train_from_step=0, max_duration_s=30.0, branch_weight=0.4, frozen_layers=6
            ),
            projection=ProjectionConfig(kind="none" if kind == "tags" else "mlp", pool=2 if kind == "frames" else 1),
            tags=TagsConfig(num_tags=0 if kind == "frames" else 3, summary=kind == "tags", parts=kind == "tags"),
            decoder=DecoderConfig(num_layers=2, num_heads=2, width=32, max_positions=256),
            styles=("long", "short") if kind == "tags" else (),
        )
    )
    captioner = AudioCaptioner(config, train_tokenizer(CAPTIONS * 3, 120)).eval()
    with torch.no_grad():
        for parameter in captioner.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        captioner.encoder.classifier[5].weight.mul_(20.0)  # type: ignore[union-attr, operator]
    captioner.search.store = CaptionStore.build(CAPTIONS, [named_tags(name) for name in TAGS], [0] * len(CAPTIONS))
    calibration = Calibration(-1.0, 0.5, 0.3, 0.2, similarity=0.1)
    captioner.metadata[CALIBRATION_KEY] = calibration.to_dict()
    return captioner


@pytest.fixture(scope="module", params=["tags", "frames", "both"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[AudioCaptioner, Path]:
    captioner = small_captioner(request.param)
    folder = tmp_path_factory.mktemp("exported") / f"{request.param}.onnx"
    export_captioner(captioner, folder)
    return captioner, folder


def noise(seconds: float, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    loudness = np.repeat(generator.uniform(0.001, 0.3, 8), -(-int(32000 * seconds) // 8))[: int(32000 * seconds)]
    return (generator.normal(size=len(loudness)) * loudness).astype(np.float32)


FRONT_END = FrontEnd(32000, 1024, 320, 800, 0.97, 10.0, 4096)


@settings(max_examples=30, deadline=None)
@example(352, 0.625, 200)
@given(st.integers(1, 40000), st.floats(1e-5, 1.0), st.integers(0, 1000))
def test_the_front_end_is_torchs(num_samples: int, loudness: float, seed: int) -> None:
    waveform = (np.random.default_rng(seed).normal(size=num_samples) * loudness).astype(np.float32)
    log_mel = LogMel()
    padded = torch.nn.functional.pad(torch.from_numpy(waveform), (0, max(0, 4096 - num_samples)))[None]
    theirs, frames = log_mel(padded, torch.tensor([padded.shape[1]]))
    ours = log_mel.from_power(torch.from_numpy(FRONT_END.power(waveform)))
    assert ours.shape[2] == int(frames[0])
    our_mel, their_mel = torch.exp(5 * ours), torch.exp(5 * theirs[:, :, : int(frames[0])])  # without the logarithm
    assert torch.allclose(our_mel, their_mel, rtol=1e-3, atol=1e-6 * float(their_mel.max()))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 1_300_000))
def test_windows_are_equal_and_hold_every_sample(num_samples: int) -> None:
    windows = list(FRONT_END.windows(np.arange(num_samples, dtype=np.float32)))
    assert np.array_equal(np.concatenate(windows), np.arange(num_samples, dtype=np.float32))
    assert len(windows) == -(-num_samples // 320000)
    assert all(len(window) == len(windows[0]) <= 320000 for window in windows[:-1])


def test_exported_networks_are_the_eager_ones(pair: tuple[AudioCaptioner, Path]) -> None:
    captioner, folder = pair
    files = read_folder(folder, 1)
    for num_frames in (13, 200, 1001):
        power = torch.rand(1, 513, num_frames) * 0.1
        with torch.no_grad():
            embeddings = EncoderNetwork(captioner.encoder)(power)  # type: ignore[arg-type]
            [found] = files.encoder.run(None, {"power": power.numpy()})
            assert np.allclose(found, embeddings.numpy(), atol=1e-4)
            for style in range(max(1, len(captioner.config.captioner.styles))):
                inputs = {"embeddings": embeddings.numpy(), "style": np.array([style])}
                wanted = [item.name for item in files.prefix.get_inputs()]
                scores, prefix = files.prefix.run(None, {name: inputs[name] for name in wanted})
                theirs = PrefixNetwork(captioner)(embeddings, torch.tensor([style]))
                assert np.allclose(scores, theirs[0].numpy(), atol=1e-4)
                assert np.allclose(prefix, theirs[1].numpy(), atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 1000), st.integers(1, 4), st.integers(0, 5), st.integers(1, 6), st.integers(1, 9), st.integers(1, 3)
)
def test_the_exported_decoder_is_the_eager_one(
    pair: tuple[AudioCaptioner, Path], seed: int, rows: int, prefix: int, new: int, past: int, num_past: int
) -> None:
    llama = pair[0].decoder.llama
    torch.manual_seed(seed)
    inputs = {
        "prefix": torch.randn(rows, prefix, 32),
        "token_ids": torch.randint(0, llama.config.vocab_size, (rows, new)),
        "rows": torch.randint(0, num_past, (rows,)),
        "past": torch.randn(num_past, 2, 2, 2, past, 16),
    }
    with torch.no_grad():
        theirs = DecoderNetwork(llama)(*inputs.values())
    found = read_folder(pair[1], 1).decoder.run(None, {name: value.numpy() for name, value in inputs.items()})
    for ours, their in zip(found, theirs, strict=True):
        assert np.allclose(ours, their.numpy(), atol=1e-4)


@pytest.mark.parametrize("method", ["beam", "greedy"])
@pytest.mark.parametrize("tags", [TagDecodingConfig(), TagDecodingConfig(1.0, 2.0, 0.2, 1.0)], ids=["plain", "tags"])
def test_captions_are_torchs(pair: tuple[AudioCaptioner, Path], method: str, tags: TagDecodingConfig) -> None:
    captioner, folder = pair
    exported = OnnxCaptioner(folder, num_threads=1)
    number = 3 if method == "beam" else 1
    decoding = DecodingConfig(method=method, num_beams=4, num_captions=number, max_tokens=12, tags=tags)  # type: ignore[arg-type]
    clips = [noise(seconds, seed) for seed, seconds in enumerate((0.05, 1.0, 2.7, 10.0, 23.0))]
    for theirs, ours in zip(captioner.caption(clips, decoding), exported.caption(clips, decoding), strict=True):
        assert [caption.text for caption in ours] == [caption.text for caption in theirs]
        for own, their in zip(ours, theirs, strict=True):
            assert own.num_tokens == their.num_tokens
            assert own.log_probability == pytest.approx(their.log_probability, abs=1e-2)
            assert own.probability == pytest.approx(their.probability, abs=1e-3)
            assert own.similarity == pytest.approx(their.similarity, abs=1e-3)


def test_each_style_is_torchs(tmp_path: Path) -> None:
    captioner = small_captioner("tags")
    export_captioner(captioner, tmp_path / "a.onnx")
    exported, clip = OnnxCaptioner(tmp_path / "a.onnx"), noise(2.0, 0)
    for style in ("", "long", "short"):
        decoding = DecodingConfig(max_tokens=8, style=style)
        assert [one.text for one in exported.caption([clip], decoding)[0]] == [
            one.text for one in captioner.caption([clip], decoding)[0]
        ]
    with pytest.raises(ValueError, match="style"):
        exported.caption([clip], DecodingConfig(style="none"))


# -- what is refused -----------------------------------------------------------------------------------------------------


def test_sampling_is_refused(pair: tuple[AudioCaptioner, Path]) -> None:
    with pytest.raises(ValueError, match="sampling"):
        OnnxCaptioner(pair[1]).caption([noise(1.0, 0)], DecodingConfig(method="sample"))


def test_other_captioners_say_why_they_cannot_be_exported(tmp_path: Path, tiny_checkpoint: Path) -> None:
    config = Config(
        captioner=CaptionerConfig(
            encoder=EncoderConfig(name="cnn14", width=0.05, train_from_step=0),
            decoder=DecoderConfig(num_layers=1, num_heads=1, width=16),
        )
    )
    with pytest.raises(CheckpointError, match="has cnn14, which needs torch"):
        export_captioner(AudioCaptioner(config, train_tokenizer(CAPTIONS, 60)), tmp_path / "a")
    captioner = AudioCaptioner.from_pretrained(tiny_checkpoint)
    captioner.decoder.llama = torch.nn.Linear(1, 1)
    with pytest.raises(CheckpointError, match="pretrained decoder"):
        export_captioner(captioner, tmp_path / "a")
    captioner.config = replace(
        captioner.config,
        captioner=replace(
            captioner.config.captioner, encoder=replace(captioner.config.captioner.encoder, output="clip")
        ),
    )
    with pytest.raises(CheckpointError, match="output frames"):
        export_captioner(captioner, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["encoder.onnx", "decoder.onnx", "tokenizer.json", "captions.safetensors", "config.yaml"]
)
def test_a_damaged_folder_is_refused(pair: tuple[AudioCaptioner, Path], tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(pair[1], tmp_path / "damaged.onnx"))
    (folder / name).write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match=f"{name} is damaged: its sha256"):
        OnnxCaptioner(folder)
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["files"][name] = "28" * 32
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        OnnxCaptioner(folder)


def test_a_network_that_is_none_is_refused(pair: tuple[AudioCaptioner, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pair[1], tmp_path / "damaged.onnx"))
    (folder / "decoder.onnx").write_bytes(b"garbage")
    metadata = json.loads((folder / "metadata.json").read_text())
    metadata["files"]["decoder.onnx"] = sha256_of(folder / "decoder.onnx")
    (folder / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(CheckpointError, match="decoder.onnx cannot be loaded"):
        OnnxCaptioner(folder)
    metadata["front_end"] = {"hop": 320}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    with pytest.raises(CheckpointError, match="front_end"):
        OnnxCaptioner(folder)


def test_checkpoints_and_exported_folders_are_told_apart(
    pair: tuple[AudioCaptioner, Path], tiny_checkpoint: Path
) -> None:
    with pytest.raises(CheckpointError, match="not an exported captioner: write one with python export.py"):
        OnnxCaptioner(tiny_checkpoint)
    with pytest.raises(
        CheckpointError, match="exported captioner, which torch does not run: caption with --engine onnx"
    ):
        AudioCaptioner.from_pretrained(pair[1])
    with pytest.raises(CheckpointError, match="is no folder"):
        OnnxCaptioner(tiny_checkpoint / "config.yaml")


# -- commands ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number, seconds in enumerate((1.0, 2.5, 0.5)):
        soundfile.write(folder / f"{number}.wav", noise(seconds, number)[::2], 16000)
    return folder


def caption(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict]:
    assert inference.main([*map(str, arguments), "--format", "jsonl"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_both_engines_write_the_same(
    tiny_checkpoint: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported = tmp_path / "tiny.onnx"
    for _ in range(2):  # an exported captioner may be replaced
        assert export.main([str(tiny_checkpoint), "--output", str(exported)]) == 0
    theirs = caption(capsys, recordings, "--ckpt_path", tiny_checkpoint, "--device", "cpu")
    for more in ([], ["--workers", "2"]):
        ours = caption(capsys, recordings, "--ckpt_path", exported, "--engine", "onnx", *more)
        assert [(one["file"], one["caption"]) for one in ours] == [(one["file"], one["caption"]) for one in theirs]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "cuda"], "--engine onnx runs on the CPU, found --device cuda"),
        (["--tagger", "cnn14"], "--tagger and --encoder_weights need torch"),
        (["--encoder_weights", "weights.pth"], "--tagger and --encoder_weights need torch"),
        (["--rerank", "clap"], "--rerank compares captions with CLAP"),
        (["--method", "sample"], "found --method sample"),
        (["--ckpt_path", "checkpoints/any_sound"], "is not an exported captioner"),
    ],
)
def test_what_the_engine_does_not_support_is_refused(
    recordings: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], message: str
) -> None:
    assert inference.main([str(recordings), "--engine", "onnx", *arguments]) == 2
    assert message in caplog.text and len(caplog.records) == 1


def test_another_folder_is_not_replaced(
    tiny_checkpoint: Path, recordings: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert export.main([str(tiny_checkpoint), "--output", str(recordings)]) == 2
    assert "is not an exported captioner" in caplog.text and len(list(recordings.iterdir())) == 3
