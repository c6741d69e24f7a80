"""The memory: metadata in SQLite or PostgreSQL, content in a folder or an object store."""
