"""A user's mistake, as opposed to a bug of ours."""

import errno
import os
import re
import shutil
import signal
import sys

AGAIN_S = 0.5


DISK = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "your quota of the disk is used up: free some space",
    errno.EFBIG: "the file would be larger than allowed: raise the limit (ulimit -f), or use another file system",
    errno.EROFS: "the file system is mounted read-only: remount it, or work in another folder",
    errno.EACCES: "permission denied: give yourself the right to write and read there, or work in another folder",
    errno.EPERM: "not permitted: give yourself the right to write and read there, or work in another folder",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n 4096)",
    errno.ENFILE: "too many files are open on this machine: end some programs",
    errno.EIO: "the disk fails to read or write: look at it (dmesg) before anything else",
    errno.ESTALE: "the network file system has lost the file: mount it again",
    errno.ENAMETOOLONG: "the name is too long: use a shorter one, or a folder with a shorter path",
    errno.ENOTDIR: "a file stands where a folder should be: move it away, or name a folder",
    errno.EISDIR: "a folder stands where a file should be: move it away, or name a file",
    errno.ELOOP: "it is a link that leads back to itself: remove it",
    errno.EEXIST: "a link that leads nowhere stands there: remove it, or bring back what it leads to",
    errno.ENOLCK: "the file system has no locks, or no more of them: mount it with locks, or work in another folder",
    errno.ENOTSUP: "the file system cannot do this: work in another folder",
    errno.ENOENT: "no such file: something removed it, or a link leads to a disk that is not there; put it back",
}
FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO  # errors for which the free space is said


class UserError(Exception):
    """Something the user can mend: the message names the file, the line or utterance, what is wrong, what to do."""


def run(main, errors: str = "backslashreplace") -> None:
    """Call `main()` as a script's body: a UserError becomes one line on stderr and exit status 1, without traceback.

    `errors` is what becomes of characters that the encoding of stdout lacks, as of `open`. A script whose output others
    read as text takes "strict".

    Ctrl-C and SIGTERM raise KeyboardInterrupt in `main`, once: later ones do not disturb its clearing up. The exit
    status is then 130. An OSError of a disk that is full or must not be written to is a UserError, too.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is in the background of a shell script
        signal.signal(signal.SIGINT, _interrupt)
    if hasattr(sys.stdout, "reconfigure"):  # a test may have put another stream there
        sys.stdout.reconfigure(errors=errors)
    try:
        _call(main)
    except UserError as error:
        sys.exit(f"error: {plain(str(error))}")
    except BrokenPipeError:  # the reader of the output, such as head, has ended
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in DISK and error.filename is None:
            raise
        sys.exit(f"error: {disk_error(error)}")
    except UnicodeEncodeError as error:
        sys.exit(f"error: {encode_error(error)}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        drop_output()


def plain(text: str) -> str:
    """A message without what a terminal would obey; names of files and values may hold it."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)


def counted(number: int, noun: str) -> str:
    """A number of things, for a message: `1 utterance`, `2 utterances`. `noun` is one that takes an s."""
    return f"{number} {noun}{'s' * (number != 1)}"


def umask() -> int:
    """The rights that new files of this process lack."""
    current = os.umask(0)
    os.umask(current)
    return current


def check_umask() -> None:
    """Raise UserError if the user would have no right to new files and folders: they could not even be removed."""
    if umask() & 0o700:
        raise UserError(f"umask {umask():03o} takes your own rights to new files from you; set another: umask 022")


def _call(main) -> None:
    """Call `main`, and write what it has printed while errors of that are still told."""
    check_umask()
    try:
        main()
    except SystemExit:
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def drop_output() -> None:
    """Write what is printed, or drop it if that fails: Python would try again as it ends, and print the error."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def disk_error(error: OSError) -> str:
    """What an OSError of the disk means, which file system it is, and what to do."""
    path = os.fspath(error.filename2 or error.filename or "standard input or output, or a file without a name")
    why = DISK.get(error.errno, f"the file system refuses it ({error.strerror}): look at it, or work in another folder")
    said = f"{path}: {why}, then run this again; what is finished is kept"
    if error.errno not in FULL:
        return said
    folder = path if error.filename else os.getcwd()
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder) or os.curdir
    usage = shutil.disk_usage(folder)
    room = f"{usage.free / 1e6:.1f} MB of {usage.total / 1e6:.1f} MB are free on {_mount_point(folder)} now"
    return f"{said} ({room})"


def encode_error(error: UnicodeEncodeError) -> str:
    """What a UnicodeEncodeError of a file or of standard output means, and what to do."""
    wrong = error.object[error.start:error.end][:20]
    if "\ud800" <= wrong[:1] <= "\udfff":
        return f"{error.object[:200]!r}: no text: a file's name, perhaps, that is not of UTF-8; rename the file"
    return (f"{wrong!r} cannot be written in {error.encoding}; use UTF-8: export PYTHONIOENCODING=utf-8, or a locale "
            "of UTF-8, such as LC_ALL=C.UTF-8")


def _mount_point(folder: str) -> str:
    folder = os.path.realpath(folder)
    while not os.path.ismount(folder):
        folder = os.path.dirname(folder)
    return folder


def _interrupt(number, frame) -> None:
    """Raise KeyboardInterrupt, and see to it that it arrives: Python drops what is raised in a destructor or fork hook.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _interrupt_again)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
    sys.unraisablehook = lambda dropped: None
    raise KeyboardInterrupt


def _interrupt_again(number, frame) -> None:
    """Raise KeyboardInterrupt if none is being handled: the one before was dropped."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return
        error = error.__context__
    raise KeyboardInterrupt
