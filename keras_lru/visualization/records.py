"""Spectra over the course of training, as rows of a CSV file."""

import csv

from keras_lru.visualization.spectrum import QUANTITIES, STATISTICS

FIELDS = (
    "step",
    "layer",
    *(f"{quantity}_{statistic}" for quantity in QUANTITIES for statistic in STATISTICS),
)


def read_records(path):
    """The rows of a file that `SpectrumLogger` wrote, as dictionaries.

    A last row that was cut short is left out.

    Raises:
        ValueError: If it is a file of another kind.
    """
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != FIELDS:
            raise ValueError(
                f"{path} must be a CSV file of SpectrumLogger, with the columns "
                f"{', '.join(FIELDS[:3])}, … Received: the columns {reader.fieldnames}"
            )
        return [_typed(row) for row in reader if None not in row.values()]


def _typed(row):
    values = {name: float(row[name]) for name in FIELDS[2:]}
    return {"step": int(row["step"]), "layer": row["layer"], **values}


def write_records(path, records):
    """Writes a new file in the place of an old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerow(FIELDS)
    append_records(path, records)


def append_records(path, records):
    """Adds rows."""
    with open(path, "a", newline="") as file:
        csv.DictWriter(file, FIELDS).writerows(records)
