"""Files appear whole, in one step."""

import os

import pytest

from steps.common import files
from steps.common.errors import UserError, plain
from steps.common.files import atomic_open, check_is_file, remove_leftovers, unfinished, utf8_text, write_lines


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
    with pytest.raises(UserError, match="there: is there, and is not a regular file"):
        write_lines(tmp_path / "there", ["new"])
    assert os.stat(tmp_path / "there").st_mode == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(("pid", "days", "stays"), [(0, 0, True), (2**30, 0, False), (2**30, 2, False)])
def test_what_a_killed_process_has_left_is_removed(tmp_path, monkeypatch, pid, days, stays):
    """Of another machine's, whose processes nobody here knows, what has changed within a day is left alone."""
    pid = pid or os.getpid()
    monkeypatch.setattr("os.getpid", lambda: pid)
    ours = unfinished("feats.ark")
    monkeypatch.setattr("platform.node", lambda: "another")
    theirs = unfinished("feats.ark")
    monkeypatch.undo()
    for name in (f"{ours}abc.tmp", f"{theirs}abc.tmp"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (files.time.time() - days * 86400,) * 2)
    remove_leftovers(tmp_path)
    assert (tmp_path / f"{ours}abc.tmp").exists() == stays
    assert (tmp_path / f"{theirs}abc.tmp").exists() == (days == 0)


def test_in_folders_of_users_only_what_is_ours_is_removed(tmp_path):
    of_page, others = ".page.html.999999999-00000000.abc.tmp", (".notes.2024.txt", ".other.html.999999999.abc.tmp")
    for name in (of_page, *others):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1, 1))
    remove_leftovers(tmp_path, ["page.html"])
    remove_leftovers(tmp_path / "nowhere", ["a.txt"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_not_read(tmp_path, make):
    make(tmp_path / "file")
    for act in (utf8_text, check_is_file):
        with pytest.raises(UserError, match="file: a pipe or a device"):
            act(tmp_path / "file")


def test_a_pipe_of_the_shell_is_read():
    reading, writing = os.pipe()
    os.write(writing, b"a\nb\n")
    os.close(writing)
    assert files.utf8_lines(files.Path(f"/dev/fd/{reading}")) == ["a", "b"]
    os.close(reading)


def test_a_message_without_what_a_terminal_obeys():
    assert plain("a\x1b[31m\0b\n  c\t语") == "a\\x1b[31m\\x00b\n  c\t语"
