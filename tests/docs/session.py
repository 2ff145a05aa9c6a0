"""A session of a page: runs the Python blocks that it is sent, one after another, in one namespace."""

from __future__ import annotations

import json
import os
import sys
import traceback

if __name__ == "__main__":
    asked, replies = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    namespace: dict[str, object] = {"__name__": "page"}
    for line in asked:
        block = json.loads(line)
        output = os.open(block["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        failed = False
        try:
            exec(compile(block["code"], block["name"], "exec"), namespace)
        except BaseException:
            traceback.print_exc()
            failed = True
        sys.stdout.flush()
        sys.stderr.flush()
        print(json.dumps({"failed": failed}), file=replies, flush=True)
