"""The gateway: answers with the models that the route table names, and records every answer. Light: no frames here."""
