"""``python -m neurofit`` is the command `neurofit`."""

import sys


def main() -> None:
    """Run the command; one that is interrupted before it has begun ends as one that runs does."""
    try:
        from neurofit.cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("neurofit: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
