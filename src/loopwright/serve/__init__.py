"""The processes that serve: listening, starting, stopping, watching each other. Light: no frames here."""
