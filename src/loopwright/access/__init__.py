"""Who may ask: API keys, how they are made and recognised, how often they may be used, and by which names."""
