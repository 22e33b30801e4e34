"""The loop, stage by stage, and the run directory that it leaves behind."""
