"""TargetNet (Min et al. 2022): does this microRNA act on this mRNA, from their aligned candidate target sites."""
