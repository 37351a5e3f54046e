"""miRNA target data: miRAW as TargetNet published it, and the CLASH, Hejret and DeepMirTar tables beside it."""
