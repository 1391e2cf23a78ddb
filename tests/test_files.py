"""Files appear whole, in one step."""

import os

import pytest

from steps.common.errors import UserError
from steps.common.files import atomic_open, write_lines


def test_a_file_is_replaced_in_one_step(tmp_path):
    """Who has the old file, under another name or open, keeps it whole; so nobody ever sees half a file."""
    path, other = tmp_path / "file", tmp_path / "other"
    write_lines(path, ["old"])
    os.link(path, other)
    with open(path) as reader:
        write_lines(path, ["new", "lines"])
        assert reader.read() == other.read_text() == "old\n"
    assert path.read_text() == "new\nlines\n"
    assert sorted(tmp_path.iterdir()) == [path, other]


def test_an_error_leaves_the_old_file(tmp_path):
    write_lines(tmp_path / "file", ["old"])
    with pytest.raises(ZeroDivisionError), atomic_open(tmp_path / "file") as file:
        file.write("half")
        raise ZeroDivisionError
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old\n"]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_replaced(tmp_path, make):
    """A device would be lost to everybody: `--html /dev/null` by root."""
    make(tmp_path / "there")
    before = os.stat(tmp_path / "there").st_mode
    with pytest.raises(UserError, match="there: is there, and is no regular file"):
        write_lines(tmp_path / "there", ["new"])
    assert os.stat(tmp_path / "there").st_mode == before and len(list(tmp_path.iterdir())) == 1
