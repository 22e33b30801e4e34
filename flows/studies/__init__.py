"""Studies beside the loop: pruners compared, no training, as few weights as possible."""
