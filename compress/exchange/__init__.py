"""Networks of other formats in, compressed ones out in other formats."""
