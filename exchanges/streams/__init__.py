"""Private and market streams of the exchanges: hints that arrive early, never the truth (docs/streams.md)."""
