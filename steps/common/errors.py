"""A user's mistake, as opposed to a bug of ours."""

import signal
import sys


class UserError(Exception):
    """Something the user can mend: the message names the file, the line or utterance, what is wrong, what to do."""


def run(main) -> None:
    """Call `main()` as a script's body: a UserError becomes one line on stderr and exit status 1, without traceback.

    Ctrl-C and SIGTERM raise KeyboardInterrupt in `main`, once: later ones do not disturb its clearing up. The exit
    status is then 130.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as it is in the background of a shell script
        signal.signal(signal.SIGINT, _interrupt)
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _interrupt(number, frame) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
