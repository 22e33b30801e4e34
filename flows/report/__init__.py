"""Results as people read them: tables, figures, the HTML report, runs side by side."""
