"""Why a model says what it says, per base or residue, in numbers and pictures."""
