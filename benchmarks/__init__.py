"""Speed of keras_lru beside its peers, as ratios taken in one process."""
