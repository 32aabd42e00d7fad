"""Self-critical training: the reward is CIDEr-D, better captions gain, and a resumed run repeats it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocoevalcap.cider.cider import Cider

import train
from models.captioner import AudioCaptioner
from tests.training.test_train import losses, options, run_folder
from training.batches import Batch
from training.self_critical import CiderReward, advantages, count_ngrams, words_of
from training.trainer import Trainer

words = st.lists(st.sampled_from("a dog barks while rain falls on the roof".split()), min_size=1, max_size=9)  # noqa: SIM905


@given(st.lists(st.tuples(words, words, words), min_size=2, max_size=6))
def test_the_reward_is_pycocoevalcaps_cider_d(clips: Sequence[tuple[list[str], list[str], list[str]]]) -> None:
    references = {str(n): [" ".join(first), " ".join(second)] for n, (first, second, _) in enumerate(clips)}
    candidates = {str(n): [" ".join(own)] for n, (*_, own) in enumerate(clips)}
    expected = Cider().compute_score(references, candidates)[1]
    reward = CiderReward([first, second] for first, second, _ in clips)
    found = [reward(own, [first, second]) for first, second, own in clips]
    assert found == pytest.approx(list(expected), abs=1e-6)


def test_n_grams_have_one_to_four_words() -> None:
    counts = count_ngrams("a dog a dog a dog".split())  # noqa: SIM905
    assert counts[("a",)] == counts[("a", "dog")] == 3 and counts[("a", "dog", "a", "dog")] == 2
    assert {len(ngram) for ngram in counts} == {1, 2, 3, 4}


def test_a_caption_that_breaks_off_has_a_lower_reward() -> None:
    reward = CiderReward([[words_of(text)] for text in ("a dog barks", "rain falls", "a cat meows")])
    reference = [words_of("A dog barks.")]
    assert reward(words_of("a dog barks"), reference) == pytest.approx(10.0)
    assert reward(words_of("a dog barks")[:-1], reference) < 8


def test_an_advantage_is_over_the_mean_of_the_others() -> None:
    found = advantages(torch.tensor([[1.0, 2.0, 6.0], [3.0, 3.0, 3.0]]))
    assert torch.allclose(found, torch.tensor([[-3.0, -1.5, 4.5], [0.0, 0.0, 0.0]]))


def test_captions_are_rewarded_after_the_last_step_of_cross_entropy(tone_dataset: Path, tmp_path: Path) -> None:
    steps = {"training__num_steps": 40, "training__self_critical__num_steps": 80, "training__validate_every": 40}
    rate = {"training__self_critical__learning_rate": 0.001, "captioner__decoder__dropout": 0}
    assert train.main(options(tone_dataset, tmp_path, **steps, **rate)) == 0
    rewards = [-loss for loss in losses(tmp_path)[40:]]
    assert len(rewards) == 80 and all(0 <= reward <= 10 for reward in rewards)
    assert sum(rewards[-20:]) > sum(rewards[:20])


def stopped_after(step: int | None) -> Callable[..., float]:
    """A training step behind which the run is stopped, as by a signal."""
    original = Trainer.train_step

    def train_step(self: Trainer, batches: Sequence[Batch]) -> float:
        loss = original(self, batches)
        if self.step == step:
            self.keep()
            raise SystemExit
        return loss

    return train_step


@pytest.mark.parametrize("unfreeze", [None, 2])
def test_a_resumed_run_repeats_the_rewards(tone_dataset: Path, tmp_path: Path, unfreeze: int | None) -> None:
    """Stopped within the phase, and where it begins; with an encoder that was trained before it."""
    extra = {
        "training__num_steps": 4, "training__self_critical__num_steps": 4, "training__validate_every": 2,
        "captioner__encoder__train_from_step": "null" if unfreeze is None else unfreeze,
    }  # fmt: skip
    assert train.main(options(tone_dataset, tmp_path / "whole", **extra)) == 0
    arguments = options(tone_dataset, tmp_path / "parts", **extra)
    for resume, stop in ([], 4), (["--resume"], 6), (["--resume"], None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Trainer, "train_step", stopped_after(stop))
            if stop is None:
                assert train.main([*arguments, *resume]) == 0
            else:
                with pytest.raises(SystemExit):
                    train.main([*arguments, *resume])
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    first, second = (
        AudioCaptioner.from_pretrained(run_folder(tmp_path / name) / "last").state_dict() for name in ("whole", "parts")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_other_training_captions_do_not_go_on_with_an_older_vocabulary(
    tone_dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train.main(options(tone_dataset, tmp_path, captioner__tokenizer__vocab_size=120)) == 0
    changed = options(tone_dataset, tmp_path, captioner__tokenizer__vocab_size=90, training__num_steps=8)
    assert train.main([*changed, "--resume"]) == 2
    assert "another vocabulary" in caplog.text
