"""Films with labels in, weights with a card out: one command a model (``python -m training.train``)."""
