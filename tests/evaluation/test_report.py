"""The report: what is on it, that nothing of it comes from elsewhere, and that a real browser shows it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from evaluation.inputs import Corpus
from evaluation.overlap import mean_result
from evaluation.report import Report, render
from evaluation.scores import Score, as_score, compare, draw_resamples
from evaluation.sounds import PAGE_RATE, mp3, page_sound, spectrogram_png

from .conftest import absent

NUM_CLIPS = 12


def scores_of(seed: int) -> dict[str, Score]:
    generator = np.random.default_rng(seed)
    counts = draw_resamples(NUM_CLIPS, 50, 0)
    found = {
        key: as_score(mean_result(generator.uniform(0, 1, NUM_CLIPS), counts))
        for key in ("bleu_1", "rouge_l", "meteor", "cider_d", "spice", "spider")
    }
    found["fense"] = Score(None, reason="the model is not here: python evaluate.py --download fetches it")
    found["sbert_sim"] = as_score(mean_result(generator.uniform(0, 1, NUM_CLIPS), counts), "all-MiniLM-L6-v2")
    found["vocabulary"] = Score(30.0, per_clip=np.full(NUM_CLIPS, 5.0))
    found["words"] = as_score(mean_result(generator.integers(4, 9, NUM_CLIPS).astype(float), counts))
    return found


@pytest.fixture
def report(tmp_path: Path) -> Report:
    names = tuple(f"clip {number}.wav" for number in range(NUM_CLIPS))
    captions = tuple(f"a dog barks {number} times" for number in range(NUM_CLIPS - 1)) + (
        "<script>alert(1)</script> & more",
    )
    corpus = Corpus(
        names, captions, tuple((f"a dog is barking {number}", "<b>bold</b> barking") for number in range(NUM_CLIPS))
    )
    recordings = {}
    for number, name in enumerate(names):
        recordings[name] = tmp_path / name
        time = np.arange(16000 * (1 + number % 3)) / 16000
        soundfile.write(recordings[name], 0.4 * np.sin(2 * np.pi * (300 + 200 * number) * time), 16000)
    return Report(
        "predictions.csv, against references.csv", corpus, scores_of(0), recordings, 50, num_shown=3,
        other=corpus, other_name="theirs.csv", other_scores=scores_of(1), comparisons=compare(scores_of(0), scores_of(1)),
    )  # fmt: skip


def test_what_is_on_the_page(report: Report) -> None:
    page = render(report)
    assert "SPIDEr" in page and "n/a" in page and "python evaluate.py --download fetches it" in page
    assert "Sentence similarity (all-MiniLM-L6-v2)" in page and "theirs.csv" in page
    assert page.count("<audio") == 6 and page.count("data:audio/mpeg") == 6 and page.count("data:image/png") == 6
    values = report.scores["spider"].per_clip
    assert values is not None
    best, worst = int(np.argmax(values)), int(np.argmin(values))
    shown = re.findall(r'<p class="said break">(.*?)</p>', page)
    captions = [re.sub("&.*", "", caption) for caption in report.corpus.candidates]
    assert shown[0].startswith(captions[best][:12]) and shown[3].startswith(captions[worst][:12])
    assert len(page) < 1_500_000


def test_captions_are_text_and_nothing_comes_from_elsewhere(report: Report) -> None:
    page = render(report)
    assert "<script" not in page and "<b>bold" not in page and "&lt;b&gt;bold" in page
    assert not re.search(r"(?:src|href)=\"(?!data:)", page) and "url(" not in page and "@import" not in page


@pytest.mark.parametrize(
    "change", ["one clip", "no sounds", "nothing computed", "no comparison", "a sound that is none"]
)
def test_reports_on_little(report: Report, change: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    corpus, scores = report.corpus, dict(report.scores)
    if change == "one clip":
        one = Corpus(corpus.names[:1], corpus.candidates[:1], corpus.references[:1])
        page = render(Report("one", one, {"bleu_1": Score(0.5, per_clip=np.array([0.5]))}, report.recordings))
        assert page.count("<audio") == 1 and "one clip: no interval" in page and "Worst" not in page
    elif change == "no sounds":
        page = render(Report("mute", corpus, scores, num_shown=2))
        assert "<audio" not in page and "--audio_dir" in page
    elif change == "nothing computed":
        page = render(Report("none", corpus, {"spice": Score(None, reason="not here")}))
        assert "not here" in page and "Best and worst" not in page
    elif change == "no comparison":
        assert "Comparison with other captions" not in render(Report("alone", corpus, scores, report.recordings))
    else:
        (tmp_path / "text.wav").write_text("no sound")
        page = render(Report("odd", corpus, scores, dict.fromkeys(corpus.names, tmp_path / "text.wav"), num_shown=1))
        assert "<audio" not in page and "the report omits a recording" in caplog.text


def test_sounds_are_bounded(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", 0.1 * np.random.default_rng(0).normal(size=8000 * 40), 8000)
    sound = page_sound(tmp_path / "long.wav")
    assert sound is not None and sound.duration_s == 30.0 and not sound.whole
    assert len(sound.audio) < 700_000 and len(sound.picture) < 150_000


def test_an_mp3_is_the_waveform(tmp_path: Path) -> None:
    time = np.arange(PAGE_RATE * 2) / PAGE_RATE
    waveform = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    (tmp_path / "tone.mp3").write_bytes(mp3(waveform))
    heard, rate = soundfile.read(tmp_path / "tone.mp3")
    spectrum = np.abs(np.fft.rfft(heard[: PAGE_RATE * 2 - 4000]))
    assert rate == PAGE_RATE and abs(len(heard) - len(waveform)) < 4000
    assert np.argmax(spectrum) * rate / (PAGE_RATE * 2 - 4000) == pytest.approx(440, abs=2)


def test_a_spectrogram_has_high_sounds_on_top(tmp_path: Path) -> None:
    time = np.arange(PAGE_RATE) / PAGE_RATE
    rows = []
    for hertz in (200, 9000):
        (tmp_path / "picture.png").write_bytes(spectrogram_png(np.sin(2 * np.pi * hertz * time).astype(np.float32)))
        brightness = np.asarray(Image.open(tmp_path / "picture.png").convert("L"), dtype=float).mean(axis=1)
        rows.append(int(np.argmax(brightness)))
    assert rows[1] < 40 < 70 < rows[0]


PROBE = """<script>
addEventListener("load", async () => {
  const wait = ms => new Promise(done => setTimeout(done, ms));
  for (let i = 0; i < 50 && [...document.querySelectorAll("audio")].some(a => !a.duration && !a.error); i++) await wait(100);
  const sounds = [...document.querySelectorAll("audio")].filter(a => a.duration > 0.5).length;
  const pictures = [...document.images].filter(i => i.naturalWidth > 100).length;
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  document.title = `sounds ${sounds} pictures ${pictures} overflow ${wide}`;
});
</script></body>"""


def chromium(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        absent("chromium")
    quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command = [str(program), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", *quiet]
    command += [f"--user-data-dir={profile}", "--hide-scrollbars", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_plays_its_sounds_and_fits_it_in(report: Report, tmp_path: Path, width: int) -> None:
    page = tmp_path / "probe.html"
    text = re.sub(r"<meta http-equiv.*?>", "", render(report))  # it would keep the probe from running, as it should
    page.write_text(text.replace("</body>", PROBE), encoding="utf-8")
    done = chromium(
        page, tmp_path / "profile", f"--window-size={width},900", "--virtual-time-budget=9000", "--dump-dom"
    )
    title = re.search("<title>(.*?)</title>", done.stdout)
    assert title and title[1] == "sounds 6 pictures 6 overflow 0", (title and title[1], done.stderr[-500:])


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_by_day_and_by_night(report: Report, tmp_path: Path, scheme: str) -> None:
    page, picture = tmp_path / "report.html", tmp_path / f"{scheme}.png"
    page.write_text(render(report), encoding="utf-8")
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    done = chromium(page, tmp_path / "profile", "--window-size=1200,3000", f"--screenshot={picture}", *dark)
    assert picture.is_file(), done.stderr[-500:]
    pixels = np.asarray(Image.open(picture).convert("L"), dtype=float)
    assert pixels.shape == (3000, 1200)
    assert (np.median(pixels) > 200) if scheme == "light" else (np.median(pixels) < 60)
    assert pixels[:600].std() > 5  # there is something on it
    if folder := os.environ.get("KEEP_SCREENSHOTS"):
        shutil.copy(picture, folder)
