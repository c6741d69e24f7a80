"""From rows to a fitted model: how rows are split, what `train()` receives, and the search for its parameters."""
