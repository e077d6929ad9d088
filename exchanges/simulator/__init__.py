"""Exchange simulator: a loopback server that speaks exchange protocols, with its own matching, balances and faults."""
