"""`model.cosign`: container, header, codings, entropy coders, older schemas. No torch."""
