"""Times to a choice: ratios, verdicts of speed, the recommendation, two runs side by side. Pure."""
