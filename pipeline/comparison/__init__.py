"""Every method of a plan on every data set and seed, each a `dvc repro` in a folder of its own."""
