"""A user's mistake, as opposed to a bug of ours."""

import sys


class UserError(Exception):
    """Something the user can mend: the message names the file, the line or utterance, what is wrong, what to do."""


def run(main) -> None:
    """Call `main()` as a script's body: a UserError becomes one line on stderr and exit status 1, without traceback.

    An interrupt (Ctrl-C, or SIGTERM where the script turns it into one) exits with status 130.
    """
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
