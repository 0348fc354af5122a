"""Results as a table, and who loses where."""

import statistics


def scores(results):
    """`{(candidate, task): [score, …]}`, a score for each seed."""
    found = {}
    for result in results:
        key = (result["candidate"], result["task"])
        found.setdefault(key, {})[result["seed"]] = result["score"]
    return {key: list(by_seed.values()) for key, by_seed in found.items()}


def markdown(results):
    """A row for each candidate, a column for each task: mean ± standard deviation."""
    found = scores(results)
    measures = {result["task"]: result["measure"] for result in results}
    candidates = list(dict.fromkeys(candidate for candidate, _ in found))
    lines = [
        "| | " + " | ".join(f"{task}, {m}" for task, m in measures.items()) + " |",
        "|---" * (len(measures) + 1) + "|",
    ]
    for candidate in candidates:
        cells = [
            _cell(found.get((candidate, task)), measure)
            for task, measure in measures.items()
        ]
        lines.append(f"| {candidate} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values, measure):
    if values is None:
        return ""
    digits = {"accuracy": 1, "MAE": 4, "bits": 2}[measure]
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"


def losses(results, ours, theirs):
    """Where one candidate is behind another by more than one standard deviation.

    Args:
        results: List of results.
        ours: Name of a candidate.
        theirs: Names of others.

    Returns:
        Sentences, one for each task and candidate.
    """
    found = scores(results)
    said = []
    for task, measure in {r["task"]: r["measure"] for r in results}.items():
        own = found.get((ours, task))
        sign = 1 if measure == "accuracy" else -1
        for name in theirs:
            other = found.get((name, task))
            if not own or not other:
                continue
            behind = sign * (statistics.mean(other) - statistics.mean(own))
            spread = max(statistics.pstdev(own), statistics.pstdev(other))
            if behind > spread:
                said.append(f"{task}: {ours} behind {name} by {behind:.3g} {measure}")
    return said
