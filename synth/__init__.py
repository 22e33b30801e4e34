"""What the machine costs."""
