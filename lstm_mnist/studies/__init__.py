"""Many runs: read as evidence, compared with reference figures, gated, trained, reported."""
