"""Captions and trains a small captioner on the CPU and on the pretend accelerator, and prints what each gave as JSON."""

import json
import sys
from typing import Any

import numpy as np
import torch

from configs.schema import (
    CaptionerConfig,
    Config,
    DecoderConfig,
    DecodingConfig,
    EncoderConfig,
    TagDecodingConfig,
    TagsConfig,
)
from data.captions import encode_caption, train_tokenizer
from generation.engine import SearchSettings
from models.captioner import AudioCaptioner
from models.encoders.base import EncoderOutput
from tests.accelerator.pretend import COUNTS, DEVICE, PretendAccelerator, reset_counts
from training.batches import Batch, Collate, Sample
from training.objective import CaptioningLoss, token_weights

CAPTIONS = (
    "a dog barks twice",
    "rain falls on a tin roof",
    "a siren wails in the distance",
    "waves break on the shore",
)
TAGS = TagDecodingConfig(word_bonus=2.0, coverage_weight=1.0, min_score=0.2)
SEARCHES = {
    "beam": DecodingConfig(
        method="beam", num_beams=3, num_captions=2, max_tokens=8, repetition_ban="content", tags=TAGS
    ),
    "greedy": DecodingConfig(method="greedy", max_tokens=8, tags=TAGS),
    "sample": DecodingConfig(method="sample", num_captions=2, max_tokens=8, top_k=20, top_p=0.9, tags=TAGS),
}


def small_captioner() -> AudioCaptioner:
    """A captioner of random weights, with tags and styles; untied, since a move to this device would part tied embeddings."""
    torch.manual_seed(0)
    config = Config(
        captioner=CaptionerConfig(
            encoder=EncoderConfig(name="mobilenet", width=0.1, train_from_step=0, max_duration_s=4.0),
            tags=TagsConfig(num_tags=3, summary=True, dropout=0.0),
            decoder=DecoderConfig(
                num_layers=2, num_heads=2, width=32, dropout=0.0, max_positions=128, tie_embeddings=False
            ),
            styles=("long", "short"),
        )
    )
    captioner = AudioCaptioner(config, train_tokenizer(CAPTIONS * 3, 120)).eval()
    with torch.no_grad():
        for parameter in captioner.decoder.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return captioner


def small_batch(captioner: AudioCaptioner, clips: list[np.ndarray]) -> Batch:
    """Waveforms of clips, each with two captions."""
    none, rows = np.zeros((0, 2), np.float32), []
    for number, clip in enumerate(clips):
        texts = (CAPTIONS[number], CAPTIONS[number + 1])
        captions = [(encode_caption(captioner.tokenizer, text, 20), 0.5) for text in texts]
        rows.append(Sample(str(number), clip, captions, none, none, tags=(number,)))
    return Collate(captioner.token_ids["pad"], judged_tags=(0, 1, 2))(rows)


def captions_of(captioner: AudioCaptioner, clips: list[np.ndarray]) -> dict[str, Any]:
    """Texts and log-probabilities by each method, and what was copied in each search."""
    found: dict[str, Any] = {}
    for name, decoding in SEARCHES.items():
        captioner.caption(clips, decoding)  # tables that are made once
        reset_counts()
        captions = captioner.caption(clips, decoding)
        found[name] = [[(one.text, round(one.log_probability, 3)) for one in clip] for clip in captions]
        found[f"{name} copies"] = dict(COUNTS)
    return found


@torch.no_grad()
def copies_of_a_search(captioner: AudioCaptioner, output: EncoderOutput) -> dict[str, int]:
    """What is copied in a beam search of eight steps, without rules."""
    prefix, lengths = captioner.prefix(output.embeddings, output.lengths)
    reset_counts()
    captioner.decoder.generate(prefix, lengths, SearchSettings(8, min_new_tokens=8, num_beams=3))
    return dict(COUNTS)


def losses_of(batch: Batch, device: torch.device, trains_encoder: bool) -> tuple[list[float], dict[str, int]]:
    """Losses of three steps of a new captioner, and what is copied in the last step before its loss is read."""
    captioner = small_captioner().to(device).train()
    captioner.encoder.eval()
    captioner.encoder.set_trained(trains_encoder)
    objective = CaptioningLoss(captioner, 0.1, trains_encoder, tag_loss=1.0)
    optimizer = torch.optim.AdamW([p for p in captioner.parameters() if p.requires_grad], lr=0.01, foreach=False)
    losses = []
    copies: dict[str, int] = {}
    for _ in range(3):
        reset_counts()
        loss = objective(batch) / token_weights(batch).sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        copies = dict(COUNTS)
        losses.append(round(float(loss.detach()), 3))
    return losses, copies


def everything(captioner: AudioCaptioner, clips: list[np.ndarray], device: torch.device) -> dict[str, Any]:
    """Captions and losses on a device."""
    batch = small_batch(captioner, clips).to(device)
    with torch.no_grad():
        output = captioner.encode(batch.audio, batch.lengths)
    embedded = Batch(**{**vars(batch), "audio": output.embeddings, "lengths": output.lengths})
    found = captions_of(captioner, clips)
    found["search"] = copies_of_a_search(captioner, output)
    for way, own in (("frozen encoder", embedded), ("trained encoder", batch)):
        found[way], found[f"{way} copies"] = losses_of(own, device, trains_encoder=way == "trained encoder")
    return found


def main() -> None:
    """Print the results of both devices."""
    generator = np.random.default_rng(0)
    clips = [generator.normal(0, 0.1, int(32000 * seconds)).astype(np.float32) for seconds in (1.0, 2.0, 1.5)]
    captioner = small_captioner()
    results = {"cpu": everything(captioner, clips, torch.device("cpu"))}
    with PretendAccelerator():
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        results["device"] = everything(small_captioner().to(DEVICE), clips, DEVICE)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
