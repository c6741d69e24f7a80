"""Who is told what, and how often: events and findings, grouped into incidents, over the ways that people named."""
