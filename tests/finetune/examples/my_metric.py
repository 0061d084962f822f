# my_metric.py
def balanced_accuracy(gold: list[str], predicted: list[str]) -> float:
    """The mean over the classes of the share of their texts that is predicted right."""
    right = [one for one, other in zip(gold, predicted, strict=True) if one == other]
    classes = set(gold)
    return sum(right.count(one) / gold.count(one) for one in classes) / len(classes)
