"""Prepare a dataset: `python -m keras_lru.datasets lra_listops --processes 2`.

Interrupted or killed, it goes on where it was when it is started again.
"""

import argparse
import dataclasses
import os
import sys

import tensorflow_datasets as tfds

from keras_lru.datasets import building
from keras_lru.datasets.building.generated_builder import SPLITS, GeneratedBuilder


def make_builder(args, parser):
    """The builder that the command line asks for."""
    builder_class = _builders()[args.dataset]
    generated = {
        name: getattr(args, name)
        for name in ("config", "num_examples", "seed", "processes")
        if getattr(args, name) is not None
    }
    if not issubclass(builder_class, GeneratedBuilder):
        if generated:
            parser.error(f"{args.dataset} is not generated, and takes no {generated}")
        return builder_class(data_dir=args.data_dir)

    configs = builder_class.builder_configs
    name = args.config or builder_class.BUILDER_CONFIGS[0].name
    if name not in configs:
        parser.error(f"--config must be one of {list(configs)}. Received: {name}")
    config = configs[name]
    changes = {} if args.seed is None else {"seed": args.seed}
    if args.num_examples is not None:
        for split in SPLITS[1:]:
            most = config.num_examples(split)
            changes[f"{split}_examples"] = min(args.num_examples, most)
        changes["train_examples"] = args.num_examples
    try:
        if changes:
            config = dataclasses.replace(config, name="", **changes)
        return builder_class(
            data_dir=args.data_dir, config=config, processes=args.processes
        )
    except ValueError as error:
        return parser.error(str(error))


def main(arguments=None):
    """Prepare the dataset and say where it lies."""
    parser = make_parser()
    args = parser.parse_args(arguments)
    builder = make_builder(args, parser)
    try:
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=args.manual_dir)
        )
    except KeyboardInterrupt:
        sys.exit("Interrupted. The same command goes on from here.")
    for split, info in builder.info.splits.items():
        print(f"{split}: {info.num_examples} examples")
    print(f"{builder.info.full_name} lies in {builder.data_dir}")


def make_parser():
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m keras_lru.datasets", description=__doc__
    )
    parser.add_argument("dataset", choices=sorted(_builders()))
    parser.add_argument("--config", help="one of the dataset's configs")
    parser.add_argument(
        "--num-examples",
        type=int,
        help="size of the training set; validation and test set get no larger",
    )
    parser.add_argument("--seed", type=int, help="default: 0")
    parser.add_argument("--processes", type=int, help="default: one per core")
    home = {"type": os.path.expanduser}
    parser.add_argument(
        "--data-dir", **home, help="where prepared data lies; TFDS's default"
    )
    parser.add_argument(
        "--manual-dir", **home, help="where files lie that you have fetched"
    )
    return parser


def _builders():
    members = (getattr(building, name) for name in building.__all__)
    return {
        member.name: member
        for member in members
        if isinstance(member, type) and issubclass(member, tfds.core.DatasetBuilder)
    }


if __name__ == "__main__":
    main()
