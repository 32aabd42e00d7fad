"""Given subtitles come back as they were, with labels between them."""

from pathlib import Path

import pysubs2
import pytest

from captioning.sound_subtitles import Label
from captioning.subtitle_files import SubtitleError, SubtitleFile

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i>, <font color="#ff0000">you</font>.

2
00:00:03,000 --> 00:00:04,000
{\\an8}A & B: 10
- "No"

3
00:00:09,000 --> 00:00:10,000
...
"""
VTT = "WEBVTT\n\n00:01.000 --> 00:02.500\n<v Anna>Hello &amp; goodbye\n\n01:00:03.000 --> 01:00:04.000\nNo\n"
ASS = """[Script Info]
Title: A film
ScriptType: v4.00+
PlayResX: 1280

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Speech,Arial,40,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,-1,0,0,0,100,100,0,0,1,2,2,2,10,10,10,1
Style: Sign,Arial,30,&H0000FFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,2,2,8,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:09.00,0:00:10.00,Sign,,0,0,0,,{\\pos(10,20)}EXIT
Comment: 0,0:00:05.00,0:00:06.00,Speech,,0,0,0,,a note
Dialogue: 0,0:00:01.00,0:00:02.50,Speech,Anna,5,0,0,fx,{\\i1}Hello{\\i0}, you\\Nand you
"""
LABELS = [Label(0.0, 0.9, "[rain falls]"), Label(4.2, 6.25, "[dog barks,\nrain falls]"), Label(11, 13, "[bell rings]")]


def given(tmp_path: Path, name: str, content: str | bytes) -> SubtitleFile:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return SubtitleFile(tmp_path / name)


def test_labels_stand_between_the_lines_of_an_srt_file(tmp_path: Path) -> None:
    merged = given(tmp_path, "film.srt", SRT).merged(LABELS).decode()
    assert merged == (
        "1\n00:00:00,000 --> 00:00:00,900\n[rain falls]\n\n"
        '2\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i>, <font color="#ff0000">you</font>.\n\n'
        '3\n00:00:03,000 --> 00:00:04,000\n{\\an8}A & B: 10\n- "No"\n\n'
        "4\n00:00:04,200 --> 00:00:06,250\n[dog barks,\nrain falls]\n\n"
        "5\n00:00:09,000 --> 00:00:10,000\n...\n\n"
        "6\n00:00:11,000 --> 00:00:13,000\n[bell rings]\n\n"
    )


def test_an_ass_file_keeps_styles_comments_and_order(tmp_path: Path) -> None:
    subtitles = given(tmp_path, "film.ass", ASS)
    assert subtitles.spans() == [(9.0, 10.0), (1.0, 2.5)]
    merged = pysubs2.SSAFile.from_string(subtitles.merged(LABELS).decode())
    before = pysubs2.SSAFile.from_string(ASS)
    added = [event for event in merged if event.text.startswith("[")]
    assert [(event.start, event.style, event.text) for event in added] == [
        (0, "Speech", "[rain falls]"), (4200, "Speech", r"[dog barks,\Nrain falls]"), (11000, "Speech", "[bell rings]"),
    ]  # fmt: skip
    merged.events = [event for event in merged if event not in added]
    assert merged.equals(before) and merged.styles["Sign"].fontsize == 30 and merged[0].text == r"{\pos(10,20)}EXIT"


def test_a_vtt_file(tmp_path: Path) -> None:
    merged = given(tmp_path, "film.vtt", VTT).merged(LABELS[:1]).decode()
    assert merged.startswith("WEBVTT\n\n1\n00:00:00.000 --> 00:00:00.900\n[rain falls]\n")
    assert "00:00:01.000 --> 00:00:02.500\n<v Anna>Hello &amp; goodbye\n" in merged


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encoding_and_line_ends_stay(tmp_path: Path, encoding: str, newline: str) -> None:
    text = SRT.replace("Hello", "Café").replace("\n", newline)
    merged = given(tmp_path, "film.srt", text.encode(encoding)).merged([]).decode(encoding)
    assert "Café" in merged and merged.count(newline) == merged.count("\n") == text.count("\n") + 1
    assert merged == text + newline


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.srt", "", "must be subtitles in one of the formats srt, vtt, ass, ssa"),
        ("a.srt", "no subtitles at all\n", "must be subtitles"),
        ("a.sub", "{0}{25}{}a\n{30}{50}b\n", "must be subtitles"),
        ("a.vtt", "WEBVTT\n", "no line with a time"),
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000 align:start\nno\n", "align:start"),
        ("a.vtt", "WEBVTT\n\nSTYLE\n::cue {}\n\n00:01.000 --> 00:02.000\nno\n", "'STYLE', which the merged file would"),
        (
            "a.vtt",
            "WEBVTT\n\n00:01.000 --> 00:02.000\nno\n\nNOTE later\n\n00:03.000 --> 00:04.000\nno\n",
            "'NOTE later'",
        ),
        ("a.ass", ASS + "\n[Aegisub Extradata]\nData: 1,e,k,v\n", "Aegisub Extradata"),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(SubtitleError, match="--merge_into .*" + message.replace("[", r"\[")):
        given(tmp_path, name, content)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SubtitleError, match="cannot be read"):
        SubtitleFile(tmp_path / "none.srt")
