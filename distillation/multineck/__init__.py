"""Central and directional multi-neck distillation (PRCV 2023): the learner, and the files between its three stages."""
