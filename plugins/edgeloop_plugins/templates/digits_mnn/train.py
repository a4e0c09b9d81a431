"""Train a small network of convolutions on real handwritten digits, with MNN itself.

The 1,797 images come with scikit-learn, so nothing is downloaded. `edgeloop train` runs this file; `python train.py`
does too. Lines of JSON that hold `step` become curves; everything else that is printed is the log.
"""

import json
import math
import os
import time
from pathlib import Path

import numpy as np
from MNN import expr, nn, optim
from sklearn.datasets import load_digits

SEED = 0
OUTPUT = Path(os.environ.get("EDGELOOP_OUTPUT", "artifacts"))  # what is written here is the training's result
SIDE = 32  # the images' width and height after enlarging
HELD_OUT = 360  # images that the training never sees
STEPS = 210
BATCH = 8
LEARNING_RATE = 2e-3
WARM_UP = 20  # steps with a growing learning rate
LOG_EVERY = 10  # steps


class Network(nn.Module):
    """Four convolutions that take a 32x32 image down to one point, and a fifth that gives that point ten scores."""

    def __init__(self) -> None:
        super().__init__()
        same = expr.Padding_Mode.SAME
        self.conv1 = nn.conv(1, 72, [7, 7], padding_mode=same)
        self.conv2 = nn.conv(72, 64, [4, 4], stride=[2, 2], padding_mode=same)
        self.conv3 = nn.conv(64, 96, [4, 4], stride=[4, 4])
        self.conv4 = nn.conv(96, 128, [4, 4], stride=[4, 4])
        self.classify = nn.conv(128, 10, [1, 1])

    def forward(self, image: expr.Var) -> expr.Var:
        """Return the scores, float32 `[n, 10]`, of images, float32 `[n, 1, 32, 32]`."""
        x = expr.convert(image, expr.NC4HW4)  # the layout in which MNN's convolutions work
        for number, convolution in enumerate((self.conv1, self.conv2, self.conv3, self.conv4), start=1):
            x = expr.relu(convolution.forward(x))
            x.name = f"relu{number}"
        x = self.classify.forward(x)
        return expr.reshape(expr.convert(x, expr.NCHW), [-1, 10])


def enlarged_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images, float32 `[n, 1, 32, 32]` in -1..1, and their labels, uint8 `[n]`: the 8x8 originals, bilinear."""
    digits = load_digits()
    original = np.arange(8)
    position = (np.arange(SIDE) + 0.5) * 8 / SIDE - 0.5
    weights = np.maximum(0, 1 - np.abs(position.clip(0, 7)[:, None] - original[None]))  # [32, 8], rows sum to 1
    images = weights @ (digits.images / 8 - 1) @ weights.T
    return images[:, None].astype(np.float32), digits.target.astype(np.uint8)


def initialise(network: Network, random: np.random.Generator) -> None:
    """Give every weight a start that depends on the seed alone (He); MNN's own differs from run to run."""
    start = []
    for parameter in network.parameters:
        shape = parameter.shape
        spread = math.sqrt(2 / math.prod(shape[1:])) if len(shape) == 4 else 0.0  # biases begin at zero
        value = expr.const(random.normal(0, spread, shape).astype(np.float32), shape, expr.NCHW)
        value.fix_as_trainable()
        start.append(value)
    network.load_parameters(start)


def learning_rate(step: int) -> float:
    """Return the rate at `step`: it grows for a moment, then falls along a cosine."""
    return LEARNING_RATE * min(1.0, (step + 1) / WARM_UP) * (0.51 + 0.49 * math.cos(math.pi * step / STEPS))


def scores_of(network: Network, images: np.ndarray) -> np.ndarray:
    """Return the network's scores, float32 `[n, 10]`, of `images`."""
    batch = expr.const(images, list(images.shape), expr.NCHW)
    scores = network.forward(batch)  # held by a name while it is read: its memory goes with it
    return np.array(scores.read())


def train(network: Network, images: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> None:
    """Train `network`, and print a line of metrics now and then."""
    optimizer = optim.ADAM(network, LEARNING_RATE)
    network.train(True)
    passes = math.ceil(STEPS * BATCH / len(images))
    order = np.concatenate([random.permutation(len(images)) for _ in range(passes)])
    losses, hits = [], []
    for step in range(STEPS):
        chosen = order[step * BATCH : (step + 1) * BATCH]
        batch = expr.const(images[chosen], [BATCH, 1, SIDE, SIDE], expr.NCHW)
        truth = expr.one_hot(expr.const(labels[chosen].astype(np.int32), [BATCH], expr.NCHW, expr.int), 10, 1.0, 0.0)

        scores = network.forward(batch)
        loss = nn.loss.cross_entropy(expr.softmax(scores, 1), truth)
        optimizer.learning_rate = learning_rate(step)
        if not optimizer.step(loss):  # MNN says no word when it did not learn
            raise RuntimeError(f"MNN could not update the weights at step {step}")

        losses.append(float(loss.read()))
        hits.append(np.mean(np.array(scores.read()).argmax(1) == labels[chosen]))
        if (step + 1) % LOG_EVERY == 0:
            metrics = {"loss": round(float(np.mean(losses)), 4), "accuracy": round(float(np.mean(hits)), 4)}
            print(json.dumps({"step": step + 1, **metrics}), flush=True)
            losses.clear()
            hits.clear()


def save(network: Network, path: Path) -> None:
    """Write the network as an MNN model with the input `image` and the output `scores`."""
    network.train(False)
    image = expr.placeholder([1, 1, SIDE, SIDE], expr.NCHW)
    image.name = "image"
    scores = network.forward(image)
    scores.name = "scores"
    expr.save([scores], str(path))


def main() -> None:
    """Train, test, and write the model and the images that it never saw."""
    expr.lazy_eval(True)  # without it MNN's optimizers change nothing
    expr.set_thread_number(1)  # the same sums in the same order on every computer, and no waiting on busy ones
    random = np.random.default_rng(SEED)
    images, labels = enlarged_digits()
    order = np.random.default_rng(0).permutation(len(images))
    seen, held_out = order[HELD_OUT:], order[:HELD_OUT]

    print(f"{len(seen)} images to learn from, {len(held_out)} held out", flush=True)
    network = Network()
    initialise(network, random)
    begin = time.monotonic()
    train(network, images[seen], labels[seen], random)
    print(f"trained in {time.monotonic() - begin:.1f} s", flush=True)

    OUTPUT.mkdir(parents=True, exist_ok=True)
    save(network, OUTPUT / "digits.mnn")
    np.savez_compressed(OUTPUT / "heldout.npz", image=images[held_out], labels=labels[held_out])
    accuracy = np.mean(scores_of(network, images[held_out]).argmax(1) == labels[held_out])
    print(json.dumps({"step": STEPS, "heldout_accuracy": round(float(accuracy), 4)}), flush=True)
    print(f"wrote {OUTPUT / 'digits.mnn'} and {OUTPUT / 'heldout.npz'}", flush=True)


if __name__ == "__main__":
    main()
