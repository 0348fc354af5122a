"""What computes examples, in worker processes that need NumPy and Pillow alone."""
