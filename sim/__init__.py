"""sim: what the machine does. Golden model, exact cycle model, RTL benches."""
