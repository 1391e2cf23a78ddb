"""A user's mistake, as opposed to a bug of ours."""

import signal
import sys

AGAIN_S = 0.5


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
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


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
    """Raise KeyboardInterrupt where none is being handled: the one before was dropped."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return
        error = error.__context__
    raise KeyboardInterrupt
