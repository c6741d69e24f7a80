"""The doors: how requests and answers look on the wire. Light: no frames here."""
