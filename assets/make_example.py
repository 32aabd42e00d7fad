"""Create the README's example figure: spectrogram of the example recording, with its generated caption as the title.

.venv/bin/python -m assets.make_example
"""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from captioning.files import DEFAULT_CHECKPOINT
from data.audio import load_audio
from models.captioner import AudioCaptioner

FOLDER = Path(__file__).parent
RECORDING = FOLDER / "siren_then_waves.flac"
PICTURE = FOLDER / "example.png"
DYNAMIC_RANGE_DB = 70.0
NUM_COLOURS = 24  # reduces the file size


def draw_example(caption: str, path: Path) -> None:
    """Write the spectrogram of the recording, with a caption as its title, as a PNG file."""
    sample_rate = 32000
    waveform = load_audio(RECORDING, sample_rate)
    figure = Figure(figsize=(10.4, 3.0), dpi=100, layout="constrained")
    canvas, axes = FigureCanvasAgg(figure), figure.subplots()
    *_, image = axes.specgram(waveform + 1e-9, NFFT=1024, Fs=sample_rate, noverlap=768, cmap="Blues")
    highest = float(np.max(image.get_array()))
    image.set_clim(highest - DYNAMIC_RANGE_DB, highest)
    axes.set(ylim=(0, 10000), xlabel="time (s)", ylabel="frequency (kHz)")
    axes.set_yticks([0, 2500, 5000, 7500, 10000], ["0", "2.5", "5", "7.5", "10"])
    axes.set_title(f"“{caption}”", fontsize=14)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture.quantize(NUM_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Caption the recording and draw it."""
    captioner = AudioCaptioner.from_pretrained(DEFAULT_CHECKPOINT)
    [captions] = captioner.caption([load_audio(RECORDING, captioner.sample_rate)])
    draw_example(captions[0].text, PICTURE)


if __name__ == "__main__":
    main()
