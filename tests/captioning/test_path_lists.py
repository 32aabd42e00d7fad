"""Lists of recordings."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from captioning.files import expand
from captioning.path_lists import is_list, read_list


def table(path: Path, **columns: list[object]) -> str:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def test_text(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# recordings\na b.wav\n\n  s3://night/c.flac\r\n")
    assert list(read_list(str(tmp_path / "list.txt"))) == ["a b.wav", "s3://night/c.flac"]
    (tmp_path / "d.wav").touch()
    assert expand([str(tmp_path / "list.txt"), str(tmp_path / "d.wav")])[::2] == ["a b.wav", str(tmp_path / "d.wav")]
    assert not is_list(str(tmp_path / "none.txt")) and not is_list(str(tmp_path / "d.wav"))


def test_parquet(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", label=["x", "y", "z"], file=["a.wav", None, "b.wav"])
    assert list(read_list(path)) == ["a.wav", "b.wav"]
    assert list(read_list(table(tmp_path / "b.parquet", name=["a.wav"], size=[1]))) == ["a.wav"]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has the columns a, b: name that of the paths path"):
        list(read_list(table(tmp_path / "a.parquet", a=["x"], b=["y"])))
    (tmp_path / "b.parquet").write_text("no table")
    with pytest.raises(ValueError, match="b.parquet is not a Parquet file"):
        list(read_list(str(tmp_path / "b.parquet")))
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match="the list .*empty.txt is empty"):
        expand([str(tmp_path / "empty.txt")])
