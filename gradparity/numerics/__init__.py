"""Methods on plain arrays: optimisers, extrapolated derivatives, noise estimates. No truth, no framework."""
