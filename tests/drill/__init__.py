"""What must stop trading, staged on a real engine and timed: ``make drill``."""
