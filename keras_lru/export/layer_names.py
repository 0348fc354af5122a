"""The layers of a model by names that tell them apart."""

from keras_lru.export.keras_layers import runs_its_layers_itself


def named_layers(model):
    """`{name: layer}`: the model and all layers in it that a sequence runs through.

    What is inside a recurrence, or a layer that says itself how it runs in a stream, is
    that layer's own affair. A layer's name is made unique by those of the layers that
    it is in.
    """
    chains = {}

    def walk(layer, chain):
        if id(layer) in chains:
            return
        chains[id(layer)] = (chain, layer)
        own_affair = hasattr(layer, "call_in_stream") or runs_its_layers_itself(layer)
        if not own_affair:
            for child in layer._flatten_layers(include_self=False, recursive=False):
                walk(child, (*chain, child.name))

    walk(model, (model.name,))
    suffixes = [{chain[i:] for i in range(len(chain))} for chain, _ in chains.values()]

    def shortest(chain):
        for start in range(len(chain) - 1, -1, -1):
            if sum(chain[start:] in suffix for suffix in suffixes) == 1:
                return "/".join(chain[start:])
        return "/".join(chain)

    return {shortest(chain): layer for chain, layer in chains.values()}
