"""The command ``oarlock``: verbs first, data to stdout, talk to stderr, exit codes 0, 1 and 2."""
