"""Products with a matrix or a vector, of single steps and of sequences."""

from keras import ops


def project(x, matrix, dtype):
    """`x @ matrix` in `dtype`, as one product of two matrices.

    Args:
        x: `(batch, features)` or `(batch, time, features)`.
        matrix: `(features, columns)`.
        dtype: Dtype of the product.

    Returns:
        A tensor like `x`, of `columns` features.
    """
    x, matrix = ops.cast(x, dtype), ops.cast(matrix, dtype)
    if len(x.shape) == 2:
        return ops.matmul(x, matrix)
    _, time, features = ops.shape(x)
    product = ops.matmul(ops.reshape(x, (-1, features)), matrix)
    # Not `batch`: jax2onnx cannot find an unknown one in the sizes of `product`.
    return ops.reshape(product, (-1, time, matrix.shape[-1]))


def feed_through(inputs, D, dtype):
    """`D u` in `dtype`: zero if `D` is `None`, a product by feature if it is a vector.

    Args:
        inputs: `u`, `(batch, features)` or `(batch, time, features)`, of that dtype.
        D: `None`, `(features,)` or `(features, columns)`.
        dtype: Dtype of the product.

    Returns:
        A tensor that broadcasts to the outputs.
    """
    if D is None:
        return ops.zeros((), dtype=dtype)
    if len(D.shape) == 1:
        return inputs * ops.cast(D, dtype)
    return project(inputs, D, dtype)
