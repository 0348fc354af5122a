"""Cases, and the suites that they are registered in."""

from dataclasses import dataclass, field

import keras


@dataclass
class Target:
    """`candidate` must take at most `limit` times as long as `reference`.

    Without a `reference`, its first call must take at most `limit` seconds.
    """

    candidate: str
    reference: str | None
    limit: float
    backend: str | None = None


@dataclass
class Case:
    """Candidates that do the same work, and what the library promises among them.

    `build()` returns `{name: Compiled}`, checked already. `tokens` are those of one
    call, for times per token. `work` is the least that it must move and compute,
    `(bytes, FLOPs)`, for the time that the device would need for that.
    """

    name: str
    build: object
    targets: list = field(default_factory=list)
    tokens: int | None = None
    work: tuple | None = None


BOTH = ("cpu", "gpu")
_CASES = {suite: [] for suite in (*BOTH, "time", "input")}


def case(
    name,
    *targets,
    suites=("cpu",),
    backends=("jax", "tensorflow", "torch"),
    tokens=None,
    work=None,
):
    """Register the decorated builder in `suites`, for `backends`."""

    def register(build):
        backend = keras.backend.backend()
        if backend in backends:
            kept = [t for t in targets if t.backend in (None, backend)]
            for suite in suites:
                _CASES[suite].append(Case(name, build, kept, tokens, work))
        return build

    return register


def registered(suite):
    """The cases of `suite`, of the modules imported so far, that this backend runs."""
    return list(_CASES[suite])
