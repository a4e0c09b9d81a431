"""Run a model on the held-out digits: how often it is right, how fast it is, and what memory it takes.

`edgeloop run evaluate.py` runs this on a device; `python evaluate.py` runs the very same on this computer. Add `--trace`
to the former, and every operator of every run is timed as well; nothing here needs to change for it.
"""

import argparse

import numpy as np

import edgeloop_task

REPEATS = 200  # timed runs of one sample


def main() -> None:
    """Evaluate one model and report what was found."""
    parser = argparse.ArgumentParser(description="Evaluate a digits model.")
    parser.add_argument("model", nargs="?", default="artifacts/latest/digits.mnn")
    parser.add_argument("heldout", nargs="?", default="artifacts/latest/heldout.npz")
    arguments = parser.parse_args()

    with np.load(arguments.heldout) as heldout:
        images, labels = heldout["image"], heldout["labels"]

    before = edgeloop_task.memory(reset_peak=True).current_bytes
    model = edgeloop_task.load_model(arguments.model)
    scores = np.concatenate([model(image[None]) for image in images])
    peak_memory_bytes = max(0, edgeloop_task.memory().peak_bytes - before)
    accuracy = float(np.mean(scores.argmax(1) == labels))

    timing = model.time(images[:1], repeats=REPEATS)

    np.savez_compressed("predictions.npz", scores=scores, labels=labels)
    edgeloop_task.report_file("predictions.npz")
    edgeloop_task.report_metric("accuracy", accuracy)
    edgeloop_task.report_result(
        samples=len(labels),
        accuracy=accuracy,
        predictions=scores.argmax(1),
        labels=labels,
        p50_ms=timing.p50_ms,
        p90_ms=timing.p90_ms,
        session_memory_bytes=model.session_memory_bytes,
        peak_memory_bytes=peak_memory_bytes,
    )
    model.close()


if __name__ == "__main__":
    main()
