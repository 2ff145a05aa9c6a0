"""``python -m oarlock.cli``: the command without an installed script."""

from oarlock.cli.main import main

if __name__ == "__main__":
    main()
