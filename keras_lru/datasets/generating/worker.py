"""A process that computes chunks: started by `parallel.py`, as a script.

It reads pickles from its standard input: the import paths, then the function and the
directory, then ranges of indices until the input ends, which it also does when the
parent is killed. After each range it writes a pickle to its standard output: None,
or the traceback of what went wrong.
"""

import contextlib
import os
import pickle
import signal
import sys
import traceback


def main():
    """Serve the process on the other end of the standard input and output."""
    # Ctrl-C reaches the whole terminal: the parent decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # What the function prints must not end up among the answers.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    sys.path[:] = pickle.load(requests)
    from keras_lru.datasets.generating.chunks import compute_chunk

    function = directory = None
    # The parent has been killed where the pipe ends or breaks.
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            answer = None
            try:
                request = pickle.load(requests)
                if function is None:
                    function, directory = request
                else:
                    compute_chunk(function, request, directory)
            except EOFError:
                raise
            except Exception:
                answer = traceback.format_exc()
            pickle.dump(answer, answers)
            answers.flush()


if __name__ == "__main__":
    main()
