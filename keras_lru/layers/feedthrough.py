"""The feedthrough D, for cells whose output depends on their input directly."""

from keras import initializers

from keras_lru.checks import check_choice

FEEDTHROUGHS = ("auto", "vector", "matrix", "none")


class Feedthrough:
    """Mixin of cells `y = … + D u`, with an argument `feedthrough`.

    The cell has the attributes `feedthrough` and `feedthrough_initializer`.
    """

    def _add_feedthrough(self, input_dim):
        """D, a weight, or `None` without one."""
        feedthrough = self._feedthrough_for(input_dim)
        if feedthrough == "none":
            return None
        shape = (self.units,) if feedthrough == "vector" else (input_dim, self.units)
        initializer = self.feedthrough_initializer or initializers.RandomNormal(
            stddev=1.0, seed=self.seed_for("feedthrough")
        )
        return self.make_weight("D", shape, initializer, "feedthrough")

    def _feedthrough_for(self, input_dim):
        """`self.feedthrough` for inputs of these features, "auto" no more."""
        feedthrough = self.feedthrough
        if feedthrough == "auto":
            feedthrough = "vector" if input_dim == self.units else "matrix"
        if feedthrough == "vector" and input_dim != self.units:
            raise ValueError(
                '`feedthrough="vector"` needs inputs of `units` features. Received: '
                f"units={self.units}, inputs of {input_dim} features"
            )
        return feedthrough


def check_feedthrough(feedthrough):
    """Raise `ValueError` unless it is one of `FEEDTHROUGHS`; return it."""
    check_choice("feedthrough", feedthrough, FEEDTHROUGHS)
    return feedthrough
