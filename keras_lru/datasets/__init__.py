"""Datasets of the Long Range Arena and the copy memory task, for TFDS."""
