"""Products with a matrix, of single steps and of sequences."""

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
