"""Steps, pipelines, and what runs them. Knows nothing of what flows through."""
