"""Train an LRU in a loop of PyTorch: its modules, data loader, optimizer and files.

    python examples/torch_loop.py

The model is a `torch.nn.Module` of two LRU blocks and a `torch.nn.Linear`, which reads
the digits that come inside scikit-learn pixel by pixel. The weights of the recurrences
get half the rate and no decay, as groups of a PyTorch optimizer. At the end the weights
go through a file into another model, and that is exported by `torch.export`, for any
batch. About a minute on two CPU cores.
"""

import argparse
import os
import time
from pathlib import Path


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output-dir", type=Path, default=Path("runs/torch_loop"))
    args = parser.parse_args()
    for name in ("epochs", "units"):
        value = getattr(args, name)
        if value < 1:
            parser.error(f"--{name} must be at least 1. Received: {value}")
    return args


def load_digits():
    """Sequences `(64, 1)` and their labels, for training and for the test."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = torch.as_tensor(x[..., None] / 8 - 1, dtype=torch.float32)
    y = torch.as_tensor(y)
    test = torch.arange(len(y)) % 5 == 0
    return TensorDataset(x[~test], y[~test]), TensorDataset(x[test], y[test])


def make_model(units):
    class Classifier(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = LRUBlock(units, return_sequences=True, name="first")
            self.second = LRUBlock(units, pooling="mean", name="second")
            self.head = torch.nn.Linear(units, 10)
            # Layers of Keras have weights when they know how many features there are.
            self.first.build((None, None, 1))
            self.second.build((None, None, units))

        def forward(self, x):
            # They ask by an argument whether they are trained.
            x = self.first(x, training=self.training)
            return self.head(self.second(x, training=self.training))

    return Classifier()


def parameter_groups(model, rate):
    """The recurrences' at half the rate and without decay, and the others."""
    recurrent = {
        id(variable.value)
        for block in (model.first, model.second)
        for variable in block.trainable_variables
        if getattr(variable, "is_recurrent", False)
    }
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {
            "params": [p for p in parameters if id(p) in recurrent],
            "lr": rate / 2,
            "weight_decay": 0.0,
        },
        {"params": [p for p in parameters if id(p) not in recurrent], "lr": rate},
    ]


def accuracy(model, data):
    model.eval()
    x, y = data.tensors
    with torch.no_grad():
        return (model(x.to(DEVICE)).argmax(-1).cpu() == y).double().mean().item()


def main(args):
    start = time.perf_counter()
    keras.utils.set_random_seed(args.seed)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    train, test = load_digits()
    loader = DataLoader(train, batch_size=50, shuffle=True)

    rate = 0.01
    model = make_model(args.units).to(DEVICE)
    optimizer = torch.optim.AdamW(parameter_groups(model, rate), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=[rate / 2, rate],
        total_steps=args.epochs * len(loader),
        pct_start=0.1,
    )
    for epoch in range(args.epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(x.to(DEVICE)), y.to(DEVICE))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(
            f"epoch {epoch + 1:2d}: loss {total / len(loader):.3f}, "
            f"test accuracy {100 * accuracy(model, test):.2f} %",
            flush=True,
        )

    weights = args.output_dir / "model.pt"
    torch.save(model.state_dict(), weights)
    again = make_model(args.units).to(DEVICE)
    again.load_state_dict(torch.load(weights))
    again.eval()

    x = test.tensors[0][:7].to(DEVICE)
    shapes = {"x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(again, (x,), dynamic_shapes=shapes)
    exported = args.output_dir / "model.pt2"
    torch.export.save(program, exported)
    served = torch.export.load(exported).module()
    x = test.tensors[0].to(DEVICE)
    with torch.no_grad():
        difference = (served(x) - model.eval()(x)).abs().max().item()
    print(f"Weights:  {weights}")
    print(f"Exported: {exported}, largest difference {difference:.1e}")
    print(f"Time:     {time.perf_counter() - start:.0f} s on {DEVICE}")


if __name__ == "__main__":
    args = parse_args()
    # Keras chooses its backend when it is imported.
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from keras_lru import LRUBlock

    DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
    main(args)
